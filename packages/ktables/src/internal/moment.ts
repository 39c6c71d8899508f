/**
 * Points in time by two clocks, since neither can be trusted alone: the wall clock steps back when it is corrected, and
 * the monotonic one stands still while the machine is suspended.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export interface Moment {
  /** Milliseconds since the epoch. */
  readonly wall: number
  /** Milliseconds of the monotonic clock. */
  readonly monotonic: number
}

/** Milliseconds of the monotonic clock, for intervals and deadlines: only their differences mean anything. */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** As `monotonicMillis`, of the clock at hand. */
export const monotonic: Effect.Effect<number> = Clock.clockWith((clock) => Effect.sync(() => monotonicMillis(clock)))

export const momentOf = (clock: Clock.Clock): Moment => ({
  wall: clock.currentTimeMillisUnsafe(),
  monotonic: monotonicMillis(clock)
})

/** Milliseconds between two moments: what the clock that saw more of them says. */
export const elapsed = (from: Moment, to: Moment): number =>
  Math.max(to.wall - from.wall, to.monotonic - from.monotonic)

/** The earlier of two moments, by either clock. */
export const earlier = (a: Moment, b: Moment): Moment => ({
  wall: Math.min(a.wall, b.wall),
  monotonic: Math.min(a.monotonic, b.monotonic)
})

/** A point in time by the wall clock, and by how much has passed. */
export interface Passed {
  /** Milliseconds since the epoch. */
  readonly wall: number
  /** Milliseconds, of which only differences mean anything. */
  readonly passed: number
}

/** Milliseconds by which the wall clock may go back without having been set. */
const JITTER = 1000

/**
 * Time that never goes back: that of the monotonic clock, and what the wall clock has gone ahead of it since the last look,
 * as when the machine was suspended. A wall clock that was set back goes on from where it was set to.
 */
export class PassedTime {
  readonly #clock: Clock.Clock
  /** By how much the wall clock is ahead. */
  #ahead: number
  #jumped = 0

  constructor(clock: Clock.Clock) {
    this.#clock = clock
    const { monotonic, wall } = momentOf(clock)
    this.#ahead = wall - monotonic
  }

  now(): Passed {
    const { monotonic, wall } = momentOf(this.#clock)
    const ahead = wall - monotonic
    if (ahead > this.#ahead) {
      this.#jumped += ahead - this.#ahead
      this.#ahead = ahead
    } else if (ahead < this.#ahead - JITTER) this.#ahead = ahead
    return { wall, passed: monotonic + this.#jumped }
  }
}
