/** The entries of a topic and every change after them: a view on a terminal, a line per change elsewhere. */
import { Effect, References, Stream } from "effect"
import { KafkaTable, type Table } from "effect-ktables"
import type { TableChange } from "effect-ktables/TableChange"
import { cell, type Entry, field, toJson } from "../entries.ts"
import { type CommandFailed, fromError } from "../failure.ts"
import { keyBytes } from "../given.ts"
import { plain } from "../formats.ts"
import { Follower, type Change } from "../follower.ts"
import { counted, isScreen, writeLines } from "../output.ts"
import { caughtUp } from "../reading.ts"
import { outputOf, type Settings } from "../settings.ts"
import { view } from "../view.ts"

const changeJson = (settings: Settings, change: Change): string => {
  switch (change._tag) {
    case "Complete":
      return `{"change":"complete","entries":${change.entries}}`
    case "Deleted":
      return `{"change":"deleted",${field("key", settings.key, change.key)}}`
    case "Entry":
    case "Set":
      return `{"change":"${change._tag.toLowerCase()}",${toJson(settings, change.entry).slice(1)}`
  }
}

const changeText = (settings: Settings, change: Change): string => {
  switch (change._tag) {
    case "Complete":
      return `complete  ${counted(change.entries)}`
    case "Deleted":
      return `deleted   ${plain(cell(settings.key, change.key))}`
    case "Entry":
    case "Set": {
      const { key, value } = change.entry
      const what = change._tag === "Entry" ? "entry   " : "set     "
      return `${what}  ${plain(cell(settings.key, key))}  ${plain(cell(settings.value, value))}`
    }
  }
}

type Batches = Stream.Stream<ReadonlyArray<TableChange<Uint8Array, Entry>>, CommandFailed>

const lines = (settings: Settings, batches: Batches, follower: Follower) => {
  const print = outputOf(settings) === "table" ? changeText : changeJson
  return Stream.runForEach(batches, (batch) =>
    writeLines(batch.flatMap((change) => follower.apply(change)).map((change) => print(settings, change)))
  )
}

const isView = (settings: Settings): boolean => outputOf(settings) === "table" && isScreen(process.stdout)

const follow = Effect.fnUntraced(function* (
  settings: Settings,
  input: { readonly topic: string; readonly keys: ReadonlyArray<string> }
) {
  const keys = yield* Effect.forEach(input.keys, (key) => keyBytes(settings, key))
  const read = yield* caughtUp(input.topic, settings)
  const entries: Table.Table<Uint8Array, Entry, Table.Error<typeof read>> = yield* KafkaTable.withMetadata(read)
  const follower = new Follower(keys)
  const batches: Batches = Stream.mapError(entries.changeBatches, fromError)
  yield* isView(settings) ? view(settings, read, batches, follower) : lines(settings, batches, follower)
})

export const run = (
  settings: Settings,
  input: { readonly topic: string; readonly keys: ReadonlyArray<string> }
): ReturnType<typeof follow> =>
  // The view says itself what is wrong; lines of a log would break it.
  isView(settings)
    ? Effect.provideService(follow(settings, input), References.MinimumLogLevel, "None")
    : follow(settings, input)
