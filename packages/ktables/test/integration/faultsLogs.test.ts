/** What may be in a real broker's log, what is missing in it, and loads that are slower than what is written meanwhile. */
import { TestKafka } from "@effect-ktables/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, Schema, type Scope } from "effect"
import { Codec, type KafkaClient, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { type BatchRecord, encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { append as appendBatch } from "./faults/rawLog.ts"
import { assertNoSockets, clients, heal, type Transport, transports } from "./faults/scenario.ts"
import { until } from "./faults/until.ts"

class Broker extends Context.Service<Broker, TestKafka.Cluster>()("test/faults/Broker") {}

const broker = Layer.effect(Broker, TestKafka.startCluster({ nodes: 1, heap: "512m", proxies: true }))

const connected = (transport: Transport) =>
  Layer.unwrap(Effect.map(Broker, ({ brokers }) => clients[transport]({ brokers })))

const healed = Effect.flatMap(Broker, (cluster) =>
  Effect.andThen(Effect.orDie(heal(cluster)), assertNoSockets(cluster))
)

const QUICK = { ensureTopic: false, fetch: { maxWait: "500 millis" } } as const

/** A topic of whole numbers with these settings. */
const newTopic = Effect.fnUntraced(function* (partitions: number, config: Readonly<Record<string, string>> = {}) {
  const name = yield* TestKafka.uniqueName("log")
  const { admin } = yield* Broker
  yield* admin.createTopic({ topic: name, partitions, config: { "cleanup.policy": "compact", ...config } })
  return TableTopic.make({ name, key: Schema.String, value: Schema.Int })
})

/** Writes one batch to partition 0, as it is given. */
const append = (
  topic: string,
  records: ReadonlyArray<Omit<BatchRecord, "offsetDelta" | "timestamp"> & { readonly timestamp?: number }>
) => {
  const batch = encodeBatch(records.map((record, offsetDelta) => ({ timestamp: Date.now(), ...record, offsetDelta })))
  return appendBatch(topic, batch, 30_000)
}

const bytes = (text: string): Buffer => Buffer.from(text)

describe("a real broker's log", () => {
  layer(broker, { excludeTestServices: true, timeout: 300_000 })((it) => {
    for (const transport of transports) {
      const test = <A, E>(body: Effect.Effect<A, E, Broker | KafkaClient.KafkaClient | Scope.Scope>) =>
        body.pipe(Effect.provide(connected(transport)), Effect.scoped, Effect.ensuring(healed))

      it.effect(`that is empty, or was emptied by deletion, is complete at once, through ${transport}`, () =>
        test(
          Effect.gen(function* () {
            const { admin } = yield* Broker
            const topic = yield* newTopic(3, { "cleanup.policy": "compact,delete" })
            const writer = yield* KafkaTableWriter.make(topic, { ensureTopic: false })
            const empty = yield* KafkaTable.make(topic, QUICK)
            assert.strictEqual(yield* empty.size, 0)
            yield* writer.setAll(Array.from({ length: 100 }, (_, n) => [`key-${n}`, n] as const))
            yield* Effect.forEach([0, 1, 2], (partition) => admin.deleteRecords(topic.name, partition, -1))
            const emptied = yield* KafkaTable.make(topic, QUICK)
            assert.strictEqual(yield* emptied.size, 0)
            assert.strictEqual((yield* emptied.status)._tag, "CaughtUp")
            yield* emptied.awaitOffset(yield* writer.set("next", 1))
            assert.deepStrictEqual(yield* emptied.keys, ["next"])
          })
        )
      )

      it.effect(
        `that grows faster than it is read ends a load where it ended at the start, degraded meanwhile, through ${transport}`,
        () =>
          test(
            Effect.gen(function* () {
              const { innerBrokers, nodes } = yield* Broker
              const topic = yield* newTopic(1)
              const around = yield* Layer.build(clients[transport]({ brokers: innerBrokers }))
              const writer = yield* Effect.provide(KafkaTableWriter.make(topic, { ensureTopic: false }), around)
              const batch = (round: number) =>
                writer.setAll(Array.from({ length: 5000 }, (_, n) => [`${round}-${n}`.padEnd(100, "."), n] as const))
              for (let round = 0; round < 4; round++) yield* batch(round)
              const { proxy } = nodes[0]!
              // The load takes some four seconds of it.
              yield* proxy!.limit(600_000, "toClient")
              let written = 4
              const writing = yield* Effect.forkScoped(
                Effect.forever(Effect.tap(batch(0), () => Effect.sync(() => written++)))
              )
              const table = yield* KafkaTable.make(topic, {
                ...QUICK,
                catchUp: { mode: "await", timeout: "1 second", onTimeout: "degrade" },
                fetch: { ...QUICK.fetch, maxPartitionBytes: 200_000 }
              })
              assert.strictEqual((yield* table.status)._tag, "Degraded")
              yield* until(
                "it is complete by itself",
                Effect.map(table.status, ({ _tag }) => _tag === "CaughtUp")
              )
              assert.isUndefined(writing.pollUnsafe(), "writes go on")
              assert.isAbove(written, 4)
              assert.isAbove((yield* table.health).partitions[0]!.lag, 0)
              yield* Fiber.interrupt(writing)
              yield* proxy!.limit(undefined)
              yield* table.barrier()
              assert.strictEqual(yield* table.size, 20_000)
            })
          )
      )

      it.effect(
        `with empty keys and values, deletions of what is not there, and two spellings of a key is read as it says, through ${transport}`,
        () =>
          test(
            Effect.gen(function* () {
              const { name } = yield* newTopic(1)
              const key = Codec.text(Schema.FiniteFromString)
              const numbers = TableTopic.make({ name, key, value: Codec.string })
              const strings = TableTopic.make({ name, key: Schema.String, value: Codec.string })
              const write = append(name, [
                { key: bytes("7"), value: null },
                { key: bytes("7"), value: null },
                { key: bytes("1"), value: bytes("one") },
                { key: bytes("01"), value: bytes("one, spelt otherwise") },
                { key: bytes("2"), value: bytes("") },
                { key: bytes(""), value: bytes("of the empty key") },
                { key: Buffer.from([0xff, 0xfe]), value: bytes("of no text") }
              ])
              const early = [yield* KafkaTable.make(numbers, QUICK), yield* KafkaTable.make(strings, QUICK)] as const
              yield* write
              const loaded = [yield* KafkaTable.make(numbers, QUICK), yield* KafkaTable.make(strings, QUICK)] as const
              for (const [byNumber, byText] of [early, loaded]) {
                yield* Effect.all([byNumber.barrier(), byText.barrier()])
                assert.deepStrictEqual([byNumber.view.get(1), byNumber.view.get(2)], ["one, spelt otherwise", ""])
                assert.deepStrictEqual(
                  new Map(yield* byText.entries),
                  new Map([
                    ["1", "one"],
                    ["01", "one, spelt otherwise"],
                    ["2", ""],
                    ["", "of the empty key"]
                  ])
                )
                assert.strictEqual((yield* byText.health).stats.keyDecodeErrors, 1)
              }
            })
          )
      )

      it.effect(`whose timestamps go back is read by its offsets, through ${transport}`, () =>
        test(
          Effect.gen(function* () {
            const now = Date.now()
            const orders: ReadonlyArray<Readonly<Record<string, string>>> = [
              {},
              { "message.timestamp.type": "LogAppendTime" }
            ]
            for (const config of orders) {
              const topic = yield* newTopic(1, config)
              for (let n = 0; n < 3; n++) {
                yield* append(topic.name, [{ key: bytes("key"), value: bytes(`${n}`), timestamp: now - n * 3_600_000 }])
              }
              const table = yield* KafkaTable.make(topic, QUICK)
              assert.strictEqual(table.view.get("key"), 2)
              yield* append(topic.name, [{ key: bytes("key"), value: bytes("3"), timestamp: now - 86_400_000 }])
              yield* table.barrier()
              assert.strictEqual(table.view.get("key"), 3)
            }
          })
        )
      )

      it.effect(`with a batch of 30 MB is read whole, loaded and followed, through ${transport}`, () =>
        test(
          Effect.gen(function* () {
            const topic = yield* newTopic(1, { "max.message.bytes": String(64 << 20) })
            const padding = "x".repeat(1000)
            const texts = TableTopic.make({ name: topic.name, key: Schema.String, value: Codec.string })
            const batch = (round: number) =>
              append(
                topic.name,
                Array.from({ length: 30_000 }, (_, n) => ({
                  key: bytes(`key-${n}`),
                  value: bytes(`${round} ${n} ${padding}`)
                }))
              )
            yield* batch(1)
            const table = yield* KafkaTable.make(texts, QUICK)
            assert.strictEqual(yield* table.size, 30_000)
            assert.isTrue(table.view.get("key-29999")!.startsWith("1 29999 "))
            yield* batch(2)
            yield* table.barrier()
            assert.strictEqual(yield* table.size, 30_000)
            assert.isTrue([...table.view.values()].every((value) => value.startsWith("2 ")))
          })
        )
      )

      it.effect(
        `still has a write that hundreds of batches followed, and ends the wait for one that was deleted, through ${transport}`,
        () =>
          test(
            Effect.gen(function* () {
              const { admin } = yield* Broker
              const topic = yield* newTopic(1, { "cleanup.policy": "compact,delete" })
              const writer = yield* KafkaTableWriter.make(topic, { ensureTopic: false })
              const another = yield* KafkaTableWriter.make(topic, { ensureTopic: false })
              const table = yield* KafkaTable.make(topic, QUICK)
              const gone = yield* writer.set("gone", 1)
              const kept = yield* writer.set("kept", 2)
              // Batches of one writer that follow each other are remembered as one.
              for (let n = 0; n < 600; n++) yield* (n % 2 === 0 ? another : writer).set("other", n)
              yield* admin.deleteRecords(topic.name, 0, gone.offset! + 1)
              yield* until(
                "its entry goes",
                Effect.map(table.has("gone"), (has) => !has)
              )
              const lost = yield* Effect.flip(table.awaitOffset(gone))
              assert.strictEqual(lost._tag, "DataLoss")
              yield* table.awaitOffset(kept)
            })
          )
      )

      it.effect(
        `that a disk has damaged is UnreadableRecords, with partition and offset, and no busy loop, through ${transport}`,
        () =>
          test(
            Effect.gen(function* () {
              const [node] = (yield* Broker).nodes
              const topic = yield* newTopic(1)
              const marked = "123456789"
              for (const value of ["1", marked, "2"])
                yield* append(topic.name, [{ key: bytes("key"), value: bytes(value) }])
              yield* node!.stop
              const file = path.join(node!.data, `${topic.name}-0`, `${"0".repeat(20)}.log`)
              yield* Effect.promise(async () => {
                const log = await fs.readFile(file)
                log[log.indexOf(marked)]! ^= 1
                await fs.writeFile(file, log)
              })
              yield* node!.start
              const fetches = Effect.map(node!.proxy!.traffic, ({ requests }) => requests.get(1) ?? 0)
              const before = yield* fetches
              const error = yield* Effect.flip(KafkaTable.make(topic, QUICK))
              assert.deepInclude(error, { _tag: "UnreadableRecords", topic: topic.name, partition: 0, offset: 1 })
              assert.isBelow((yield* fetches) - before, 10)
            })
          )
      )
    }
  })
})
