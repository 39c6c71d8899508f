import { assert, describe, it } from "@effect/vitest"
import { TestKafka } from "@effect-ktables/testing"
import { expectedTable, JavaPeer, PeerFailed, pinnedOffsets } from "@effect-ktables/testing/interop"
import { Effect, Layer } from "effect"

const FETCH = 1

const missing = JavaPeer.unavailable()
const reason = missing === undefined ? "" : ` (skipped: ${missing})`

const sorted = (table: ReadonlyMap<string, string>) => [...table].sort(([a], [b]) => (a < b ? -1 : 1))

/** Before Kafka 3.1 a cleaner takes an abort marker away when a later record has the marker's key (KAFKA-14055). */
const keepsMarkers = Effect.flatMap(TestKafka.TestKafka, ({ admin }) =>
  Effect.map(admin.highestVersion(FETCH), (version) => version >= 13)
)

const text = (value: string) => Buffer.from(value).toString("base64")

describe.skipIf(missing !== undefined)(`the Java peer${reason}`, () => {
  it.layer(JavaPeer.layer.pipe(Layer.provideMerge(TestKafka.layer)))((it) => {
    const logs = [
      { name: "interleaved transactions", options: { seed: 1, partitions: 3 } },
      { name: "a transaction that is left open", options: { seed: 2, partitions: 2, hanging: true } },
      { name: "a compacted log", options: { seed: 3, partitions: 2, compact: true } },
      { name: "a compacted log with an open transaction", options: { seed: 4, hanging: true, compact: true } }
    ]
    for (const { name, options } of logs) {
      it.effect(`reads from ${name} what was committed`, () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* TestKafka.uniqueName("log")
          const markerKeys = options.compact !== true || (yield* keepsMarkers)
          const log = yield* java.transactionalLog({ topic, ...options, markerKeys })
          const read = yield* java.readCommitted(topic)
          assert.deepStrictEqual(sorted(read.table), sorted(expectedTable(log)))
          assert.include(log.transactions, "committed")
          assert.include(log.transactions, "aborted")
          assert.isTrue(log.records.some((record) => record.key === (markerKeys ? "AAAAAA==" : "AQAAAA==")))
          assert.isTrue(log.records.some((record) => record.key === ""))
          for (const [partition, offset] of pinnedOffsets(log)) assert.strictEqual(read.ends[partition], offset)
          assert.strictEqual(pinnedOffsets(log).size > 0, options.hanging === true)
          const all = yield* java.readUncommitted(topic)
          if (options.compact) assert.isBelow(all.count, log.records.length)
          else assert.strictEqual(all.count, log.records.length)
        })
      )
    }

    it.effect("writes the same log again from the same seed", () =>
      Effect.gen(function* () {
        const java = yield* JavaPeer.JavaPeer
        const write = Effect.gen(function* () {
          const topic = yield* TestKafka.uniqueName("seed")
          const log = yield* java.transactionalLog({ topic, seed: 7, partitions: 2, steps: 20 })
          return { ...log, records: log.records.map((record) => ({ ...record, offset: 0 })) }
        })
        assert.deepStrictEqual(yield* write, yield* write)
      })
    )

    it.effect("shows a transaction once it is committed, and never one that is aborted", () =>
      Effect.gen(function* () {
        const java = yield* JavaPeer.JavaPeer
        const topic = yield* TestKafka.uniqueName("transaction")
        yield* java.createTopic({ topic })
        const transactionalId = topic
        const write = (value: string) =>
          java
            .beginTransaction({ transactionalId, compression: "lz4" })
            .pipe(Effect.andThen(java.produce({ topic, transactionalId, records: [{ key: "k", value }] })))
        yield* write("aborted")
        yield* java.abortTransaction(transactionalId)
        yield* write("first")
        yield* java.commitTransaction(transactionalId)
        yield* write("open")
        assert.deepStrictEqual(
          (yield* java.openTransactions(topic)).map(({ firstOffset, partition }) => ({ firstOffset, partition })),
          [{ firstOffset: 4, partition: 0 }]
        )
        const pinned = yield* java.readCommitted(topic)
        assert.deepStrictEqual([...pinned.table], [[text("k"), text("first")]])
        assert.deepStrictEqual(pinned.ends, [4])
        assert.strictEqual(yield* java.abortTransactions(topic), 1)
        const aborted = yield* java.readCommitted(topic)
        assert.deepStrictEqual([...aborted.table], [[text("k"), text("first")]])
        assert.deepStrictEqual(aborted.ends, [6])
      })
    )

    it.effect("places keys by the hash that Kafka's own tests pin", () =>
      Effect.gen(function* () {
        const java = yield* JavaPeer.JavaPeer
        const topic = yield* TestKafka.uniqueName("partitioner")
        const partitions = 7
        yield* java.createTopic({ topic, partitions })
        // The vectors of UtilsTest.testMurmur2 in Kafka's clients.
        const hashes: ReadonlyArray<readonly [string, number]> = [
          ["21", -973932308],
          ["foobar", -790332482],
          ["a-little-bit-long-string", -985981536],
          ["a-little-bit-longer-string", -1486304829],
          ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971]
        ]
        const acks = yield* java.produce({ topic, records: hashes.map(([key]) => ({ key, value: "v" })) })
        assert.deepStrictEqual(
          acks.map((ack) => ack.partition),
          hashes.map(([, hash]) => (hash & 0x7fffffff) % partitions)
        )
      })
    )

    for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
      it.effect(`keeps nulls, empty bytes, headers and timestamps under compression ${compression}`, () =>
        Effect.gen(function* () {
          const java = yield* JavaPeer.JavaPeer
          const topic = yield* TestKafka.uniqueName(compression)
          yield* java.createTopic({ topic })
          const timestamp = 1_700_000_000_000
          yield* java.produce({
            topic,
            compression,
            records: [
              { key: "a", value: null, timestamp },
              { key: "", value: "", timestamp, headers: [{ key: "h", value: null }] },
              { key: null, value: Uint8Array.of(0, 255), timestamp, headers: [{ key: "h", value: "" }] }
            ]
          })
          const partition = 0
          assert.deepStrictEqual(yield* java.committedRecords(topic), [
            { partition, offset: 0, timestamp, key: text("a"), value: null, headers: [] },
            { partition, offset: 1, timestamp, key: "", value: "", headers: [{ key: "h", value: null }] },
            { partition, offset: 2, timestamp, key: null, value: "AP8=", headers: [{ key: "h", value: "" }] }
          ])
        })
      )
    }

    it.effect("administers topics", () =>
      Effect.gen(function* () {
        const java = yield* JavaPeer.JavaPeer
        const topic = yield* TestKafka.uniqueName("admin")
        const created = yield* java.createTopic({ topic, config: { "cleanup.policy": "compact,delete" } })
        assert.match(created.topicId, /^[0-9a-f]{32}$/)
        assert.strictEqual(created.config["cleanup.policy"], "compact,delete")
        assert.deepStrictEqual(
          created.partitions.map(({ partition, leader, isr }) => [partition, isr[0] === leader]),
          [[0, true]]
        )
        assert.strictEqual((yield* java.createPartitions(topic, 3)).partitions.length, 3)
        yield* java.produce({ topic, records: ["a", "b", "c"].map((key) => ({ key, value: "v", partition: 1 })) })
        assert.deepStrictEqual(yield* java.deleteRecords(topic, { 1: 2 }), { 1: 2 })
        assert.deepStrictEqual((yield* java.readCommitted(topic)).starts, [0, 2, 0])
        yield* java.alterConfig(topic, { set: { "retention.ms": "60000" }, unset: ["cleanup.policy"] })
        assert.deepStrictEqual((yield* java.describeTopic(topic)).config, {
          "cleanup.policy": "delete",
          "retention.ms": "60000"
        })
        const again = yield* java.recreateTopic({ topic, partitions: 2 })
        assert.notStrictEqual(again.topicId, created.topicId)
        assert.strictEqual(again.partitions.length, 2)
        yield* java.deleteTopic(topic)
        const failed = yield* Effect.flip(java.describeTopic(topic))
        assert.instanceOf(failed, PeerFailed)
        assert.include(failed.message, "UnknownTopicOrPartitionException")
      })
    )

    it.effect("passes on that a leader needs no election", () =>
      Effect.gen(function* () {
        const java = yield* JavaPeer.JavaPeer
        const topic = yield* TestKafka.uniqueName("election")
        yield* java.createTopic({ topic })
        const failed = yield* Effect.flip(java.electLeader({ topic, partition: 0, unclean: true }))
        assert.include(failed.message, "ElectionNotNeededException")
      })
    )
  })
})
