/**
 * Writes the fixtures of the batch reader: fetch answers as a broker gives them, of logs written by Java's producer,
 * aiokafka and librdkafka, beside the records that Java's consumer reads from them.
 *
 * Run `node --conditions=source packages/testing/src/interop/captureRecordSets.ts` and the formatter; a Kafka of several
 * brokers (KAFKA_BROKERS) will not do, since the first one is asked.
 */
import { createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { Effect, Layer } from "effect"
import { ask, Writer } from "../internal/wire.ts"
import * as TestKafka from "../TestKafka.ts"
import { packageFile } from "./cached.ts"
import * as JavaPeer from "./JavaPeer.ts"
import type { PeerRecord } from "./PeerRecord.ts"
import * as PythonPeer from "./PythonPeer.ts"

const compressions = ["none", "gzip", "snappy", "lz4", "zstd"] as const

const timestamp = 1_700_000_000_000

/** A batch of odd records, one that is worth compressing, and one that spans the blocks of snappy and lz4. */
const batches: ReadonlyArray<ReadonlyArray<PeerRecord>> = [
  [
    { key: "a", value: "1", timestamp },
    { key: "a", value: null, timestamp: timestamp - 5 },
    { key: "", value: "", timestamp: timestamp + 5 },
    { key: null, value: "no key", timestamp },
    { key: Uint8Array.of(0, 0, 0, 0), value: Uint8Array.of(0, 0, 0, 0, 255), timestamp },
    {
      key: "ключ 😀",
      value: "headers",
      timestamp,
      headers: [
        { key: "h", value: "v" },
        { key: "h", value: "" }
      ]
    }
  ],
  Array.from({ length: 20 }, (_, index) => ({
    key: `key ${index % 7}`,
    value: `value ${index} `.repeat(1 + index),
    timestamp: timestamp + index
  })),
  [{ key: "large", value: "block after block ".repeat(6000), timestamp }]
]

/** A value that would fill the fixture is given by its hash. */
const expectation = ({ headers, key, offset, timestamp, value }: JavaPeer.JavaRecord) => ({
  offset,
  timestamp,
  key,
  ...(value !== null && value.length > 4096
    ? { valueSha256: createHash("sha256").update(value, "base64").digest("hex") }
    : { value }),
  headers
})

/** Fetch 11 (https://kafka.apache.org/protocol.html#The_Messages_Fetch) of partition 0, under `read_committed`. */
const fetchFrom = async (broker: string, topic: string, fetchOffset: number) => {
  const body = new Writer()
    .int32(-1)
    .int32(500)
    .int32(1)
    .int32(1 << 24)
    .int8(1)
    .int32(0)
    .int32(-1)
    .int32(1)
    .string(topic)
    .int32(1)
    .int32(0)
    .int32(-1)
    .int64(fetchOffset)
    .int64(-1)
    .int32(1 << 24)
    .int32(0)
    .string("")
  const answer = await ask(broker, { name: "Fetch", apiKey: 1, version: 11, body })
  answer.int32()
  if (answer.int16() !== 0) throw new Error(`the broker refused to fetch ${topic}`)
  answer.int32()
  return answer.array(() => {
    answer.string()
    return answer.array(() => {
      answer.int32()
      if (answer.int16() !== 0) throw new Error(`the broker refused to fetch partition 0 of ${topic}`)
      answer.int64()
      const lastStableOffset = answer.int64()
      answer.int64()
      const abortedTransactions = answer.array(() => ({
        producerId: answer.int64(),
        firstOffset: answer.int64()
      }))
      answer.int32()
      return { lastStableOffset, abortedTransactions, records: answer.blob() }
    })
  })[0]![0]!
}

/** One past the last offset of the whole batches of a record set. */
const endOf = (records: Buffer): number => {
  let end = -1
  for (let at = 0; at + 27 <= records.length; at += 12 + records.readInt32BE(at + 8)) {
    end = Number(records.readBigInt64BE(at)) + records.readInt32BE(at + 23) + 1
  }
  return end
}

/** An answer never spans two segments of the log, so there are several. */
const fetchAll = (broker: string, topic: string) =>
  Effect.promise(async () => {
    const answers = []
    for (let fetchOffset = 0, lastStableOffset = 1; fetchOffset < lastStableOffset;) {
      const answer = await fetchFrom(broker, topic, fetchOffset)
      const { abortedTransactions, records } = answer
      answers.push({ fetchOffset, abortedTransactions, records: records.toString("base64") })
      lastStableOffset = answer.lastStableOffset
      fetchOffset = endOf(records)
    }
    return answers
  })

const capture = Effect.fnUntraced(function* (name: string, topic: string) {
  const { brokers } = yield* TestKafka.TestKafka
  const java = yield* JavaPeer.JavaPeer
  const answers = yield* fetchAll(brokers[0]!, topic)
  const { ends } = yield* java.readCommitted(topic)
  const expected = (yield* java.committedRecords(topic)).map(expectation)
  return { name, end: ends[0]!, answers, expected }
})

const plain = (
  produce: (batch: {
    readonly topic: string
    readonly records: ReadonlyArray<PeerRecord>
    readonly compression: (typeof compressions)[number]
    readonly idempotent: boolean
  }) => Effect.Effect<unknown, unknown>
) =>
  Effect.forEach(compressions, (compression, index) =>
    Effect.gen(function* () {
      const java = yield* JavaPeer.JavaPeer
      const topic = yield* TestKafka.uniqueName(compression)
      yield* java.createTopic({ topic })
      const written = compression === "none" ? batches.slice(0, 2) : batches
      for (const records of written) yield* produce({ topic, records, compression, idempotent: index % 2 === 1 })
      return yield* capture(compression, topic)
    })
  )

const logs = [
  { name: "interleaved transactions", options: { seed: 11 } },
  { name: "an open transaction", options: { seed: 12, hanging: true } },
  { name: "compacted", options: { seed: 14, compact: true } },
  { name: "compacted, old tombstones and markers gone", options: { seed: 13, compact: true } },
  { name: "compacted, with an open transaction", options: { seed: 16, compact: true, hanging: true } }
]

const transactions = Effect.forEach(logs, ({ name, options }) =>
  Effect.gen(function* () {
    const java = yield* JavaPeer.JavaPeer
    const topic = yield* TestKafka.uniqueName("transactions")
    yield* java.transactionalLog({ topic, steps: 40, ...options })
    return yield* capture(name, topic)
  })
)

const program = Effect.gen(function* () {
  const java = yield* JavaPeer.JavaPeer
  const python = yield* PythonPeer.PythonPeer
  const { version } = yield* TestKafka.TestKafka
  const broker = `Apache Kafka ${version ?? "of KAFKA_BROKERS"}`
  const writers = [
    { file: "java", writtenBy: "kafka-clients 4.3.1", sets: yield* plain(java.produce) },
    { file: "javaTransactions", writtenBy: "kafka-clients 4.3.1", sets: yield* transactions },
    {
      file: "aiokafka",
      writtenBy: "aiokafka 0.14.0",
      sets: yield* plain((batch) => python.produce({ client: "aiokafka", ...batch }))
    },
    {
      file: "librdkafka",
      writtenBy: "librdkafka 2.16.1",
      sets: yield* plain((batch) => python.produce({ client: "librdkafka", ...batch }))
    }
  ]
  const directory = packageFile("../ktables/test/records/fixtures")
  yield* Effect.sync(() => {
    mkdirSync(directory, { recursive: true })
    for (const { file, sets, writtenBy } of writers) {
      writeFileSync(`${directory}/${file}.json`, `${JSON.stringify({ writtenBy, broker, sets }, null, 2)}\n`)
    }
  })
})

const peers = Layer.mergeAll(JavaPeer.layer, PythonPeer.layer).pipe(Layer.provideMerge(TestKafka.layer))

await Effect.runPromise(program.pipe(Effect.provide(peers)))
