/** Every record of a key that is still in the log, oldest first. */
import { Clock, Effect, Stream } from "effect"
import { KafkaTable } from "effect-ktables"
import { cell, field, headerText, surroundings } from "../entries.ts"
import { failed } from "../failure.ts"
import { keyBytes } from "../given.ts"
import { age, counted, type Printing, writeLines } from "../output.ts"
import { reachesJson, readError, withReach } from "../points.ts"
import { rawTopic } from "../reading.ts"
import { millisOf, outputOf, type Settings } from "../settings.ts"

type Item = KafkaTable.HistoryItem<Uint8Array>
type Told = Exclude<Item, KafkaTable.HistoryItem.End>

const isTold = (item: Item): item is Told => item._tag !== "End"

/** Null where the key was deleted. Bytes always decode, but for a record whose headers are damaged. */
const valueOf = (item: Told): Uint8Array | null =>
  item._tag === "Deleted" ? null : item._tag === "Set" ? item.value : item.raw

const toJson = (settings: Settings, item: Told): string => {
  const value = valueOf(item)
  const what = value === null ? `"deleted"` : `"set",${field("value", settings.value, value)}`
  return `{"change":${what},${surroundings(item)}}`
}

const row = (settings: Settings, item: Told, now: number): ReadonlyArray<string> => {
  const value = valueOf(item)
  return [
    age(item.timestamp, now),
    String(item.partition),
    String(item.offset),
    item.headers.map(headerText).join(" "),
    value === null ? "(deleted)" : cell(settings.value, value)
  ]
}

export const run = Effect.fnUntraced(function* (
  settings: Settings,
  input: { readonly topic: string; readonly key: string; readonly all: boolean }
) {
  const key = yield* keyBytes(settings, input.key)
  const now = yield* Clock.currentTimeMillis
  const items = KafkaTable.history(rawTopic(input.topic), key, {
    partitions: input.all ? "all" : "own",
    timeout: millisOf(settings)
  })
  const output = outputOf(settings)
  const printing: Printing<Told> = {
    toJson: (item) => toJson(settings, item),
    heads: ["AGE", "PARTITION", "OFFSET", "HEADERS", "VALUE"],
    row: (item) => row(settings, item, now),
    flexible: 4
  }
  const kept: Array<Told> = []
  let count = 0
  const ends: Array<KafkaTable.HistoryItem.End> = []
  yield* Stream.runForEachArray(Stream.mapError(items, readError), (batch) => {
    for (const item of batch) if (item._tag === "End") ends.push(item)
    const told = batch.filter(isTold)
    count += told.length
    if (output === "ndjson") return writeLines(told.map((item) => toJson(settings, item)))
    kept.push(...told)
    return Effect.void
  })
  const missing = ends.flatMap(({ completeFrom, partition }) =>
    completeFrom === 0
      ? []
      : [
          `partition ${partition} is complete from offset ${completeFrom} on: of what was written below, records are gone from the log`
        ]
  )
  yield* withReach(output, kept, printing, {
    name: "records",
    members: `"partitions":${reachesJson(ends)}`,
    complete: `${counted(count, "record", "records")}, all that there ever were in ${input.all ? "all partitions" : `partition ${ends[0]?.partition}`}`,
    missing
  })
  if (count > 0) return
  const where = input.all ? "" : " in the partition where it belongs; --all looks into the others, too"
  return yield* failed("missing", `no record of ${field("key", settings.key, key)} is in the log${where}`)
})
