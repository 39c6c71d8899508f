/** The embedded Kafka's compaction beside the cleaner of a real broker, on the same log. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { KafkaClientContract, TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { AbortedTransaction, KafkaClient } from "effect-ktables/KafkaClient"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import {
  eventually,
  fetchOne,
  freshTopic,
  newProducer,
  produce,
  type TestTopic
} from "../../src/internal/contract/support.ts"
import { type ReadBatch, readBatches } from "../../src/internal/recordBatch.ts"

const { ContractAdmin } = KafkaClientContract

const broker = Layer.unwrap(Effect.map(TestKafka.TestKafka, ({ brokers }) => KafkaJsClient.layer({ brokers }))).pipe(
  Layer.merge(KafkaClientContract.brokerAdmin),
  Layer.provideMerge(TestKafka.layer)
)

const segmentMs = 60_000

/** Every batch of the log, and the aborted transactions of it; producers by the order in which they come. */
const contents = Effect.fnUntraced(function* (topic: TestTopic) {
  const batches: Array<ReadBatch> = []
  const aborted = new Map<string, AbortedTransaction>()
  // A broker's answer ends with the segment.
  for (let position = 0; ;) {
    const { abortedTransactions, highWatermark, records } = yield* fetchOne(topic, position)
    for (const one of abortedTransactions) aborted.set(`${one.producerId} ${one.firstOffset}`, one)
    const read = readBatches(records)
    batches.push(...read)
    const last = read.at(-1)?.lastOffset
    if (last === undefined || last + 1 >= highWatermark) break
    position = last + 1
  }
  const producers = [...new Set(batches.map(({ producerId }) => producerId).filter((id) => id >= 0))]
  return {
    batches: batches.map((batch) => ({
      base: batch.baseOffset,
      last: batch.lastOffset,
      producer: producers.indexOf(batch.producerId),
      sequence: batch.baseSequence,
      isTransactional: batch.isTransactional,
      isControl: batch.isControl,
      hasDeleteHorizon: batch.hasDeleteHorizon,
      offsets: batch.records.map(({ offset }) => offset),
      records: batch.isControl ? [] : batch.records.map(({ key, value }) => [key, value])
    })),
    aborted: [...aborted.values()].map(({ firstOffset, producerId }) => [producers.indexOf(producerId), firstOffset])
  }
})

const INVALID_CONFIG = 40
const FETCH = 1

type Clean = (topic: TestTopic, round: number) => Effect.Effect<unknown, unknown, KafkaClient>

/** Writes the log and has it cleaned three times; each round sees what the one before it has left, and two records more. */
const cleaned = Effect.fnUntraced(function* (deleteRetention: string, clean: Clean) {
  const admin = yield* ContractAdmin
  const config = {
    "cleanup.policy": "compact",
    "segment.ms": String(segmentMs),
    "min.cleanable.dirty.ratio": "0",
    "delete.retention.ms": deleteRetention
  }
  // Kafka before 3.6 does not know the setting, and takes any timestamp.
  const topic = yield* freshTopic({
    config: { ...config, "message.timestamp.after.max.ms": "9223372036854775807" }
  }).pipe(
    Effect.catchIf(
      (error) => error._tag === "BrokerError" && error.code === INVALID_CONFIG,
      () => freshTopic({ config })
    )
  )
  let now = Date.now()
  const record = (key: string, value: string | null) => ({ key, value, timestamp: now })
  const write = (...records: ReadonlyArray<readonly [key: string, value: string | null]>) =>
    produce(
      topic,
      records.map(([key, value]) => record(key, value))
    )
  const transaction = Effect.fnUntraced(function* (end: "abort" | "commit", ...keys: ReadonlyArray<string>) {
    const open = yield* admin.beginTransaction
    for (const key of keys) yield* open.append(topic.topic, 0, [record(key, end)])
    const { highWatermark } = yield* fetchOne(topic, 0)
    yield* open[end]
    yield* eventually(fetchOne(topic, 0), ({ lastStableOffset }) => lastStableOffset === highWatermark + 1)
  })

  yield* write(["k1", "1"], ["k2", "1"], ["k3", "1"])
  const producer = yield* newProducer
  yield* produce(topic, [record("k4", "1")], { ...producer, baseSequence: 0 })
  yield* produce(topic, [record("k4", "2")], { ...producer, baseSequence: 1 })
  yield* transaction("abort", "k1")
  yield* transaction("commit", "k2")
  yield* write(["k3", null])
  yield* transaction("commit", "k5", "k9")
  yield* transaction("abort", "k6", "k7")
  yield* write(["k4", "3"], ["k9", "2"], ["k8", "1"])
  for (let round = 0; round < 3; round++) {
    yield* write([`pulse-${round}`, "first"])
    yield* write([`pulse-${round}`, "second"])
    now += 2 * segmentMs
    // Rolls the segment: a broker cleans all but the one it writes to.
    yield* write([`roll-${round}`, ""])
    yield* clean(topic, round)
  }
  return yield* contents(topic)
})

/** A round is over when the older one of its two records is gone. */
const byBroker: Clean = (topic, round) =>
  eventually(contents(topic), ({ batches }) => !JSON.stringify(batches).includes(`["pulse-${round}","first"]`))

const onBroker = (deleteRetention: string) => cleaned(deleteRetention, byBroker)

const onMemory = (deleteRetention: string) =>
  Effect.gen(function* () {
    const kafka = yield* MemoryKafka.MemoryKafka
    return yield* cleaned(deleteRetention, ({ topic }) => kafka.compact(topic))
  }).pipe(Effect.provide(KafkaClientContract.memoryAdmin.pipe(Layer.provideMerge(Layer.fresh(MemoryKafka.layer)))))

layer(broker, { excludeTestServices: true })("the embedded Kafka compacts as a broker does", (it) => {
  it.effect("keeping tombstones and markers for their time", () =>
    Effect.gen(function* () {
      const { admin } = yield* TestKafka.TestKafka
      const version = yield* admin.highestVersion(FETCH)
      const { aborted, batches } = yield* onMemory("86400000")
      assert.isTrue(batches.some(({ hasDeleteHorizon }) => hasDeleteHorizon))
      // Before Kafka 3.1 a cleaner goes by the times of segments, and writes no horizon (KIP-534).
      const expected = version >= 13 ? batches : batches.map((batch) => ({ ...batch, hasDeleteHorizon: false }))
      assert.deepStrictEqual({ batches: expected, aborted }, yield* onBroker("86400000"))
    })
  )

  it.effect("dropping tombstones and markers when their time is over", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* onMemory("0"), yield* onBroker("0"))
    })
  )
})
