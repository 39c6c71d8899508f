/** The entries of a topic as they were, in the order of their keys. */
import { Clock, Effect } from "effect"
import { byKey, cell, foreignNote, toJson } from "../entries.ts"
import { age, columns, say, table, writeJsonArray, writeLines } from "../output.ts"
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
  switch (outputOf(settings)) {
    case "json":
      yield* writeJsonArray(entries.map((entry) => toJson(settings, entry)))
      break
    case "ndjson":
      yield* writeLines(entries.map((entry) => toJson(settings, entry)))
      break
    case "table": {
      const rows = entries.map((entry) => [
        cell(settings.key, entry.key),
        String(entry.partition),
        String(entry.offset),
        age(entry.timestamp, now),
        cell(settings.value, entry.value)
      ])
      yield* writeLines(table(["KEY", "PARTITION", "OFFSET", "AGE", "VALUE"], rows, { width: columns(), flexible: 4 }))
    }
  }
  const note = foreignNote(settings, entries)
  if (note !== undefined) yield* say(`ktables: ${note}`)
  yield* warnWhereIncomplete(past)
})
