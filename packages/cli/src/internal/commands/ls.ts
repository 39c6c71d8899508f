/** The entries of a topic, in the order of their keys. */
import { Clock, Effect, Option } from "effect"
import { KafkaTable } from "effect-ktables"
import { byKey, cell, type Entry, foreignNote, keyText, toJson } from "../entries.ts"
import { age, columns, counted, say, table, writeJsonArray, writeLines } from "../output.ts"
import { caughtUp } from "../reading.ts"
import { outputOf, type Settings } from "../settings.ts"

interface Input {
  readonly topic: string
  readonly prefix: Option.Option<string>
  readonly limit: Option.Option<number>
  readonly reverse: boolean
}

const select = (entries: Iterable<Entry>, settings: Settings, input: Input): ReadonlyArray<Entry> => {
  const prefix = Option.getOrElse(input.prefix, () => "")
  const chosen = Array.from(entries).filter(({ key }) => prefix === "" || keyText(settings, key).startsWith(prefix))
  chosen.sort(input.reverse ? (a, b) => byKey(b, a) : byKey)
  return Option.isNone(input.limit) ? chosen : chosen.slice(0, input.limit.value)
}

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  const read = yield* caughtUp(input.topic, settings)
  const entries = yield* KafkaTable.withMetadata(read)
  const chosen = select(entries.view.values(), settings, input)
  switch (outputOf(settings)) {
    case "json":
      yield* writeJsonArray(chosen.map((entry) => toJson(settings, entry)))
      break
    case "ndjson":
      yield* writeLines(chosen.map((entry) => toJson(settings, entry)))
      break
    case "table": {
      const now = yield* Clock.currentTimeMillis
      const rows = chosen.map((entry) => [
        cell(settings.key, entry.key),
        String(entry.partition),
        String(entry.offset),
        age(entry.timestamp, now),
        cell(settings.value, entry.value)
      ])
      const heads = ["KEY", "PARTITION", "OFFSET", "AGE", "VALUE"]
      yield* writeLines(table(heads, rows, { width: columns(), flexible: 4 }))
      if (chosen.length < read.view.size) {
        yield* say(`${chosen.length} of ${counted(read.view.size)}`)
      }
    }
  }
  const note = foreignNote(settings, chosen)
  if (note !== undefined) yield* say(`ktables: ${note}`)
})
