/** Tables that keep checkpoints on disk, while the process is killed or away and real brokers change what is in the log. */
import { assert, describe, layer } from "@effect/vitest"
import { TestKafka } from "@effect-ktables/testing"
import { Context, Effect, Layer, Option } from "effect"
import { CheckpointStore, type KafkaClient, KafkaTable } from "effect-ktables"
import { spawn } from "node:child_process"
import { cp, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { awaitGone, COMPACTING, DAY, rawLog, topicOf } from "./faults/rawLog.ts"
import { clients, transports } from "./faults/scenario.ts"
import { until } from "./faults/until.ts"

class Cluster extends Context.Service<Cluster, TestKafka.Cluster>()("test/checkpoints/Cluster") {}

const cluster = Layer.effect(
  Cluster,
  TestKafka.startCluster({ nodes: 3, heap: "192m", properties: { "log.cleaner.backoff.ms": "100" } })
)

const directory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(path.join(tmpdir(), "ktables-checkpoints-"))),
  (folder) => Effect.promise(() => rm(folder, { recursive: true }))
)

/** A topic of one partition on both brokers, and a way to write it. */
const withLog = Effect.fnUntraced(function* (
  { admin, brokers }: TestKafka.Cluster,
  prefix: string,
  config: Record<string, string>
) {
  const name = yield* TestKafka.uniqueName(prefix)
  const create = admin.createTopic({ topic: name, assignments: [[1, 2]], config })
  yield* create
  const client = yield* Layer.build(clients.kafkajs({ brokers }))
  return { name, create, client, log: yield* rawLog(name).pipe(Effect.provide(client)) }
})

const making = (name: string, folder: string) =>
  KafkaTable.make(topicOf(name), { ensureTopic: false, checkpoint: { every: "100 millis" } }).pipe(
    Effect.provide(CheckpointStore.layerFileSystem(folder))
  )

/**
 * Tables are complete, save their checkpoint and are closed, until one could go on from what the one before had left: a table
 * may be complete before its broker has said how long tombstones are kept, and what it saves until then proves nothing.
 */
const leave = (name: string, folder: string, client: Context.Context<KafkaClient.KafkaClient>) =>
  making(name, folder).pipe(
    Effect.flatMap((table) => table.health),
    Effect.scoped,
    Effect.repeat({ until: ({ checkpoint }) => Option.getOrThrow(checkpoint).resumed.length > 0, times: 20 }),
    Effect.provide(client)
  )

/** A table that starts with what was left, by every transport: what became of its checkpoint, and that it is as one without. */
const starts = (name: string, folder: string, brokers: ReadonlyArray<string>) =>
  Effect.forEach(transports, (transport) =>
    Effect.gen(function* () {
      const copy = yield* directory
      yield* Effect.promise(() => cp(folder, copy, { recursive: true }))
      const client = yield* Layer.build(clients[transport]({ brokers }))
      const table = yield* making(name, copy).pipe(Effect.provide(client))
      const whole = yield* KafkaTable.make(topicOf(name), { ensureTopic: false }).pipe(Effect.provide(client))
      const entries = (of: typeof table) =>
        Effect.forEach([...of.view.keys()].sort(), (key) => Effect.map(of.getEntry(key), Option.getOrThrow))
      yield* Effect.timeout(table.barrier(), "30 seconds")
      yield* Effect.timeout(whole.barrier(), "30 seconds")
      assert.deepStrictEqual(yield* entries(table), yield* entries(whole), transport)
      const { discarded, resumed } = Option.getOrThrow((yield* table.health).checkpoint)
      return { contents: new Map(table.view), resumed, reasons: discarded.map(({ reason }) => reason).join("; ") }
    }).pipe(Effect.scoped)
  )

