import { TestKafka } from "@effect-ktables/testing"
import { expectedTable, JavaPeer, PythonPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber, HashMap, Layer, Option, Schema, Stream } from "effect"
import { Codec, KafkaTable, KafkaTables, KafkaTableWriter, TableError, TableTopic } from "effect-ktables"
import { onTestKafka, transports } from "./support.ts"

const FETCH = 1
const Service = Schema.Struct({ host: Schema.String, port: Schema.Int })
const javaMissing = JavaPeer.unavailable()
const pythonMissing = PythonPeer.unavailable()
/** `JAVA_LOGS=200` tries more of them than a normal run does. */
const javaLogs = Number(process.env["JAVA_LOGS"] ?? "20")
const because = (missing: string | undefined) => (missing === undefined ? "" : ` (skipped: ${missing})`)

/** Bytes as base64 text, as the peers speak of them. */
const base64 = Codec.map(
  Codec.bytes,
  (bytes) => Buffer.from(bytes).toString("base64"),
  (text) => new Uint8Array(Buffer.from(text, "base64"))
)
const sorted = <V>(entries: Iterable<readonly [string, V]>) => [...entries].sort(([a], [b]) => (a < b ? -1 : 1))

for (const transport of transports) {
  layer(onTestKafka(transport.client), { excludeTestServices: true, timeout: 300_000 })(
    `a table on Kafka through ${transport.name}`,
    (it) => {
      it.effect("by name is one of many that are asked for together, and each shows its own writes", () =>
        Effect.gen(function* () {
          const prefix = yield* TestKafka.uniqueName("by-name")
          const topicOf = (name: string) =>
            TableTopic.make({ name: `${prefix}.${name}`, key: Schema.String, value: Schema.String, partitions: 2 })
          const tables = yield* KafkaTables.make(topicOf, { ensureTopic: { create: true } })
          const names = Array.from({ length: 40 }, (_, i) => `t${i}`)
          const held = yield* Effect.forEach(names, tables.get, { concurrency: 8 })
          const writers = yield* Effect.forEach(
            names,
            (name) => KafkaTableWriter.make(topicOf(name), { ensureTopic: false }),
            { concurrency: 8 }
          )
          for (const round of ["first", "second"]) {
            yield* Effect.forEach(
              names,
              (name, i) => Effect.flatMap(writers[i]!.set("key", `${name} ${round}`), held[i]!.awaitOffset),
              { concurrency: "unbounded" }
            )
            assert.deepStrictEqual(
              held.map(({ view }) => view.get("key")),
              names.map((name) => `${name} ${round}`)
            )
          }
          assert.strictEqual(yield* Effect.scoped(tables.get("t7")), held[7])
        })
      )

      it.effect("creates its topic, reads its own writes, deletes, and tells subscribers", () =>
        Effect.gen(function* () {
          const topic = TableTopic.make({
            name: yield* TestKafka.uniqueName("own"),
            key: Schema.String,
            value: Service,
            partitions: 3
          })
          const table = yield* KafkaTable.make(topic)
          const writer = yield* KafkaTableWriter.make(topic)
          const heard = yield* Effect.forkScoped(Stream.runCollect(Stream.take(table.changes, 4)))
          const ack = yield* writer.set("billing", { host: "a", port: 1 })
          yield* table.awaitOffset(ack)
          assert.deepStrictEqual(yield* table.get("billing"), Option.some({ host: "a", port: 1 }))
          yield* writer.set("billing", { host: "b", port: 2 })
          yield* writer.delete("billing")
          yield* table.barrier()
          assert.strictEqual(yield* table.size, 0)
          assert.deepStrictEqual(
            (yield* Fiber.join(heard)).map((change) => change._tag),
            ["Snapshot", "Set", "Set", "Deleted"]
          )
          const { partitions, status } = yield* table.health
          assert.strictEqual(status._tag, "CaughtUp")
          assert.deepStrictEqual(
            partitions.map((p) => [p.partition, p.lag, p.connected]),
            [
              [0, 0, true],
              [1, 0, true],
              [2, 0, true]
            ]
          )
        })
      )

      it.effect("catches up with a topic of 100,000 records", () =>
        Effect.gen(function* () {
          const name = yield* TestKafka.uniqueName("large")
          const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int, partitions: 4 })
          const writer = yield* KafkaTableWriter.make(topic)
          yield* Effect.forEach(
            Array.from({ length: 10 }, (_, round) => round),
            (round) =>
              writer.setAll(Array.from({ length: 10_000 }, (_, key) => [`key-${key}`, round * 10_000 + key] as const)),
            { discard: true }
          )
          const table = yield* KafkaTable.make(topic)
          const snapshot = yield* table.snapshot
          assert.strictEqual(HashMap.size(snapshot), 10_000)
          for (let key = 0; key < 10_000; key++) {
            assert.strictEqual(Option.getOrThrow(HashMap.get(snapshot, `key-${key}`)), 90_000 + key)
          }
          assert.strictEqual((yield* table.health).stats.records, 100_000)
        })
      )

      it.effect(
        "with limits gives up a topic that is too large, loads one whose other keys are deleted, and fails when it outgrows them",
        () =>
          Effect.gen(function* () {
            const name = yield* TestKafka.uniqueName("limits")
            const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int, partitions: 4 })
            const writer = yield* KafkaTableWriter.make(topic)
            const entries = (count: number) => Array.from({ length: count }, (_, key) => [`key-${key}`, key] as const)
            for (let at = 0; at < 20_000; at += 1000) yield* writer.setAll(entries(20_000).slice(at, at + 1000))
            const fetch = { maxPartitionBytes: 4096 }
            for (const limit of ["maxEntries", "maxBytes"] as const) {
              const error = yield* Effect.flip(KafkaTable.make(topic, { [limit]: 1000, fetch }))
              assert.instanceOf(error, TableError.TableTooLarge)
              assert.deepInclude(error, { topic: name, limit, allowed: 1000 })
              assert.isAbove(error.counted, 2000)
              // It was given up early, and not at the end of the topic.
              assert.isBelow(error.counted, 15_000)
            }
            // On the way the load has twice as many keys as are allowed, and not more.
            yield* Effect.forEach(entries(20_000).slice(10_000), ([key]) => writer.delete(key), {
              concurrency: 1000,
              discard: true
            })
            const table = yield* KafkaTable.make(topic, { maxEntries: 10_000, maxBytes: 200_000 })
            assert.strictEqual(yield* table.size, 10_000)
            yield* writer.set("one too many", 1)
            const error = yield* Effect.flip(table.failure)
            assert.deepInclude(error, { _tag: "TableTooLarge", limit: "maxEntries", allowed: 10_000, counted: 10_001 })
            assert.strictEqual((yield* table.status)._tag, "Failed")
            assert.strictEqual(yield* table.size, 10_001)
          })
      )

      it.effect("says that a topic is missing, and that nobody answers", () =>
        Effect.gen(function* () {
          const name = yield* TestKafka.uniqueName("missing")
          const topic = TableTopic.make({ name, key: Schema.String, value: Service })
          const missing = yield* Effect.flip(KafkaTable.make(topic, { ensureTopic: false }))
          assert.strictEqual(missing._tag, "TopicNotFound")
          const unreachable = yield* Effect.flip(
            KafkaTable.make(topic, { startTimeout: "300 millis" }).pipe(
              Effect.provide(Layer.fresh(transport.client(["127.0.0.1:1"])))
            )
          )
          assert.strictEqual(unreachable._tag, "Unreachable")
          assert.include(unreachable.message, "127.0.0.1:1")
        })
      )
    }
  )

  describe.skipIf(javaMissing !== undefined)(
    `random transactional logs written by Java, through ${transport.name}${because(javaMissing)}`,
    () => {
      layer(JavaPeer.layer.pipe(Layer.provideMerge(onTestKafka(transport.client))), {
        excludeTestServices: true,
        timeout: 300_000
      })((it) => {
        it.effect(
          "a table equals Java's read_committed consumer, 20 seeds, compacted and hanging ones among them",
          () =>
            Effect.gen(function* () {
              const java = yield* JavaPeer.JavaPeer
              const version = yield* (yield* TestKafka.TestKafka).admin.highestVersion(FETCH)
              for (let seed = 1; seed <= javaLogs; seed++) {
                const topic = yield* TestKafka.uniqueName(`seed-${seed}`)
                const log = yield* java.transactionalLog({
                  topic,
                  seed,
                  partitions: 1 + (seed % 3),
                  hanging: seed % 4 === 0,
                  compact: seed % 10 === 0,
                  // Before Kafka 3.1 a cleaner takes an abort marker away when a later record has the marker's key
                  // (KAFKA-14055): then all readers miss what the producer commits next.
                  markerKeys: seed % 10 !== 0 || version >= 13
                })
                const ours = yield* Effect.scoped(
                  KafkaTable.make(TableTopic.make({ name: topic, key: base64, value: base64 }), {
                    ensureTopic: false
                  }).pipe(Effect.flatMap((table) => Effect.map(table.entries, sorted)))
                )
                const read = yield* java.readCommitted(topic)
                assert.deepStrictEqual(ours, sorted(read.table), `seed ${seed}`)
                assert.deepStrictEqual(ours, sorted(expectedTable(log)), `seed ${seed}`)
              }
            }),
          javaLogs * 6_000
        )
      })
    }
  )

  describe.skipIf(pythonMissing !== undefined)(
    `Python's ktables beside ours, through ${transport.name}${because(pythonMissing)}`,
    () => {
      layer(PythonPeer.layer.pipe(Layer.provideMerge(onTestKafka(transport.client))), {
        excludeTestServices: true,
        timeout: 300_000
      })((it) => {
        for (const partitions of [1, 5]) {
          it.effect(`each reads what the other writes, in ${partitions} partition(s)`, () =>
            Effect.gen(function* () {
              const python = yield* PythonPeer.PythonPeer
              const name = yield* TestKafka.uniqueName("python")
              const topic = TableTopic.make({ name, key: Schema.String, value: Service, partitions })
              const table = yield* KafkaTable.make(topic)
              const writer = yield* KafkaTableWriter.make(topic)
              const theirs = yield* python.table({ topic: name, partitions })
              const keys = ["", "a", "billing", "ключ", "😀", ...Array.from({ length: 40 }, (_, i) => `key-${i}`)]
              for (const [i, key] of keys.entries()) {
                if (i % 2 === 0) yield* writer.set(key, { host: "ours", port: i })
                else yield* theirs.set(key, { host: "theirs", port: i })
              }
              // Each overwrites and deletes what the other wrote.
              yield* writer.set("a", { host: "ours", port: -1 })
              yield* theirs.set("billing", { host: "theirs", port: -2 })
              yield* writer.delete("ключ")
              yield* theirs.delete("😀")
              yield* table.barrier()
              assert.isTrue(yield* theirs.barrier)
              const ours = sorted(yield* table.entries)
              assert.strictEqual(ours.length, keys.length - 2)
              assert.deepStrictEqual(ours, sorted(yield* theirs.dump) as typeof ours)
              assert.strictEqual((yield* table.health).stats.foreign, 0)
            })
          )
        }
      })
    }
  )
}
