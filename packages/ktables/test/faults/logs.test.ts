/** FAULTS "What is in the log", and how a load ends on it. */
import { readFileSync } from "node:fs"
import { crc32 } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger, Option, Schema } from "effect"
import { Codec, type KafkaClient, KafkaTable, MemoryKafka, TableTopic } from "effect-ktables"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { javaPartitioner } from "../../src/internal/writer/partitioner.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { byNumber, byNumberDecoding } from "../support/randomLog.ts"
import { altered, fetched, onScript, refused, Script } from "../support/script.ts"
import { failureOf, observe, requestsWhile } from "../support/subject.ts"
import { within } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"

const decoding = numberDecoding

const withTopic = Effect.fnUntraced(function* (options?: MemoryKafka.TopicOptions) {
  const kafka = yield* memory
  yield* kafka.createTopic("numbers", options)
  return kafka
})

describe("how a load ends", () => {
  it.effect("row 8: empty topics, empty partitions and partitions emptied by deletion are caught up at once", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 4 })
        yield* write("numbers", keys(5), { partition: 1 })
        yield* kafka.deleteRecords("numbers", 1, 5)
        yield* write("numbers", ["x"], { partition: 2 })
        const subject = yield* observe(numbers, { decoding, build: 0 })
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        assert.strictEqual(subject.contents().size, 1)
        yield* subject.verify()
      })
    )
  )

  for (const [what, prepare] of [
    [
      "an abort marker",
      (kafka: MemoryKafka.Service) =>
        Effect.gen(function* () {
          const transaction = yield* kafka.beginTransaction()
          yield* transaction.append("numbers", [{ key: "x", value: "1" }])
          yield* transaction.abort
        })
    ],
    [
      "a commit marker",
      (kafka: MemoryKafka.Service) =>
        Effect.gen(function* () {
          const transaction = yield* kafka.beginTransaction()
          yield* transaction.append("numbers", [{ key: "x", value: "1" }])
          yield* transaction.commit
        })
    ],
    [
      "markers alone",
      (kafka: MemoryKafka.Service) =>
        Effect.gen(function* () {
          const transaction = yield* kafka.beginTransaction()
          yield* transaction.enlist("numbers", 0)
          yield* transaction.abort
        })
    ],
    [
      "a hole",
      (kafka: MemoryKafka.Service) =>
        Effect.gen(function* () {
          const transaction = yield* kafka.beginTransaction()
          yield* transaction.append("numbers", [
            { key: "x", value: "1" },
            { key: "x", value: null }
          ])
          yield* transaction.commit
          yield* kafka.compact("numbers")
          yield* kafka.compact("numbers", { dropTombstones: true })
        })
    ]
  ] as const) {
    it.effect(`row 9: the gate opens on position when the log ends in ${what}`, () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic()
          yield* write("numbers", ["a"])
          yield* prepare(kafka)
          const subject = yield* observe(numbers, { decoding, build: 200 })
          assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
          const { replayed, target } = (yield* subject.table.health).progress
          assert.strictEqual(replayed, target)
          yield* prepare(kafka)
          yield* subject.within("a barrier over more of it", 10_000, subject.table.barrier())
          yield* subject.verify()
        })
      )
    )
  }

  it.effect(
    "row 10: records below the offset that was asked for are dropped, and an emptied batch moves the position",
    () =>
      onScript(
        Effect.gen(function* () {
          const kafka = yield* withTopic()
          const script = yield* Script
          yield* write("numbers", keys(10))
          yield* kafka.deleteRecords("numbers", 0, 4)
          const subject = yield* observe(numbers, { decoding })
          assert.deepStrictEqual([...subject.contents().keys()].sort(), keys(10).slice(4))
          const empty = encodeBatch([], { lastOffsetDelta: 4, leaderEpoch: 0 })
          yield* kafka.appendBatch("numbers", empty)
          yield* subject.until(
            "the position",
            10_000,
            () => script.requests.fetch.at(-1)!.partitions[0]!.fetchOffset === 15
          )
          yield* subject.verify()
        })
      )
  )

  it.effect("row 11: a load ends although producers write faster than it replays", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        const script = yield* Script
        yield* write("numbers", keys(20))
        yield* write("numbers", keys(20))
        // Two batches arrive for each one that is fetched.
        script.on("fetch", (_asks, next) =>
          Effect.andThen(
            Effect.andThen(write("numbers", keys(3, "new-")), write("numbers", keys(3, "new-"))).pipe(
              Effect.provideService(MemoryKafka.MemoryKafka, kafka),
              Effect.orDie
            ),
            next
          )
        )
        const subject = yield* observe(numbers, { decoding, build: 1000, table: { fetch: { maxPartitionBytes: 1 } } })
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        const { partitions, progress } = yield* subject.table.health
        assert.strictEqual(progress.target, 40)
        assert.isAbove(partitions[0]!.lag, 0, "the lag is visible")
        script.clear("fetch")
        yield* subject.verify()
      })
    )
  )

  it.effect(
    "row 12: at the catch-up time-out a table serves what it has, degraded, and becomes caught up by itself",
    () =>
      onScript(
        Effect.gen(function* () {
          const kafka = yield* withTopic({ partitions: 2 })
          const script = yield* Script
          yield* write("numbers", keys(10))
          for (let i = 0; i < 5; i++) yield* write("numbers", keys(2, `slow${i}-`), { partition: 1 })
          let fetches = 0
          script.on("fetch", (asks, next) => (asks.broker === 2 && fetches++ > 0 ? Effect.delay(next, 4000) : next))
          const subject = yield* observe(numbers, {
            decoding,
            build: 2100,
            table: { fetch: { maxPartitionBytes: 1 }, catchUp: { mode: "await", timeout: "2 seconds" } }
          })
          const status = yield* subject.table.status
          if (status._tag !== "Degraded") return assert.fail(status._tag)
          assert.isBelow(status.replayed, status.target)
          assert.strictEqual(subject.contents().size, 12)
          yield* kafka.append("numbers", [{ key: "live", value: "0" }])
          yield* subject.until("live although degraded", 1000, () => subject.contents().has("live"))
          yield* subject.become("CaughtUp", 60_000)
          yield* subject.verify()
        }),
        { brokers: 2 }
      )
  )

  it.effect("row 12: or fails, saying how far it came", () =>
    onScript(
      Effect.gen(function* () {
        yield* withTopic()
        const script = yield* Script
        yield* write("numbers", keys(10))
        script.on("fetch", (_asks, next) => Effect.delay(next, 10_000))
        const error = yield* within(
          "the failure",
          2500,
          failureOf(
            Effect.scoped(
              KafkaTable.make(numbers, { catchUp: { mode: "await", timeout: "2 seconds", onTimeout: "fail" } })
            )
          )
        )
        if (error._tag !== "CatchUpTimeout") return assert.fail(error._tag)
        assert.deepInclude(error, { waited: 2000, replayed: 0, target: 10 })
      })
    )
  )

  it.effect("row 24: partitions added while a table loads are found and replayed from their start", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        const script = yield* Script
        for (let i = 0; i < 5; i++) yield* write("numbers", keys(2, `${i}-`))
        let fetches = 0
        script.on("fetch", (_asks, next) =>
          Effect.suspend(() => {
            if (++fetches !== 2) return next
            return Effect.andThen(
              Effect.andThen(
                kafka.addPartitions("numbers", 3),
                kafka.append("numbers", [{ key: "added", value: "0" }], { partition: 2 })
              ).pipe(Effect.orDie),
              next
            )
          })
        )
        const subject = yield* observe(numbers, { decoding, table: { fetch: { maxPartitionBytes: 1 } } })
        yield* subject.within("a barrier", 5000, subject.table.barrier())
        assert.isTrue(subject.contents().has("added"))
        yield* subject.verify()
      })
    )
  )
})

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

