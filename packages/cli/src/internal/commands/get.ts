/** One value, and where its record is. */
import { Clock, Effect, Option } from "effect"
import type { Entry } from "../entries.ts"
import { cell, field, headerText, toJson } from "../entries.ts"
import { failed } from "../failure.ts"
import { keyBytes } from "../given.ts"
import { age, table, writeLines } from "../output.ts"
import { caughtUp } from "../reading.ts"
import { outputOf, type Settings } from "../settings.ts"

const lines = (settings: Settings, entry: Entry, now: number): ReadonlyArray<string> => {
  const at = entry.timestamp < 0 ? "" : ` (${new Date(entry.timestamp).toISOString()})`
  const [, ...rows] = table(
    ["", ""],
    [
      ["key", cell(settings.key, entry.key)],
      ["value", cell(settings.value, entry.value)],
      ["partition", String(entry.partition)],
      ["offset", String(entry.offset)],
      ["age", age(entry.timestamp, now) + at],
      ...entry.headers.map((header) => ["header", headerText(header)])
    ],
    { width: undefined, flexible: 1 }
  )
  return rows
}

export const run = Effect.fnUntraced(function* (
  settings: Settings,
  input: { readonly topic: string; readonly key: string }
) {
  const key = yield* keyBytes(settings, input.key)
  const read = yield* caughtUp(input.topic, settings)
  const entry = yield* read.getEntry(key)
  if (Option.isNone(entry)) {
    return yield* failed(
      "missing",
      `${input.topic} has no entry with ${field("key", settings.key, key)}; \`ktables ls ${input.topic}\` lists those it has`
    )
  }
  const isForPeople = outputOf(settings) === "table"
  const now = yield* Clock.currentTimeMillis
  yield* writeLines(isForPeople ? lines(settings, entry.value, now) : [toJson(settings, entry.value)])
})
