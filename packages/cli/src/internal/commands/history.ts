/** Every record of a key that is still in the log, oldest first. */
import { Clock, Effect, Stream } from "effect"
import { KafkaTable } from "effect-ktables"
import { cell, field, headerText, surroundings } from "../entries.ts"
import { failed } from "../failure.ts"
import { keyBytes } from "../given.ts"
import { age, say, writeLines, writeResults } from "../output.ts"
import { readError } from "../points.ts"
import { rawTopic } from "../reading.ts"
import { millisOf, outputOf, type Settings } from "../settings.ts"

type Item = KafkaTable.HistoryItem<Uint8Array>
type Told = Exclude<Item, { readonly _tag: "End" | "Undecodable" }>

const toJson = (settings: Settings, item: Told): string => {
  const what = item._tag === "Set" ? `"set",${field("value", settings.value, item.value)}` : `"deleted"`
  return `{"change":${what},${surroundings(item)}}`
}

const row = (settings: Settings, item: Told, now: number): ReadonlyArray<string> => [
  age(item.timestamp, now),
  String(item.partition),
  String(item.offset),
  item.headers.map(headerText).join(" "),
  item._tag === "Set" ? cell(settings.value, item.value) : "(deleted)"
]

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
  // Values are bytes, which always decode.
  const isTold = (item: Item): item is Told => item._tag === "Set" || item._tag === "Deleted"
  const output = outputOf(settings)
  const kept: Array<Told> = []
  let count = 0
  const ends: Array<Extract<Item, { readonly _tag: "End" }>> = []
  yield* Stream.runForEachArray(Stream.mapError(items, readError), (batch) => {
    for (const item of batch) if (item._tag === "End") ends.push(item)
    const told = batch.filter(isTold)
    count += told.length
    if (output === "ndjson") return writeLines(told.map((item) => toJson(settings, item)))
    kept.push(...told)
    return Effect.void
  })
  if (output === "json" || kept.length > 0) {
    yield* writeResults(output, kept, {
      toJson: (item) => toJson(settings, item),
      heads: ["AGE", "PARTITION", "OFFSET", "HEADERS", "VALUE"],
      row: (item) => row(settings, item, now),
      flexible: 4
    })
  }
  for (const { completeFrom, partition } of ends) {
    if (completeFrom === 0) continue
    yield* say(
      `ktables: partition ${partition} is complete from offset ${completeFrom} on: of what was written below, records are gone from the log`
    )
  }
  if (count > 0) return
  const where = input.all ? "" : " in the partition where it belongs; --all looks into the others, too"
  return yield* failed("missing", `no record of ${field("key", settings.key, key)} is in the log${where}`)
})
