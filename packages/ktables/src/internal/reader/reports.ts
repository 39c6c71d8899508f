/** Warnings that repeat, once per kind and interval: one poison record is news, a million of them are a number. */
import { Clock, Effect } from "effect"

const INTERVAL = 10_000

/** Logs the first message of a kind at once, and the next after the interval, with the number that were kept back. */
export const rateLimited: Effect.Effect<(kind: string, message: string) => Effect.Effect<void>> = Effect.map(
  Clock.Clock,
  (clock) => {
    const kinds = new Map<string, { since: number; kept: number }>()
    return (kind, message) =>
      Effect.suspend(() => {
        const now = clock.currentTimeMillisUnsafe()
        const last = kinds.get(kind)
        if (last !== undefined && now - last.since < INTERVAL) {
          last.kept++
          return Effect.void
        }
        const kept = last?.kept ?? 0
        kinds.set(kind, { since: now, kept: 0 })
        return Effect.logWarning(kept === 0 ? message : `${message} (and ${kept} more since the last such line)`)
      })
  }
)
