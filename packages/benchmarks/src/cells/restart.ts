/** Starts a table on a topic, with what a former process has left of it or without: until it is complete, connections included. */
import * as CheckpointStore from "effect-ktables/CheckpointStore"
import * as KafkaTable from "effect-ktables/KafkaTable"
import { Effect, Option, Schedule } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { tmpdir } from "node:os"
import type { Cell } from "../harness/cells.ts"
import { rssMiB } from "../harness/memory.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import { type Decode, topicFor } from "../topics/decoding.ts"
import { clientName, openSource, preload, type Source } from "../topics/source.ts"
import { replay } from "./catchUp.ts"

export interface Input {
  readonly source: Source
  /** How the report calls the topic, and the way to it. */
  readonly topic: string
  readonly link: string
  /** What the table has to hold. */
  readonly keys: number
  readonly decode: Decode
  /** Where a checkpoint is left; undefined for a replay of all there is. */
  readonly directory: string | undefined
  /** Whether this process is the one that leaves it. */
  readonly leaves: boolean
}

/** The checkpoint is that of the former process in each measurement: it is copied. */
const copied = (directory: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const copy = await fs.mkdtemp(path.join(tmpdir(), "restart-"))
      await fs.cp(directory, copy, { recursive: true })
      return copy
    }),
    (copy) => Effect.promise(() => fs.rm(copy, { recursive: true, force: true }))
  )

/** Until a table's checkpoint has been saved. */
const awaitSaved = (table: KafkaTable.Any) =>
  table.health.pipe(
    Effect.repeat({
      until: ({ checkpoint }) => Option.isSome(Option.flatMap(checkpoint, ({ savedAt }) => savedAt)),
      schedule: Schedule.spaced(50)
    }),
    Effect.timeout("1 minute")
  )

export const cell: Cell<Input> = Effect.fnUntraced(function* (input) {
  const { decode, directory, keys, leaves, link, source, topic } = input
  yield* preload(source)
  const { client, topic: name } = yield* openSource(source)
  const definition = yield* topicFor(name, decode)
  const store =
    directory === undefined
      ? CheckpointStore.layerMemory()
      : CheckpointStore.layerFileSystem(leaves ? directory : yield* copied(directory))
  const elapsed = stopwatch()
  const made =
    directory === undefined
      ? KafkaTable.make(definition, replay)
      : KafkaTable.make(definition, { ...replay, checkpoint: {} })
  const table = yield* made.pipe(Effect.provideContext(client), Effect.provide(store))
  const took = elapsed()
  let iterated = 0
  for (const [, value] of table.view) iterated += value === undefined ? 0 : 1
  const iteratedMs = elapsed().ms
  if (leaves) {
    yield* awaitSaved(table)
    return []
  }
  const { checkpoint, stats } = yield* table.health
  if (stats.entries !== keys || iterated !== keys) {
    return yield* Effect.die(
      `${topic} holds ${keys} keys, the table ${stats.entries}, of which ${iterated} were iterated`
    )
  }
  if (directory !== undefined && Option.getOrThrow(checkpoint).resumed.length === 0) {
    return yield* Effect.die(`the checkpoint was not used: ${JSON.stringify(checkpoint)}`)
  }
  return [
    {
      metric: "restart",
      client: clientName(source),
      topic,
      decode,
      detail: `${directory === undefined ? "all of the topic" : "from a checkpoint"}${link}`,
      ...took,
      iteratedMs,
      records: Option.match(stats.catchUp, { onNone: () => stats.records, onSome: ({ replayed }) => replayed }),
      keys: stats.entries,
      rssMiB: rssMiB()
    }
  ]
})
