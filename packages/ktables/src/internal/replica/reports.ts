/** Warnings that repeat, once per kind and interval: one poison record is news, a million of them are a number. */
import { monotonicMillis } from "../moment.ts"
import { Clock, Effect, type Scope } from "effect"

const INTERVAL = 10_000

interface Kind {
  since: number
  kept: number
  last: string
}

/**
 * Logs the first message of a kind at once. Those that follow within the interval are kept back, and summed up by their number
 * and the last of them when it ends, or the scope closes.
 */
export const rateLimited: Effect.Effect<(kind: string, message: string) => Effect.Effect<void>, never, Scope.Scope> =
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    const scope = yield* Effect.scope
    const kinds = new Map<string, Kind>()
    const flush = (known: Kind) =>
      Effect.suspend(() => {
        const { kept, last } = known
        known.kept = 0
        known.since = monotonicMillis(clock)
        return kept === 0
          ? Effect.void
          : Effect.logWarning(kept === 1 ? last : `${last} (and ${kept - 1} more like it)`)
      })
    yield* Effect.addFinalizer(() => Effect.forEach(kinds.values(), flush, { discard: true }))
    return (kind, message) =>
      Effect.suspend(() => {
        const now = monotonicMillis(clock)
        const known = kinds.get(kind)
        if (known === undefined || now - known.since >= INTERVAL) {
          kinds.set(kind, { since: now, kept: 0, last: message })
          return Effect.logWarning(message)
        }
        known.last = message
        if (known.kept++ > 0) return Effect.void
        return Effect.forkIn(Effect.andThen(Effect.sleep(INTERVAL - (now - known.since)), flush(known)), scope)
      })
  })
