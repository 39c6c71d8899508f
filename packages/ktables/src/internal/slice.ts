/** How long a reader may keep the event loop, in milliseconds, and how often it looks at the clock. */
import * as Effect from "effect/Effect"

/** Where others have a table to read meanwhile. */
export const SLICE = 4
/** While survivors are gathered. */
export const LOAD_SLICE = 8
/** Records between two looks at the clock. */
const STRIDE = 64

/** What a step came to: there is more to do, it was the last, or an effect has to be run before the next. */
export type Step<E = never> = true | false | Effect.Effect<unknown, E>

/** How many steps a slice may take, where what comes of a slice costs more than its steps do. */
export interface Pace {
  most: number
}

/** As many as there is time for. */
export const unhurried = (): Pace => ({ most: Number.POSITIVE_INFINITY })

/**
 * Takes steps until one is the last. Those of a slice run one after another, without an effect between them; after each slice
 * others have their turn.
 */
export const inSlices = <E = never, F = never>(
  step: () => Step<E>,
  options: {
    /** Runs a slice, and what comes of it; hands back when that was done, by `performance.now()`. */
    readonly commit?: (slice: () => void) => number | void
    /** Hears how long one took, in milliseconds, with what came of it. */
    readonly took?: (millis: number) => void
    /** Is held to, and kept for what is done later: fewer steps where a slice took long, and more again where it did not. */
    readonly pace?: Pace | undefined
    /** Runs after each. */
    readonly check?: Effect.Effect<void, F>
  } = {}
): Effect.Effect<void, E | F> =>
  Effect.suspend(() => {
    const { check = Effect.void, commit = (slice: () => void) => slice(), pace, took } = options
    let last: Step<E> = true
    let started = 0
    let n = 0
    const slice = (): void => {
      const most = pace?.most ?? Number.POSITIVE_INFINITY
      n = 0
      do {
        last = step()
      } while (last === true && ++n < most && (n % STRIDE !== 0 || performance.now() - started <= SLICE))
    }
    const next: Effect.Effect<void, E | F> = Effect.suspend(() => {
      started = performance.now()
      const spent = (commit(slice) ?? performance.now()) - started
      took?.(spent)
      if (pace !== undefined)
        pace.most = spent > 2 * SLICE ? Math.max(1, Math.floor((n * SLICE) / spent)) : 2 * pace.most
      if (last === false) return check
      return Effect.andThen(last === true ? check : Effect.andThen(last, check), Effect.andThen(Effect.yieldNow, next))
    })
    return next
  })