/** A message of format 1 (https://kafka.apache.org/documentation/#messageset), as an upgraded broker may hold it. */
const legacy = (key: string, value: string): Buffer => {
  const message = Buffer.alloc(34 + key.length + value.length)
  message.writeInt32BE(message.length - 12, 8)
  message.writeUInt8(1, 16)
  message.writeInt32BE(key.length, 26)
  message.write(key, 30)
  message.writeInt32BE(value.length, 30 + key.length)
  message.write(value, 34 + key.length)
  message.writeUInt32BE(crc32(message.subarray(16)), 12)
  return message
}

describe("what is in the log", () => {
  /** Runs the same on a table that loads the log and on one that follows it. */
  const loadedAndLive = (
    row: string,
    make: (kafka: MemoryKafka.Service) => Effect.Effect<void, unknown>,
    expected: Record<string, number>,
    options?: KafkaTable.Options
  ) => {
    for (const live of [false, true]) {
      it.effect(`${row}, ${live ? "followed" : "loaded"}`, () =>
        onCluster(
          Effect.gen(function* () {
            const kafka = yield* withTopic()
            if (!live) yield* Effect.orDie(make(kafka))
            const subject = yield* observe(numbers, {
              decoding: { ...decoding, isolation: options?.isolation },
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
  const record = (key: string | Uint8Array, value: number | null) => ({
    key,
    value: value === null ? null : String(value)
  })

  loadedAndLive(
    "row 30: one aborted transaction is never visible",
    (kafka) =>
      Effect.gen(function* () {
        yield* kafka.append("numbers", [record("a", 1)])
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.append("numbers", [record("a", 2), record("b", 3)])
        yield* transaction.abort
      }),
    { a: 1 }
  )
  loadedAndLive(
    "row 30: two aborted by one producer, then one committed",
    (kafka) =>
      Effect.gen(function* () {
        const one = yield* kafka.beginTransaction()
        yield* one.append("numbers", [record("a", 1)])
        yield* one.abort
        const two = yield* kafka.beginTransaction({ producer: one.producer })
        yield* two.append("numbers", [record("a", 2)])
        yield* two.abort
        const three = yield* kafka.beginTransaction({ producer: one.producer })
        yield* three.append("numbers", [record("a", 3)])
        yield* three.commit
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
        const one = yield* kafka.beginTransaction()
        yield* one.append("numbers", [record(Buffer.alloc(4), 1), record("a", 1)])
        yield* one.abort
        const two = yield* kafka.beginTransaction()
        yield* two.append("numbers", [record(Buffer.alloc(4), 2)])
        yield* two.commit
        yield* kafka.compact("numbers")
        const three = yield* kafka.beginTransaction({ producer: one.producer })
        yield* three.append("numbers", [record(Buffer.alloc(4), 3), record("b", 1)])
        yield* three.abort
        yield* kafka.compact("numbers", { dropTombstones: true })
      }),
    { "\u0000\u0000\u0000\u0000": 2 }
  )
  loadedAndLive(
    "row 30: read_uncommitted shows what was aborted",
    (kafka) =>
      Effect.gen(function* () {
        const one = yield* kafka.beginTransaction()
        yield* one.append("numbers", [record("a", 1)])
        yield* one.abort
      }),
    { a: 1 },
    { isolation: "read_uncommitted" }
  )
  loadedAndLive(
    "row 32: tombstones of unknown keys, repeated ones, and empty keys",
    (kafka) =>
      Effect.asVoid(
        kafka.append("numbers", [
          record("never", null),
          record("a", 1),
          record("a", null),
          record("a", null),
          record("", 2),
          record("b", 3)
        ])
      ),
    { "": 2, b: 3 }
  )
  loadedAndLive(
    "row 33: a value that does not decode is skipped, and the newest that does stays",
    (kafka) =>
      Effect.asVoid(
        kafka.append("numbers", [
          record("a", 1),
          { key: "a", value: "poison" },
          { key: "b", value: "poison" },
          record("c", 2),
          record("c", null),
          { key: "c", value: "poison" }
        ])
      ),
    { a: 1 }
  )
  for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
    loadedAndLive(
      `row 35: batches compressed by ${compression} are read`,
      (kafka) =>
        Effect.asVoid(kafka.append("numbers", [record("a", 1), record("b", 2), record("a", 3)], { compression })),
      { a: 3, b: 2 }
    )
  }
  loadedAndLive(
    "row 38: order is by offset alone, whatever the timestamps say",
    (kafka) =>
      Effect.gen(function* () {
        yield* kafka.append("numbers", [{ ...record("a", 1), timestamp: 4_000_000_000_000 }])
        yield* kafka.append("numbers", [
          { ...record("a", 2), timestamp: 1 },
          { ...record("b", 3), timestamp: -1 }
        ])
      }),
    { a: 2, b: 3 }
  )

  it.effect("row 31: an open transaction ends a load before it, shows in the health, and holds up a barrier", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", ["a"])
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [{ key: "open", value: "1" }])
        yield* write("numbers", keys(5, "behind-"))
        const subject = yield* observe(numbers, { decoding, build: 200 })
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

  it.effect(
    "row 32: keys that do not decode are counted and skipped, and of two that decode equal the later record wins",
    () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* memory
          yield* kafka.createTopic("log")
          const batch = (records: ReadonlyArray<readonly [string, string | null]>) =>
            kafka.append(
              "log",
              records.map(([key, value]) => ({ key, value }))
            )
          yield* batch([
            ["1", "1"],
            ["01", "2"],
            ["none", "3"],
            ["2", "4"],
            ["02", null]
          ])
          const subject = yield* observe(byNumber, { decoding: byNumberDecoding })
          assert.deepStrictEqual([...subject.contents()], [[1, 2]])
          yield* batch([
            ["001", "5"],
            ["also none", "6"],
            ["2", "7"]
          ])
          yield* subject.within("a barrier", 5000, subject.table.barrier())
          assert.deepStrictEqual(
            subject.contents(),
            new Map([
              [1, 5],
              [2, 7]
            ])
          )
          assert.strictEqual((yield* subject.table.health).stats.keyDecodeErrors, 2)
          yield* subject.verify()
        })
      )
  )

  it.effect("row 32: empty bytes are data", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        const raw = TableTopic.make({ name: "numbers", key: Codec.string, value: Codec.bytes })
        yield* kafka.append("numbers", [{ key: "a", value: "" }])
        const table = yield* within("building", 1000, KafkaTable.make(raw))
        assert.deepStrictEqual(yield* table.get("a"), Option.some(new Uint8Array(0)))
        yield* kafka.append("numbers", [{ key: "b", value: "" }])
        yield* within("a barrier", 6000, table.barrier())
        assert.deepStrictEqual(yield* table.get("b"), Option.some(new Uint8Array(0)))
      })
    )
  )

  it.effect("row 33: a codec that interrupts itself fails the table instead of being asked for ever", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic()
        yield* write("numbers", ["a"])
        const topic = TableTopic.make({
          name: "numbers",
          key: Schema.String,
          value: Codec.make<number, never, never>({
            decode: (bytes: Uint8Array) =>
              Buffer.from(bytes).toString() === "666"
                ? Effect.interrupt
                : Effect.succeed(Number(Buffer.from(bytes).toString())),
            encode: (value: number) => Effect.succeed(Buffer.from(String(value)))
          })
        })
        const subject = yield* observe(topic, { decoding })
        const kafka = yield* memory
        yield* kafka.append("numbers", [{ key: "b", value: "666" }])
        const { all } = yield* requestsWhile(subject.become("Failed", 5000))
        assert.isBelow(all, 20)
        yield* subject.verifyFailed("ReaderDied")
      })
    )
  )

  it.effect("row 33: a thousand poison records are counted, and the log is told of them once", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        const lines: Array<string> = []
        const logger = Logger.make(({ message }) => {
          lines.push(String(message))
        })
        const subject = yield* observe(numbers, { decoding }).pipe(Effect.provide(Logger.layer([logger])))
        yield* kafka.append(
          "numbers",
          keys(1000).map((key) => ({ key, value: "poison" }))
        )
        yield* subject.within("a barrier", 30_000, subject.table.barrier())
        assert.strictEqual((yield* subject.table.health).stats.valueDecodeErrors, 1000)
        assert.strictEqual(lines.filter((line) => line.includes("does not decode")).length, 1)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 34: records that were stored damaged fail a load with partition and offset", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(3))
        const damaged = encodeBatch([{ offsetDelta: 0, timestamp: 0, key: Buffer.from("x"), value: Buffer.from("1") }])
        damaged.writeUInt8(damaged[damaged.length - 2]! ^ 1, damaged.length - 2)
        yield* kafka.appendBatch("numbers", damaged)
        const error = yield* within("the failure", 5000, failureOf(Effect.scoped(KafkaTable.make(numbers))))
        assert.deepInclude(error, { _tag: "UnreadableRecords", partition: 0, offset: 3, kind: "Corrupt" })
      })
    )
  )

  it.effect("row 36: messages of the old formats are read", () =>
    onScript(
      Effect.gen(function* () {
        yield* withTopic()
        const script = yield* Script
        yield* write("numbers", keys(2))
        const message = legacy("old", "7")
        let isServed = false
        script.on(
          "fetch",
          fetched(() => {
            if (isServed) return {}
            isServed = true
            return { records: message }
          }),
          1
        )
        const table = yield* within("building", 5000, KafkaTable.make(numbers))
        assert.deepStrictEqual(yield* table.get("old"), Option.some(7))
      })
    )
  )

  it.effect("row 37: a batch of many megabytes is applied in slices", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        const raw = TableTopic.make({ name: "numbers", key: Codec.string, value: Codec.bytes })
        const table = yield* within("building", 1000, KafkaTable.make(raw))
        const value = Buffer.alloc(1000, 1)
        yield* kafka.append(
          "numbers",
          keys(50_000).map((key) => ({ key, value }))
        )
        yield* within("a barrier", 60_000, table.barrier())
        assert.strictEqual(yield* table.size, 50_000)
        const { stats } = yield* table.health
        assert.isAbove(stats.bytes, 50_000_000)
        assert.isBelow(stats.longestSlice, 250, "milliseconds without a turn for others")
      })
    )
  )

  it.effect("row 25: after growth a key is its new partition's once it was seen there, loaded and followed", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        const all = keys(20)
        yield* write("numbers", all)
        const subject = yield* observe(numbers, { decoding, table: { metadataRefresh: "1 second" } })
        yield* kafka.addPartitions("numbers", 3)
        const moved = all.filter((key) => javaPartitioner(Buffer.from(key), 3) !== 0)
        assert.isAbove(moved.length, 4)
        for (const key of moved.slice(2)) {
          yield* write("numbers", [key], { partition: javaPartitioner(Buffer.from(key), 3) })
        }
        const last = moved.at(-1)!
        yield* write("numbers", [[last, null]], { partition: javaPartitioner(Buffer.from(last), 3) })
        yield* subject.within("a barrier", 20_000, subject.table.barrier())
        // A producer that has not heard of the growth.
        yield* write("numbers", moved, { partition: 0 })
        yield* subject.within("a barrier", 20_000, subject.table.barrier())
        assert.isFalse(subject.contents().has(last), "the owner's deletion stands")
        assert.isAbove((yield* subject.table.health).stats.foreign, 0)
        yield* subject.agrees()
        const second = yield* observe(numbers, { decoding, isAlone: false })
        assert.deepStrictEqual(new Map([...second.contents()].sort()), new Map([...subject.contents()].sort()))
        yield* second.verify()
        yield* subject.verify()
      })
    )
  )

  it.effect("row 25: a record written to its new partition before the table knew of the growth counts", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 2 })
        // Under two partitions the key is in 0, under more in 1, which the table reads already.
        const key = keys(1000).find(
          (key) => javaPartitioner(Buffer.from(key), 2) === 0 && javaPartitioner(Buffer.from(key), 3) === 1
        )!
        yield* write("numbers", [key], { partition: 0 })
        const subject = yield* observe(numbers, { decoding, table: { metadataRefresh: "10 minutes" } })
        yield* kafka.addPartitions("numbers", 3)
        const [value] = yield* write("numbers", [key], { partition: 1 })
        yield* subject.pass(3000)
        yield* subject.within("a barrier", 20_000, subject.table.barrier())
        assert.strictEqual(subject.contents().get(key), value)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 25: a value that does not decode in a key's new partition does not hide the old one's", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 3 })
        const key = keys(100).find((key) => javaPartitioner(Buffer.from(key), 3) === 1)!
        yield* write("numbers", [key], { partition: 0 })
        yield* kafka.append("numbers", [{ key, value: "poison" }], { partition: 1 })
        const subject = yield* observe(numbers, { decoding })
        assert.isTrue(subject.contents().has(key))
        yield* subject.verify()
      })
    )
  )

  interface Captured {
    readonly sets: ReadonlyArray<{
      readonly name: string
      readonly end: number
      readonly answers: ReadonlyArray<{
        readonly fetchOffset: number
        readonly abortedTransactions: ReadonlyArray<KafkaClient.AbortedTransaction>
        readonly records: string
      }>
      /** What Java's read_committed consumer made of it. */
      readonly expected: ReadonlyArray<{ readonly key: string | null; readonly value: string | null }>
    }>
  }
  const captured: Captured = JSON.parse(
    readFileSync(new URL("../records/fixtures/javaTransactions.json", import.meta.url), "utf8")
  )
  for (const set of captured.sets) {
    it.effect(`row 30: transactions of Java's producer on Kafka give what Java's consumer reads: ${set.name}`, () =>
      onScript(
        Effect.gen(function* () {
          yield* withTopic()
          const script = yield* Script
          script.on(
            "listOffsets",
            altered<"listOffsets">((answer, asks) =>
              answer.map((listed) => ({ ...listed, offset: asks.at === "earliest" ? 0 : set.end }))
            )
          )
          script.on("fetch", (asks, next) => {
            const at = asks.partitions[0]!.fetchOffset
            const answer = set.answers.findLast(({ fetchOffset }) => fetchOffset <= at)
            const isOver = at >= set.end
            return isOver
              ? next
              : fetched(() => ({
                  ...refused(0),
                  highWatermark: set.end,
                  lastStableOffset: set.end,
                  logStartOffset: 0,
                  abortedTransactions: answer!.abortedTransactions,
                  records: Buffer.from(answer!.records, "base64")
                }))(asks, Effect.succeed({ throttle: 0, errorCode: 0, partitions: [emptyAnswer] }))
          })
          const topic = TableTopic.make({
            name: "numbers",
            key: Codec.make<string, never, never>({
              decode: (bytes: Uint8Array) => Effect.succeed(Buffer.from(bytes).toString("latin1")),
              encode: (key: string) => Effect.succeed(Buffer.from(key, "latin1"))
            }),
            value: Codec.bytes
          })
          const table = yield* within("building", 5000, KafkaTable.make(topic))
          const expected = new Map<string, string>()
          for (const { key, value } of set.expected) {
            if (key === null) continue
            const name = Buffer.from(key, "base64").toString("latin1")
            if (value === null) expected.delete(name)
            else expected.set(name, value)
          }
          const actual = new Map(
            [...table.entriesUnsafe()].map(([key, value]) => [key, Buffer.from(value).toString("base64")])
          )
          assert.deepStrictEqual(new Map([...actual].sort()), new Map([...expected].sort()))
        })
      )
    )
  }
})
