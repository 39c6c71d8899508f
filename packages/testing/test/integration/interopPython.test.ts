import { assert, describe, it } from "@effect/vitest"
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer, PythonPeer } from "@effect-ktables/testing/interop"
import { Effect, Layer } from "effect"

const missing = PythonPeer.unavailable() ?? JavaPeer.unavailable()
const reason = missing === undefined ? "" : ` (skipped: ${missing})`

const text = (value: string) => Buffer.from(value).toString("base64")

const peers = Layer.mergeAll(PythonPeer.layer, JavaPeer.layer).pipe(Layer.provideMerge(TestKafka.layer))

describe.skipIf(missing !== undefined)(`the Python peer${reason}`, () => {
  it.layer(peers)((it) => {
    it.effect("sets and deletes keys of a flat table over several partitions", () =>
      Effect.gen(function* () {
        const python = yield* PythonPeer.PythonPeer
        const java = yield* JavaPeer.JavaPeer
        const topic = yield* TestKafka.uniqueName("flat")
        const table = yield* python.table({ topic, partitions: 3 })
        const description = yield* java.describeTopic(topic)
        assert.strictEqual(description.partitions.length, 3)
        assert.strictEqual(description.config["cleanup.policy"], "compact")
        const keys = Array.from({ length: 12 }, (_, index) => `key ${index}`)
        for (const key of [...keys, "ключ 😀", ""]) yield* table.set(key, { name: `é "${key}"`, n: 1.5 })
        yield* table.set("gone", [1])
        yield* table.delete("gone")
        assert.isTrue(yield* table.barrier)
        assert.sameMembers([...(yield* table.dump).keys()], [...keys, "ключ 😀", ""])
        assert.deepStrictEqual(yield* table.get("key 3"), { name: `é "key 3"`, n: 1.5 })
        const state = yield* table.state
        assert.deepStrictEqual([state.status, state.records, state.tombstones], ["caught_up", 15, 1])
        const read = yield* java.readCommitted(topic)
        assert.strictEqual(read.table.get(text("ключ 😀")), text(`{"name":"é \\"ключ 😀\\"","n":1.5}`))
        assert.strictEqual(read.table.size, 14)
      })
    )

    it.effect("follows what Java writes, and skips what does not decode", () =>
      Effect.gen(function* () {
        const python = yield* PythonPeer.PythonPeer
        const java = yield* JavaPeer.JavaPeer
        const topic = yield* TestKafka.uniqueName("follow")
        const table = yield* python.table({ topic })
        yield* java.produce({
          topic,
          compression: "zstd",
          records: [
            { key: "kept", value: "1" },
            { key: "kept", value: "{" },
            { key: Uint8Array.of(255), value: "1" },
            { key: "empty", value: "" },
            { key: "null", value: "null" },
            { key: "gone", value: "1" },
            { key: "gone", value: null }
          ]
        })
        assert.isTrue(yield* table.barrier)
        assert.deepStrictEqual(
          [...(yield* table.dump)],
          [
            ["kept", 1],
            ["null", null]
          ]
        )
        const state = yield* table.state
        assert.deepStrictEqual([state.keyDecodeErrors, state.valueDecodeErrors, state.tombstones], [1, 2, 1])
      })
    )

    it.effect("hides aborted records only when told to read committed ones", () =>
      Effect.gen(function* () {
        const python = yield* PythonPeer.PythonPeer
        const java = yield* JavaPeer.JavaPeer
        const topic = yield* TestKafka.uniqueName("isolation")
        yield* java.createTopic({ topic, config: { "cleanup.policy": "compact" } })
        yield* java.beginTransaction({ transactionalId: topic })
        yield* java.produce({ topic, transactionalId: topic, records: [{ key: "k", value: "1" }] })
        yield* java.abortTransaction(topic)
        const open = yield* python.table({ topic })
        assert.deepStrictEqual([...(yield* open.dump)], [["k", 1]])
        const committed = yield* python.table({ topic, isolation: "read_committed" })
        assert.deepStrictEqual([...(yield* committed.dump)], [])
      })
    )

    it.effect("writes the length of a group in code points in front of a grouped key", () =>
      Effect.gen(function* () {
        const python = yield* PythonPeer.PythonPeer
        const java = yield* JavaPeer.JavaPeer
        const topic = yield* TestKafka.uniqueName("grouped")
        const table = yield* python.groupedTable({ topic })
        yield* table.set("😀é", "1:m", true)
        yield* table.set("", "", 0)
        yield* table.set("g", "gone", 1)
        yield* table.delete("g", "gone")
        yield* java.produce({
          topic,
          records: ["no prefix", "01:ab", "9:ab", "1:xy"].map((key) => ({ key, value: "7" }))
        })
        assert.isTrue(yield* table.barrier)
        assert.deepStrictEqual(
          [...(yield* table.dump)].map(([group, members]) => [group, [...members]]),
          [
            ["😀é", [["1:m", true]]],
            ["", [["", 0]]],
            ["x", [["y", 7]]]
          ]
        )
        assert.strictEqual((yield* table.state).foreignKeys, 3)
        const { table: flat } = yield* java.readCommitted(topic)
        assert.strictEqual(flat.get(text("2:😀é1:m")), text("true"))
        assert.strictEqual(flat.get(text("0:")), text("0"))
      })
    )

    for (const client of ["aiokafka", "librdkafka"] as const) {
      it.effect(`writes through ${client}, in every compression, where and what Java would`, () =>
        Effect.gen(function* () {
          const python = yield* PythonPeer.PythonPeer
          const java = yield* JavaPeer.JavaPeer
          const timestamp = 1_700_000_000_000
          const keys = [...Array.from({ length: 20 }, (_, index) => "k".repeat(index)), "ключ"]
          const records = keys.map((key, index) => ({
            key,
            value: index % 5 === 0 ? null : `value ${index} `.repeat(index),
            timestamp,
            headers: index === 1 ? [{ key: "h", value: "v" }] : []
          }))
          const topics = yield* Effect.all([TestKafka.uniqueName(client), TestKafka.uniqueName("java")])
          for (const topic of topics) yield* java.createTopic({ topic, partitions: 5 })
          const [theirs, javas] = topics
          for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
            const acks = yield* python.produce({ client, topic: theirs, records, compression })
            const expected = yield* java.produce({ topic: javas, records, compression })
            assert.deepStrictEqual(
              acks.map((ack) => ack.partition),
              expected.map((ack) => ack.partition)
            )
          }
          assert.deepStrictEqual(yield* java.committedRecords(theirs), yield* java.committedRecords(javas))
        })
      )
    }
  })
})
