/**
 * Points in time by two clocks, since neither can be trusted alone: the wall clock steps back when it is corrected, and
 * the monotonic one stands still while the machine is suspended.
 */
import { Clock, Effect } from "effect"

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
