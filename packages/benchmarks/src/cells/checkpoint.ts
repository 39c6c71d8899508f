/**
 * What a table costs that follows a topic which somebody else writes to, with a checkpoint or without: how long its turns are
 * while the base is written, and while it lives; and its processor time.
 */
import * as CheckpointStore from "effect-ktables/CheckpointStore"
import * as KafkaTable from "effect-ktables/KafkaTable"
import { Effect, Option } from "effect"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { tmpdir } from "node:os"
import type { Cell } from "../harness/cells.ts"
import type { NumberName } from "../harness/Measurement.ts"
import { rssMiB } from "../harness/memory.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import { type Longest, longestTurn } from "../harness/turns.ts"
import { rawTopic } from "../topics/decoding.ts"
import { clientName, openSource, preload, type Source } from "../topics/source.ts"
import { replay } from "./catchUp.ts"

export interface Input {
  readonly source: Source
  readonly isKept: boolean
  /** What is written meanwhile. */
  readonly perSecond: number
  readonly seconds: number
}

/** Milliseconds that are looked at after a load, in which a base of usual size is written. */
const WRITING = 2000

const figures = ({ cpuMs, max, withoutGc }: Longest) => ({ max, cpuMs, withoutGcMs: withoutGc })

const temporary = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "checkpoint-"))),
  (directory) => Effect.promise(() => fs.rm(directory, { recursive: true, force: true }))
)

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ isKept, perSecond, seconds, source }) {
  yield* preload(source)
  const { client, topic } = yield* openSource(source)
  const definition = rawTopic(topic)
  const store = CheckpointStore.layerFileSystem(yield* temporary)
  const made = isKept ? KafkaTable.make(definition, { ...replay, checkpoint: {} }) : KafkaTable.make(definition, replay)
  const table = yield* made.pipe(Effect.provideContext(client), Effect.provide(store))
  const started = performance.now()
  const saved = () =>
    Option.flatMap(Effect.runSync(table.health).checkpoint, ({ bytes, savedAt }) => Option.as(savedAt, bytes))
  const isWritten = (): boolean => !isKept || Option.isSome(saved())

  const base = yield* longestTurn(() => performance.now() - started > WRITING && isWritten())
  const { entries } = (yield* table.health).stats
  const bytes = Option.getOrElse(saved(), () => 0)

  // What the load left behind is not what following costs.
  globalThis.gc?.()
  const before = (yield* table.health).stats.records
  const elapsed = stopwatch()
  yield* Effect.sleep(seconds * 1000)
  const { cpuMs, loopMs, ms } = elapsed()
  const records = (yield* table.health).stats.records - before

  const until = performance.now() + seconds * 1000
  const live = yield* longestTurn(() => performance.now() > until)

  const row = (detail: string, measured: Partial<Readonly<Record<NumberName, number>>>) => ({
    metric: "checkpoint",
    client: clientName(source),
    detail: `${detail}, ${isKept ? "with a checkpoint" : "without"}, ${perSecond} changes/s`,
    keys: entries,
    ...measured
  })
  return [
    row("longest turn after the load", { ...figures(base), mib: bytes / 2 ** 20 }),
    row("longest turn while it lives", figures(live)),
    row("processor time", {
      cpuPercent: (cpuMs / ms) * 100,
      loopPercent: (loopMs / ms) * 100,
      records,
      rps: (records / ms) * 1000,
      rssMiB: rssMiB()
    })
  ]
})
