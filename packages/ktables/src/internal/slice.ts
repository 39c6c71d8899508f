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

/**
 * Takes steps until one is the last. Those of a slice run one after another, without an effect between them; after each slice
 * others have their turn.
 */
export const inSlices = <E = never, F = never>(
  step: () => Step<E>,
  options: {
    /** Runs a slice. */
    readonly commit?: (slice: () => void) => void
    /** Hears how long one took, in milliseconds. */
    readonly took?: (millis: number) => void
    /** Runs after each. */
    readonly check?: Effect.Effect<void, F>
  } = {}
): Effect.Effect<void, E | F> =>
  Effect.suspend(() => {
    const { check = Effect.void, commit = (slice: () => void) => slice(), took } = options
    let last: Step<E> = true
    const slice = (): void => {
      const started = performance.now()
      let n = 0
      do {
        last = step()
      } while (last === true && (++n % STRIDE !== 0 || performance.now() - started <= SLICE))
      took?.(performance.now() - started)
    }
    const next: Effect.Effect<void, E | F> = Effect.suspend(() => {
      commit(slice)
      if (last === false) return check
      return Effect.andThen(last === true ? check : Effect.andThen(last, check), Effect.andThen(Effect.yieldNow, next))
    })
    return next
  })
