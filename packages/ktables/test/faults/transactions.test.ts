/** FAULTS "What is in the log": transactions, aborted, committed and open. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Codec, type KafkaClient, TableTopic } from "effect-ktables"
import type * as MemoryKafka from "effect-ktables/MemoryKafka"
import { keys, onCluster, write } from "../support/kafka.ts"
import { altered, onScript } from "../support/script.ts"
import { failureOf, observe } from "../support/subject.ts"
import { loadedAndLive, observeNumbers, record, scriptedTopic, transact, withTopic } from "./fixtures.ts"

/** Logs that Java's transactional producer wrote, as a broker answered fetches of them. */
interface Captured {
  readonly sets: ReadonlyArray<{
    readonly name: string
    readonly end: number
    readonly answers: ReadonlyArray<{
      readonly fetchOffset: number
      readonly abortedTransactions: ReadonlyArray<{ readonly producerId: number; readonly firstOffset: number }>
      readonly records: string
    }>
    /** What Java's read_committed consumer made of it. */
    readonly expected: ReadonlyArray<{ readonly key: string | null; readonly value: string | null }>
  }>
}

const captured: Captured = JSON.parse(
  readFileSync(new URL("../records/fixtures/javaTransactions.json", import.meta.url), "utf8")
)

const bytesOf = (base64: string | null): Buffer | null => (base64 === null ? null : Buffer.from(base64, "base64"))

const emptyAnswer: KafkaClient.FetchedPartition = {
  partition: 0,
  errorCode: 0,
  highWatermark: 0,
  lastStableOffset: 0,
  logStartOffset: 0,
  diverging: undefined,
  currentLeader: undefined,
  preferredReadReplica: -1,
  abortedTransactions: [],
  records: Buffer.alloc(0)
}

/** Every byte a character, so that any bytes are keys and values. */
const anyBytes = Codec.make<string, never, never>({
  decode: (bytes: Uint8Array) => Effect.succeed(Buffer.from(bytes).toString("latin1")),
  encode: (text: string) => Effect.succeed(Buffer.from(text, "latin1"))
})
const latin1 = TableTopic.make({ name: "numbers", key: anyBytes, value: anyBytes })
const latin1Decoding = {
  key: (bytes: Buffer) => bytes.toString("latin1"),
  value: (bytes: Buffer) => bytes.toString("latin1")
}

