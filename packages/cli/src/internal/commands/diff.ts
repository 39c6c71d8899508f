/** What is different between two moments of a topic, in the order of the keys. */
import { Clock, Effect } from "effect"
import { byKey, cell, type Entry, field, idOf } from "../entries.ts"
import { columns, counted, say, table, writeJsonArray, writeLines } from "../output.ts"
import { entriesOf, givenPoint, pastAt, warnWhereIncomplete } from "../points.ts"
import { outputOf, type Settings } from "../settings.ts"

interface Different {
  readonly key: Uint8Array
  readonly from: Entry | undefined
  readonly to: Entry | undefined
}

/** Values are compared by their bytes. */
const differences = (from: ReadonlyArray<Entry>, to: ReadonlyArray<Entry>): ReadonlyArray<Different> => {
  const before = new Map(from.map((entry) => [idOf(entry.key), entry]))
  const found: Array<Different> = []
  for (const entry of to) {
    const id = idOf(entry.key)
    const was = before.get(id)
    before.delete(id)
    if (was === undefined || Buffer.compare(was.value, entry.value) !== 0)
      found.push({ key: entry.key, from: was, to: entry })
  }
  for (const entry of before.values()) found.push({ key: entry.key, from: entry, to: undefined })
  return found.sort(byKey)
}

const kindOf = ({ from, to }: Different): "added" | "removed" | "changed" =>
  from === undefined ? "added" : to === undefined ? "removed" : "changed"

const place = ({ offset, partition, timestamp }: Entry): string =>
  `"partition":${partition},"offset":${offset},"timestamp":${timestamp < 0 ? "null" : timestamp}`

const side = (settings: Settings, name: "from" | "to", entry: Entry | undefined): string =>
  entry === undefined ? "" : `,"${name}":{${field("value", settings.value, entry.value)},${place(entry)}}`

const toJson = (settings: Settings, different: Different): string =>
  `{"change":"${kindOf(different)}",${field("key", settings.key, different.key)}${side(settings, "from", different.from)}${side(settings, "to", different.to)}}`

interface Input {
  readonly topic: string
  readonly from: string
  readonly to: string
}

export const check = (_: Settings, { from, to }: Input) => Effect.all([givenPoint(from, 0), givenPoint(to, 0)])

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  const now = yield* Clock.currentTimeMillis
  const from = yield* pastAt(settings, input.topic, input.from, now)
  const to = yield* pastAt(settings, input.topic, input.to, now)
  const found = differences(yield* entriesOf(from), yield* entriesOf(to))
  switch (outputOf(settings)) {
    case "json":
      yield* writeJsonArray(found.map((different) => toJson(settings, different)))
      break
    case "ndjson":
      yield* writeLines(found.map((different) => toJson(settings, different)))
      break
    case "table": {
      const shown = (entry: Entry | undefined): string => (entry === undefined ? "" : cell(settings.value, entry.value))
      const rows = found.map((different) => [
        kindOf(different),
        cell(settings.key, different.key),
        shown(different.from),
        shown(different.to)
      ])
      yield* writeLines(table(["CHANGE", "KEY", "FROM", "TO"], rows, { width: columns(), flexible: 3 }))
      yield* say(`${counted(found.length, "difference", "differences")}`)
    }
  }
  yield* warnWhereIncomplete(from)
  yield* warnWhereIncomplete(to)
})
