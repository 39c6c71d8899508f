/** How fault tests begin: the topic of numbers on an embedded cluster, perhaps behind a script, and a table of it. */
import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Codec, type KafkaClient, KafkaError, KafkaTable, TableTopic, type WriteAck } from "effect-ktables"
import type * as MemoryKafka from "effect-ktables/MemoryKafka"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { Script } from "../support/script.ts"
import { failureOf, observe, type SubjectOptions } from "../support/subject.ts"
import { within } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"

/** The topic, empty. */
export const withTopic = Effect.fnUntraced(function* (options?: MemoryKafka.TopicOptions) {
  const kafka = yield* memory
  yield* kafka.createTopic("numbers", options)
  return kafka
})

/** The topic, empty and behind a script. */
export const scriptedTopic = Effect.fnUntraced(function* (options?: MemoryKafka.TopicOptions) {
  return { kafka: yield* withTopic(options), script: yield* Script }
})

/** A table of the topic, watched by everybody who could notice a fault. */
export const observeNumbers = (options: Omit<SubjectOptions<string, number>, "decoding"> = {}) =>
  observe(numbers, { ...options, decoding: numberDecoding })

/** Appends keys to each partition: `p0-0`, `p0-1` and so on, then `p1-0`. */
export const fillPartitions = Effect.fnUntraced(function* (partitions: number, size: number) {
  for (let partition = 0; partition < partitions; partition++) {
    yield* write("numbers", keys(size, `p${partition}-`), { partition })
  }
})

/** A table behind a script that is caught up with ten records in each partition: `p0-0` to `p0-9`, `p1-0` and so on. */
export const scriptedTable = Effect.fnUntraced(function* (partitions = 1, table?: KafkaTable.Options) {
  const { kafka, script } = yield* scriptedTopic({ partitions })
  yield* fillPartitions(partitions, 10)
  const subject = yield* observeNumbers({ table })
  return { kafka, script, subject }
})

/** A table that is caught up with ten records in one partition: `k0` to `k9`. */
export const tableOfTen = Effect.fnUntraced(function* (table?: KafkaTable.Options) {
  const kafka = yield* withTopic()
  yield* write("numbers", keys(10))
  const subject = yield* observeNumbers({ table })
  return { kafka, subject }
})

/** A table that is caught up with twenty records in each of three partitions, led by brokers 1, 2 and 3. */
export const tableOnThree = Effect.fnUntraced(function* (table?: KafkaTable.Options) {
  const kafka = yield* withTopic({ partitions: 3 })
  yield* fillPartitions(3, 20)
  const subject = yield* observeNumbers({ table })
  return { kafka, subject }
})

/** The acknowledgement of a plain record at an offset. */
export const ackAt = (offset: number): WriteAck.WriteAck => ({
  topic: "numbers",
  topicId: undefined,
  partition: 0,
  offset,
  timestamp: 0,
  producerId: undefined,
  producerEpoch: -1,
  sequence: -1
})

/** The error that a table's start ends with. */
export const failureOfStart = (millis: number, options?: KafkaTable.Options) =>
  within("the failure", millis, failureOf(Effect.scoped(KafkaTable.make(numbers, options))))

/** The topic with a codec that has its own way with numbers. */
export const numbersDecodedBy = (decode: (value: number) => Effect.Effect<number>) =>
  TableTopic.make({
    name: "numbers",
    key: Schema.String,
    value: Codec.make<number, never, never>({
      decode: (bytes: Uint8Array) => decode(Number(Buffer.from(bytes).toString())),
      encode: (value: number) => Effect.succeed(Buffer.from(String(value)))
    })
  })

/** A record of a number; null is a tombstone. */
export const record = (key: string | Uint8Array, value: number | null): MemoryKafka.MemoryRecord => ({
  key,
  value: value === null ? null : String(value)
})

/** Appends batches of keys: `0-0`, `0-1` and so on, then `1-0`. */
export const writeBatches = Effect.fnUntraced(function* (batches: number, size: number) {
  for (let i = 0; i < batches; i++) yield* write("numbers", keys(size, `${i}-`))
})

/** Appends values that do not decode. */
export const poison = Effect.fnUntraced(function* (keys: ReadonlyArray<string>, options?: MemoryKafka.AppendOptions) {
  const kafka = yield* memory
  yield* kafka.append(
    "numbers",
    keys.map((key) => ({ key, value: "poison" })),
    options
  )
})

/** A transaction that ends at once, of a new producer or of one that had a transaction before; the producer is returned. */
export const transact = Effect.fnUntraced(function* (
  kafka: MemoryKafka.Service,
  records: ReadonlyArray<MemoryKafka.MemoryRecord>,
  end: "commit" | "abort",
  producer?: KafkaClient.ProducerIdentity
) {
  const transaction = yield* kafka.beginTransaction({ producer })
  yield* transaction.append("numbers", records)
  yield* transaction[end]
  return transaction.producer
})

/** A broker's connection breaks under a request. */
export const cut = (request: string, broker = 1) =>
  Effect.fail(new KafkaError.ConnectionFailed({ broker: `memory-${broker}:9092`, request, detail: "cut" }))

/** Makes a log, and tests that a table that loads it and one that follows it both come to hold what is expected. */
export const loadedAndLive = (
  title: string,
  make: (kafka: MemoryKafka.Service) => Effect.Effect<unknown, unknown>,
  expected: Record<string, number>,
  options?: KafkaTable.Options
): void => {
  for (const live of [false, true]) {
    it.effect(`${title}, ${live ? "followed" : "loaded"}`, () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic()
          if (!live) yield* Effect.orDie(make(kafka))
          const subject = yield* observe(numbers, {
            decoding: { ...numberDecoding, isolation: options?.isolation },
            table: { ...options, fetch: { maxPartitionBytes: 1 } }
          })
          if (live) yield* Effect.orDie(make(kafka))
          yield* subject.within("a barrier", 30_000, subject.table.barrier())
          assert.deepStrictEqual(Object.fromEntries(subject.contents()), expected)
          yield* subject.verify()
        })
      )
    )
  }
}