describe("transactions", () => {
  loadedAndLive(
    "row 30: one aborted transaction is never visible",
    (kafka) =>
      Effect.gen(function* () {
        yield* kafka.append("numbers", [record("a", 1)])
        yield* transact(kafka, [record("a", 2), record("b", 3)], "abort")
      }),
    { a: 1 }
  )

  loadedAndLive(
    "row 30: two aborted by one producer, then one committed",
    (kafka) =>
      Effect.gen(function* () {
        const producer = yield* transact(kafka, [record("a", 1)], "abort")
        yield* transact(kafka, [record("a", 2)], "abort", producer)
        yield* transact(kafka, [record("a", 3)], "commit", producer)
      }),
    { a: 3 }
  )

  loadedAndLive(
    "row 30: two interleaved producers, a marker in a later answer, and a marker with no entry",
    (kafka) =>
      Effect.gen(function* () {
        const one = yield* kafka.beginTransaction()
        const two = yield* kafka.beginTransaction()
        yield* one.append("numbers", [record("a", 1)])
        yield* two.append("numbers", [record("b", 2)])
        yield* one.append("numbers", [record("c", 3)])
        yield* kafka.append("numbers", [record("plain", 4)])
        yield* two.append("numbers", [record("d", 5)])
        yield* one.abort
        yield* kafka.append("numbers", [record("after", 6)])
        yield* two.commit
        const none = yield* kafka.beginTransaction()
        yield* none.enlist("numbers", 0)
        yield* none.abort
      }),
    { b: 2, plain: 4, d: 5, after: 6 }
  )

  loadedAndLive(
    "row 30: a compacted log, and a record whose key is the bytes 00 00 00 00",
    (kafka) =>
      Effect.gen(function* () {
        const producer = yield* transact(kafka, [record(Buffer.alloc(4), 1), record("a", 1)], "abort")
        yield* transact(kafka, [record(Buffer.alloc(4), 2)], "commit")
        yield* kafka.compact("numbers")
        yield* transact(kafka, [record(Buffer.alloc(4), 3), record("b", 1)], "abort", producer)
        yield* kafka.compact("numbers", { dropTombstones: true })
      }),
    { "\u0000\u0000\u0000\u0000": 2 }
  )

  loadedAndLive(
    "row 30: read_uncommitted shows what was aborted",
    (kafka) => transact(kafka, [record("a", 1)], "abort"),
    { a: 1 },
    { isolation: "read_uncommitted" }
  )

  for (const set of captured.sets) {
    it.effect(`row 30: transactions of Java's producer on Kafka give what Java's consumer reads: ${set.name}`, () =>
      onScript(
        Effect.gen(function* () {
          const { script } = yield* scriptedTopic()
          script.on(
            "listOffsets",
            altered<"listOffsets">((answer, asks) =>
              answer.map((listed) => ({ ...listed, offset: asks.at === "earliest" ? 0 : set.end }))
            )
          )
          script.on("fetch", (asks) => {
            const at = asks.partitions[0]!.fetchOffset
            const answer = (more: Partial<KafkaClient.FetchedPartition>): KafkaClient.FetchAnswer => ({
              throttle: 0,
              errorCode: 0,
              partitions: [{ ...emptyAnswer, highWatermark: set.end, lastStableOffset: set.end, ...more }],
              version: 17
            })
            if (at >= set.end) return Effect.delay(Effect.succeed(answer({})), asks.maxWait)
            const { abortedTransactions, records } = set.answers.findLast(({ fetchOffset }) => fetchOffset <= at)!
            return Effect.succeed(
              answer({
                abortedTransactions: abortedTransactions.map(({ firstOffset, producerId }) => ({
                  producerId: BigInt(producerId),
                  firstOffset
                })),
                records: Buffer.from(records, "base64")
              })
            )
          })
          // What Java's consumer made of the log is the log that the table is held against.
          const log = set.expected.map(({ key, value }, offset): MemoryKafka.LoggedRecord => ({
            partition: 0,
            offset,
            leaderEpoch: 0,
            timestamp: 0,
            key: bytesOf(key),
            value: bytesOf(value),
            headers: [],
            producerId: -1n,
            producerEpoch: -1,
            sequence: -1,
            state: "plain"
          }))
          const subject = yield* observe(latin1, { decoding: latin1Decoding, log: Effect.succeed(log), build: 5000 })
          yield* subject.verify()
        })
      )
    )
  }

  it.effect("row 31: an open transaction ends a load before it, shows in the health, and holds up a barrier", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", ["a"])
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [record("open", 1)])
        yield* write("numbers", keys(5, "behind-"))
        const subject = yield* observeNumbers({ build: 200 })
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        assert.strictEqual(subject.contents().size, 1)
        const { lag, lastStableOffset, highWatermark } = (yield* subject.table.health).partitions[0]!
        assert.deepStrictEqual(
          { lag, lastStableOffset, highWatermark },
          { lag: 6, lastStableOffset: 1, highWatermark: 7 }
        )
        const error = yield* subject.within("the time-out", 5000, failureOf(subject.table.barrier({ timeout: 2000 })))
        if (error._tag !== "BarrierTimeout") return assert.fail(error._tag)
        assert.deepStrictEqual(error.waitingFor, [{ partition: 0, reason: "open transaction", position: 1, target: 7 }])
        yield* open.abort
        yield* subject.verify()
      })
    )
  )
})