describe("checkpoints on real brokers", () => {
  layer(cluster, { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect("are as good after kill -9 as they were when they were saved", () =>
      Effect.gen(function* () {
        const kafka = yield* Cluster
        const folder = yield* directory
        const { log, name } = yield* withLog(kafka, "killed", { "cleanup.policy": "compact" })
        for (let batch = 0; batch < 10; batch++) {
          yield* log.write(Array.from({ length: 200 }, (_, i) => [`k${i}`, `${batch}`] as const))
        }
        for (let life = 0; life < 4; life++) {
          const program = path.join(import.meta.dirname, "faults", "keptTable.ts")
          const child = spawn(process.execPath, ["--conditions=source", program, kafka.brokers.join(), name, folder], {
            stdio: ["ignore", "pipe", "inherit"]
          })
          let said = ""
          child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()))
          const exited = new Promise((resolve) => child.once("exit", resolve))
          yield* until("a complete table", () => said.includes("complete"))
          // It is killed while it records and saves what is written.
          for (let n = 0; n < 20 + 7 * life; n++) yield* log.write([[`k${n}`, `life ${life}`]])
          child.kill("SIGKILL")
          yield* Effect.promise(() => exited)
          yield* log.write([
            [`k${life}`, null],
            ["after", `${life}`]
          ])
          for (const { reasons, resumed } of yield* starts(name, folder, kafka.brokers)) {
            assert.deepStrictEqual({ reasons, resumed }, { reasons: "", resumed: [0] })
          }
        }
      })
    )

    it.effect("of a topic that was made again while the table was away are not used", () =>
      Effect.gen(function* () {
        const kafka = yield* Cluster
        const folder = yield* directory
        const { client, create, log, name } = yield* withLog(kafka, "again", { "cleanup.policy": "compact" })
        yield* log.write([
          ["a", "old"],
          ["b", "old"]
        ])
        yield* leave(name, folder, client)
        yield* kafka.admin.deleteTopic(name)
        yield* until(
          "the topic to be made again",
          Effect.match(create, { onFailure: () => false, onSuccess: () => true })
        )
        for (let i = 0; i < 5; i++) yield* log.write([["b", `new ${i}`]])
        for (const { contents, reasons, resumed } of yield* starts(name, folder, kafka.brokers)) {
          assert.deepStrictEqual(resumed, [])
          assert.match(reasons, /its topicId is/)
          assert.deepStrictEqual([...contents], [["b", "new 4"]])
        }
      })
    )

    it.effect("are not used where a tombstone expired while the table was away, and are where it did not", () =>
      Effect.gen(function* () {
        const kafka = yield* Cluster
        const [expiring, kept] = [yield* directory, yield* directory]
        const short = yield* withLog(kafka, "expired", { ...COMPACTING, "delete.retention.ms": "6000" })
        const long = yield* withLog(kafka, "lasting", { ...COMPACTING, "delete.retention.ms": DAY })
        for (const [{ client, log, name }, folder] of [
          [short, expiring],
          [long, kept]
        ] as const) {
          yield* log.write([
            ["gone", "early"],
            ["kept", "1"]
          ])
          yield* leave(name, folder, client)
          yield* log.write([["gone", null]])
        }
        yield* long.log.write([["later", "1"]])
        yield* awaitGone(short.log, 1, "gone")
        for (const { contents, reasons, resumed } of yield* starts(short.name, expiring, kafka.brokers)) {
          assert.deepStrictEqual(resumed, [])
          assert.match(reasons, /deletions may have expired unread/)
          assert.isFalse(contents.has("gone"))
        }
        for (const { contents, resumed } of yield* starts(long.name, kept, kafka.brokers)) {
          assert.deepStrictEqual(resumed, [0])
          assert.isFalse(contents.has("gone"))
        }
      })
    )

    it.effect("of a log that an unclean election cut are not used, also where it has grown past them", () =>
      Effect.gen(function* () {
        const kafka = yield* Cluster
        const { admin, nodes } = kafka
        const [ahead, behind] = [nodes[0]!, nodes[1]!]
        const config = { "cleanup.policy": "compact", "min.insync.replicas": "1" }
        const logs = [yield* withLog(kafka, "shorter", config), yield* withLog(kafka, "grown", config)]
        const folders = [yield* directory, yield* directory]
        for (const { log } of logs) yield* log.write([["a", "1"]])
        yield* behind.stop
        for (const [i, { client, log, name }] of logs.entries()) {
          yield* admin.awaitPartition(name, 0, ({ inSync }) => inSync.length === 1)
          for (let n = 0; n < 10; n++) yield* log.write([["doomed", `${n}`]])
          yield* leave(name, folders[i]!, client)
        }
        yield* ahead.kill
        yield* behind.start
        for (const { name } of logs) {
          yield* admin.awaitPartition(name, 0, ({ leader }) => leader < 0)
          yield* admin.electLeader(name, 0, "unclean")
          yield* admin.awaitPartition(name, 0, ({ leader }) => leader === behind.id)
        }
        for (let n = 0; n < 20; n++) yield* logs[1]!.log.write([["other", `${n}`]])
        for (const [i, { name }] of logs.entries()) {
          for (const { contents, reasons, resumed } of yield* starts(name, folders[i]!, [behind.address])) {
            assert.deepStrictEqual(resumed, [])
            assert.match(reasons, i === 0 ? /it ends at 11, and the log at 1/ : /the log holds nothing after 1/)
            assert.isFalse(contents.has("doomed"))
          }
        }
        yield* ahead.start
      })
    )
  })
})
