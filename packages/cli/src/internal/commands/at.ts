/** The entries of a topic as they were, in the order of their keys. */
import { Clock, Effect } from "effect"
import { byKey, foreignNote, listing } from "../entries.ts"
import { say, writeResults } from "../output.ts"
import { entriesOf, givenPoint, pastAt, warnWhereIncomplete } from "../points.ts"
import { outputOf, type Settings } from "../settings.ts"

interface Input {
  readonly topic: string
  readonly point: string
}

export const check = (_: Settings, { point }: Input) => givenPoint(point, 0)

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  const now = yield* Clock.currentTimeMillis
  const past = yield* pastAt(settings, input.topic, input.point, now)
  const entries = [...(yield* entriesOf(past))].sort(byKey)
  yield* writeResults(outputOf(settings), entries, listing(settings, now))
  const note = foreignNote(settings, entries)
  if (note !== undefined) yield* say(`ktables: ${note}`)
  yield* warnWhereIncomplete(past)
})
