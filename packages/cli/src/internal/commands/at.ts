/** The entries of a topic as they were, in the order of their keys. */
import { Clock, Effect } from "effect"
import { byKey, foreignNote, listing } from "../entries.ts"
import { counted, say } from "../output.ts"
import { entriesOf, givenPoint, missingAt, offsetsText, pastAt, reachesJson, withReach } from "../points.ts"
import { timed } from "../reading.ts"
import { outputOf, type Settings } from "../settings.ts"

interface Input {
  readonly topic: string
  readonly point: string
}

export const check = (_: Settings, { point }: Input) => givenPoint(point, 0)

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  const now = yield* Clock.currentTimeMillis
  const past = yield* timed(input.topic, settings, pastAt(settings, input.topic, input.point, now))
  const entries = [...(yield* entriesOf(past))].sort(byKey)
  const missing = missingAt(past)
  yield* withReach(outputOf(settings), entries, listing(settings, now), {
    name: "entries",
    members: `"partitions":${reachesJson(past.partitions)}`,
    complete: `${counted(entries.length)} at ${offsetsText(past.offsets)}, none is missing`,
    missing: missing === undefined ? [] : [missing]
  })
  const note = foreignNote(settings, entries)
  if (note !== undefined) yield* say(`ktables: ${note}`)
})
