/** Answers that no healthy broker gives, or gives at a bad moment, scripted in front of the embedded Kafka. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Schema } from "effect"
import { Codec, type KafkaClient, KafkaError, KafkaTable, TableTopic } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { keys, memory, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { altered, fetched, onScript, refused, Script } from "../support/script.ts"
import { failureOf, observe, requestsWhile } from "../support/subject.ts"
import { within } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"

const decoding = numberDecoding

const start = Effect.fnUntraced(function* (partitions = 1, table?: KafkaTable.Options) {
  const kafka = yield* memory
  const script = yield* Script
  yield* kafka.createTopic("numbers", { partitions })
  for (let partition = 0; partition < partitions; partition++) {
    yield* write("numbers", keys(10, `p${partition}-`), { partition })
  }
  const subject = yield* observe(numbers, { decoding, table })
  return { kafka, script, subject }
})

/** Changes the records of the next answers that have some. */
const withRecords = (change: (records: Buffer) => Buffer, times = Number.POSITIVE_INFINITY) => {
  let left = times
  return fetched((partition) =>
    partition.records.length === 0 || left-- <= 0 ? {} : { records: change(Buffer.from(partition.records)) }
  )
}

describe("answers", () => {
  it.effect("row 16: metadata that goes back in time does not undo an election, and parks nothing for good", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* start(2)
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* write("numbers", ["first"], { partition: 0 })
        yield* subject.until("the new leader", 5000, () => subject.contents().has("first"))
        // The next descriptions are from before the election, while an error makes the partition ask for one.
        script.on(
          "describeTopic",
          altered<"describeTopic">((answer) => ({
            ...answer,
            partitions: answer.partitions.map((p) => (p.partition === 0 ? { ...p, leader: 1, leaderEpoch: 0 } : p))
          })),
          3
        )
        yield* kafka.fail({ request: "fetch", partition: 0 }, ErrorCode.NOT_LEADER_OR_FOLLOWER)
        yield* subject.pass(6000)
        yield* write("numbers", ["second"], { partition: 0 })
        yield* subject.until("the record behind it", 3000, () => subject.contents().has("second"))
        assert.strictEqual((yield* subject.table.health).partitions[0]!.leader, 2)
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 24: metadata of a broker that does not know of added partitions yet is no recreated topic", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* start(2, { metadataRefresh: "1 second" })
        yield* kafka.addPartitions("numbers", 3)
        yield* write("numbers", ["added"], { partition: 2 })
        yield* subject.until("the added partition", 5000, () => subject.contents().has("added"))
        const { rebuilds } = (yield* subject.table.health).stats
        script.on(
          "describeTopic",
          altered<"describeTopic">((answer) => ({ ...answer, partitions: answer.partitions.slice(0, 2) })),
          4
        )
        yield* kafka.fail({ request: "fetch", partition: 2 }, ErrorCode.NOT_LEADER_OR_FOLLOWER)
        yield* subject.pass(6000)
        yield* write("numbers", ["more"], { partition: 2 })
        yield* subject.until("the record behind it", 5000, () => subject.contents().has("more"))
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, rebuilds)
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 22: one description of another topic is not believed, two in a row are", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* start(1, { metadataRefresh: "1 second" })
        const other = altered<"describeTopic">((answer) => ({ ...answer, topicId: "0".repeat(31) + "1" }))
        script.on("describeTopic", other, 1)
        yield* subject.pass(5000)
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* kafka.recreateTopic("numbers")
        yield* write("numbers", ["new"])
        yield* subject.saw("Rebuilding", 5000)
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 23: another cluster behind the same address is another topic", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* start(1, { metadataRefresh: "1 second" })
        yield* kafka.recreateTopic("numbers")
        yield* write("numbers", ["elsewhere"])
        // Without ids of topics, only the cluster's own tells.
        script.on(
          "describeTopic",
          altered<"describeTopic">((answer) => ({ ...answer, clusterId: "another" }))
        )
        const { reason } = yield* subject.saw("Rebuilding", 5000)
        assert.strictEqual(reason._tag, "TopicRecreated")
        assert.include(reason.message, "cluster")
        yield* subject.become("CaughtUp")
        assert.deepStrictEqual([...subject.contents().keys()], ["elsewhere"])
        yield* subject.verify()
      })
    )
  )

  for (const [what, change] of [
    ["an unknown record format", (records: Buffer) => (records.writeUInt8(9, 16), records)],
    [
      "a checksum that does not match",
      (records: Buffer) => (records.writeUInt8(records[records.length - 1]! ^ 1, records.length - 1), records)
    ],
    ["a length below a header's", (records: Buffer) => (records.writeInt32BE(10, 8), records)],
    ["a length beyond what was sent", (records: Buffer) => records.subarray(0, records.length - 1)],
    ["a length beyond every answer", (records: Buffer) => (records.writeInt32BE(0x7ffffff0, 8), records)],
    ["an offset below zero", (records: Buffer) => (records.writeBigInt64BE(-5n, 0), records)],
    ["an offset above 2^53-1", (records: Buffer) => (records.writeBigInt64BE(1n << 60n, 0), records)],
    ["a header that is cut short", (records: Buffer) => records.subarray(0, 20)],
    ["noise", (records: Buffer) => records.fill(0xff)],
    ["zeros", (records: Buffer) => records.fill(0)]
  ] as const) {
    it.effect(`row 34: ${what} is fetched again once and then read`, () =>
      onScript(
        Effect.gen(function* () {
          const { script, subject } = yield* start()
          script.on("fetch", withRecords(change, 1))
          yield* write("numbers", ["x"])
          const { of } = yield* requestsWhile(subject.until("the record", 5000, () => subject.contents().has("x")))
          assert.isBelow(of("fetch"), 12)
          assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
          yield* subject.verify()
        })
      )
    )

    it.effect(`row 34: ${what} that stays is a typed failure with partition and offset, and no busy loop`, () =>
      onScript(
        Effect.gen(function* () {
          const { script, subject } = yield* start()
          const before = subject.contents()
          script.on("fetch", withRecords(change))
          yield* write("numbers", ["x"])
          const { of } = yield* requestsWhile(subject.pass(20_000))
          assert.isBelow(of("fetch"), 30)
          const status = yield* subject.table.status
          if (status._tag !== "Failed") return assert.fail(`the status is ${status._tag}`)
          assert.deepInclude(status.error, { _tag: "UnreadableRecords", topic: "numbers", partition: 0 })
          assert.deepStrictEqual(subject.contents(), before)
          yield* subject.verifyFailed("UnreadableRecords")
        })
      )
    )
  }

  it.effect("row 34: a first batch larger than the fetch size makes progress", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers")
        yield* write("numbers", keys(500))
        yield* write("numbers", keys(500, "more"))
        // As brokers did before KIP-74: whatever the size, an answer is cut at what was asked for.
        script.on(
          "fetch",
          fetched((partition, asks) => ({ records: partition.records.subarray(0, asks.partitions[0]!.maxBytes) }))
        )
        const subject = yield* observe(numbers, {
          decoding,
          table: { fetch: { maxPartitionBytes: 1000, maxBytes: 1000 } }
        })
        assert.strictEqual(subject.contents().size, 1000)
        assert.isBelow(script.requests.fetch.length, 12)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 28: an answer from below the position is not obeyed, and not asked for in a busy loop", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* start()
        const old = encodeBatch(
          [{ offsetDelta: 0, timestamp: 0, key: Buffer.from("p0-0"), value: Buffer.from("666") }],
          {
            baseOffset: 0,
            leaderEpoch: 0
          }
        )
        script.on(
          "fetch",
          fetched(() => ({ records: old, highWatermark: 11, lastStableOffset: 11 })),
          40
        )
        yield* write("numbers", ["x"])
        const { of } = yield* requestsWhile(subject.pass(10_000))
        assert.isBelow(of("fetch") + script.requests.fetch.length, 60)
        yield* subject.until("the record", 60_000, () => subject.contents().has("x"))
        yield* subject.verify()
      })
    )
  )

  for (const [what, offsets] of [
    ["negative offsets", { earliest: -1, latest: -1 }],
    ["an end of zero below the start", { earliest: 5, latest: 0 }],
    ["a negative end", { earliest: 0, latest: -1 }]
  ] as const) {
    it.effect(`row 28: ${what} in an answer are refused and asked for again`, () =>
      onScript(
        Effect.gen(function* () {
          const kafka = yield* memory
          const script = yield* Script
          yield* kafka.createTopic("numbers")
          yield* write("numbers", keys(10))
          script.on(
            "listOffsets",
            altered<"listOffsets">((answer, asks) => answer.map((listed) => ({ ...listed, offset: offsets[asks.at] }))),
            4
          )
          const subject = yield* observe(numbers, { decoding })
          assert.strictEqual(subject.contents().size, 10)
          for (const asked of script.requests.fetch) {
            for (const { fetchOffset } of asked.partitions) assert.isAtLeast(fetchOffset, 0)
          }
          yield* subject.verify()
        })
      )
    )
  }

  it.effect("row 28: watermarks that go backwards move no position and no barrier", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* start()
        script.on(
          "fetch",
          fetched(() => ({ highWatermark: 0, lastStableOffset: 0 })),
          3
        )
        yield* write("numbers", ["x"])
        yield* subject.pass(5000)
        assert.isTrue(subject.contents().has("x"))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 17: a barrier does not accept an end below what was seen", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* start()
        yield* kafka.pause()
        yield* write("numbers", ["x"])
        yield* kafka.resume()
        script.on(
          "listOffsets",
          altered<"listOffsets">((answer) => answer.map((listed) => ({ ...listed, offset: 3 }))),
          3
        )
        yield* subject.within("the barrier", 10_000, subject.table.barrier())
        assert.isTrue(subject.contents().has("x"))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 18: an epoch that the new leader never had is data loss, wherever its older epoch ends", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* start()
        yield* kafka.moveLeader("numbers", 0, 1)
        yield* write("numbers", ["in epoch 1"])
        yield* subject.until("epoch 1", 5000, () => subject.contents().has("in epoch 1"))
        // The new leader was away: its epoch 0 goes on behind our position, and it knows no epoch 1.
        yield* kafka.truncate("numbers", 0, 10, { leaderEpoch: 0 })
        yield* write("numbers", keys(10, "other-"))
        yield* kafka.moveLeader("numbers", 0, 1)
        yield* kafka.moveLeader("numbers", 0, 1)
        script.on("endOffsetForEpoch", () =>
          Effect.fail(
            new KafkaError.ConnectionFailed({ broker: "memory-1:9092", request: "OffsetForLeaderEpoch", detail: "cut" })
          )
        )
        const { reason } = yield* subject.saw("Rebuilding", 10_000)
        assert.strictEqual(reason._tag, "DataLoss")
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 18: without fetches that tell, the end of the epoch does", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* start()
        // Brokers before Fetch 12 do not look at the epoch of the last record.
        script.on("fetch", (_asks, next) =>
          Effect.map(next, (answer) => ({
            ...answer,
            partitions: answer.partitions.map((p) =>
              p.diverging === undefined ? p : { ...p, ...refused(ErrorCode.NOT_LEADER_OR_FOLLOWER) }
            )
          }))
        )
        yield* kafka.truncate("numbers", 0, 0)
        yield* write("numbers", keys(30, "longer-"))
        const { reason } = yield* subject.saw("Rebuilding", 40_000)
        assert.strictEqual(reason._tag, "DataLoss")
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 18: an out-of-range answer that neither the start nor the end explains is not asked for ever", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* start()
        script.on(
          "fetch",
          fetched((_partition, asks) =>
            asks.partitions[0]!.lastFetchedEpoch < 0 ? {} : refused(ErrorCode.OFFSET_OUT_OF_RANGE)
          )
        )
        yield* subject.saw("Rebuilding", 60_000)
        script.clear("fetch")
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 18: a log that is truncated below the target of a load ends the load at its new end", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers")
        for (let i = 0; i < 10; i++) yield* write("numbers", keys(10, `${i}-`))
        let isCut = false
        script.on("fetch", (asks, next) =>
          Effect.suspend(() => {
            if (isCut || asks.partitions[0]!.fetchOffset < 50) return next
            isCut = true
            return Effect.andThen(Effect.orDie(kafka.truncate("numbers", 0, 80)), next)
          })
        )
        const subject = yield* observe(numbers, {
          decoding,
          table: {
            fetch: { maxPartitionBytes: 200 },
            catchUp: { mode: "await", timeout: "1 minute", onTimeout: "fail" }
          }
        })
        assert.strictEqual(subject.contents().size, 80)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 27: a throttled answer is shown at once, the next request waits, and it is no disconnect", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* start()
        script.on(
          "fetch",
          altered<"fetch">((answer) => ({ ...answer, throttle: 5000 })),
          3
        )
        yield* write("numbers", ["x"])
        yield* subject.until("the record", 100, () => subject.contents().has("x"))
        const before = script.requests.fetch.length
        yield* subject.pass(4500)
        assert.strictEqual(script.requests.fetch.length, before, "it waits")
        assert.isTrue((yield* subject.table.health).partitions[0]!.connected)
        yield* subject.pass(15_000)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 27: a throttled load still ends at its time-out", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers")
        for (let i = 0; i < 10; i++) yield* write("numbers", keys(10, `${i}-`))
        script.on(
          "fetch",
          altered<"fetch">((answer) => ({ ...answer, throttle: 600_000 })),
          1
        )
        const subject = yield* observe(numbers, {
          decoding,
          build: 5500,
          table: { fetch: { maxPartitionBytes: 200 }, catchUp: { mode: "await", timeout: "5 seconds" } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.isAbove(subject.contents().size, 0)
        yield* subject.pass(60_000)
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded", "the broker's wish outlives the load")
        yield* subject.become("CaughtUp", 600_000)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 16: an answer is applied once although its partition moves to another broker meanwhile", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        const go = yield* Deferred.make<void>()
        let waiting = 0
        // A codec that waits in the middle of an answer keeps the answer open for as long as the test wants.
        const slow = TableTopic.make({
          name: "numbers",
          key: Schema.String,
          value: Codec.make<number, never, never>({
            decode: (bytes: Uint8Array) =>
              Effect.suspend(() => {
                const value = Number(Buffer.from(bytes).toString())
                if (value !== marked) return Effect.succeed(value)
                waiting++
                return Effect.as(Deferred.await(go), value)
              }),
            encode: (value: number) => Effect.succeed(Buffer.from(String(value)))
          })
        })
        let marked = -1
        yield* kafka.createTopic("numbers")
        yield* write("numbers", keys(5))
        const subject = yield* observe(slow, { decoding, table: { metadataRefresh: "500 millis" } })
        yield* kafka.pause()
        const values = yield* write("numbers", [...keys(5, "a"), ["a1", null], ...keys(5, "b")])
        marked = values[3]!
        yield* kafka.resume()
        yield* subject.until("the codec", 5000, () => waiting > 0)
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* write("numbers", ["c"])
        yield* subject.pass(5000)
        assert.isFalse(subject.contents().has("c"), "nobody overtakes the answer that is being applied")
        yield* Deferred.succeed(go, undefined)
        yield* subject.until("the rest", 5000, () => subject.contents().has("c"))
        assert.strictEqual(waiting, 1, "the record was decoded once")
        assert.isAbove(script.requests.opened.filter((broker) => broker === 2).length, 0)
        yield* subject.verify()
      }),
      { brokers: 2, requestTimeout: 30_000 }
    )
  )

  it.effect("row 16: an election while an answer of the new epoch is being applied is no truncation", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* start()
        // The question where epoch 0 ends is answered late, when epoch 1 has been read.
        script.on("endOffsetForEpoch", (_asks, next) => Effect.delay(next, 3000))
        yield* kafka.moveLeader("numbers", 0, 1)
        for (let i = 0; i < 5; i++) {
          yield* write("numbers", keys(5, `${i}-`))
          yield* subject.pass(1000)
        }
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 13: an answer that leaves a partition out makes it asked again", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* start(2)
        script.on(
          "fetch",
          altered<"fetch">((answer) => ({ ...answer, partitions: answer.partitions.filter((p) => p.partition !== 0) })),
          5
        )
        yield* write("numbers", ["left out"], { partition: 0 })
        yield* subject.until("the record", 10_000, () => subject.contents().has("left out"))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 13: answers that do not follow the protocol end the reader after some, not after one", () =>
    onScript(
      Effect.gen(function* () {
        const { script, subject } = yield* start()
        const malformed = Effect.fail(
          new KafkaError.MalformedAnswer({ broker: "memory-1:9092", request: "Fetch", detail: "cut short" })
        )
        script.on("fetch", () => malformed, 2)
        yield* write("numbers", ["x"])
        yield* subject.until("the record", 10_000, () => subject.contents().has("x"))
        script.on("fetch", () => malformed)
        yield* write("numbers", ["y"])
        yield* subject.become("Failed", 30_000)
        yield* subject.verifyFailed("ClusterRefused")
      })
    )
  )

  it.effect("row 24: a preferred replica is read from, and left for the leader when it fails", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers")
        yield* write("numbers", keys(10))
        let redirects = 0
        let served = 0
        // Broker 2 holds a replica: it serves what broker 1 leads, for a while.
        script.on("fetch", (asks, next) =>
          Effect.suspend((): Effect.Effect<KafkaClient.FetchAnswer, KafkaError.KafkaError> => {
            if (asks.rack === undefined) return next
            if (asks.broker === 2) {
              served++
              return Effect.fail(
                new KafkaError.ConnectionFailed({ broker: "memory-2:9092", request: "Fetch", detail: "away" })
              )
            }
            if (redirects++ > 2) return next
            return fetched(() => ({ preferredReadReplica: 2, records: Buffer.alloc(0) }))(asks, next)
          })
        )
        const subject = yield* observe(numbers, { decoding, table: { rack: "a" } })
        assert.isAbove(served, 0)
        assert.strictEqual(subject.contents().size, 10)
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 31: a barrier that cannot even ask for its targets says which partitions are away", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, subject } = yield* start(2)
        yield* kafka.disconnect(2)
        yield* subject.pass(1000)
        const error = yield* subject.within("the time-out", 5000, failureOf(subject.table.barrier({ timeout: 2000 })))
        if (error._tag !== "BarrierTimeout") return assert.fail(error._tag)
        assert.deepStrictEqual(
          error.waitingFor.map(({ partition, reason }) => [partition, reason]),
          [[1, "disconnected"]]
        )
        yield* kafka.reconnect()
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 17: barriers that wait side by side tell each of its own targets", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, subject } = yield* start()
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [{ key: "open", value: "1" }])
        const first = yield* Effect.forkScoped(failureOf(subject.table.barrier({ timeout: 3000 })))
        yield* subject.pass(500)
        yield* write("numbers", keys(5, "later-"))
        const second = yield* Effect.forkScoped(failureOf(subject.table.barrier({ timeout: 3000 })))
        yield* subject.pass(4000)
        const targets: Array<number> = []
        for (const fiber of [first, second]) {
          const error = yield* Fiber.join(fiber)
          if (error._tag !== "BarrierTimeout") return assert.fail(error._tag)
          targets.push(error.waitingFor[0]!.target)
          assert.strictEqual(error.waitingFor[0]!.reason, "open transaction")
        }
        assert.deepStrictEqual(targets, [11, 16])
        yield* open.commit
        yield* subject.verify()
      })
    )
  )

  it.effect("row 5: a cluster that answers that it is not ready is waited for", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers")
        yield* write("numbers", keys(3))
        yield* kafka.fail({ request: "describeTopic" }, ErrorCode.LEADER_NOT_AVAILABLE, { times: 5 })
        const subject = yield* observe(numbers, { decoding })
        yield* subject.verify()
      })
    )
  )

  it.effect("row 8: a topic whose partitions are not all led yet loads the others and waits for the rest", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers", { partitions: 2 })
        yield* write("numbers", keys(3))
        yield* kafka.moveLeader("numbers", 1, undefined)
        const subject = yield* observe(numbers, {
          decoding,
          table: { catchUp: { mode: "await", timeout: "5 seconds" } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.strictEqual(subject.contents().size, 3)
        // Nothing is in it: no record will tell that it is complete.
        yield* kafka.moveLeader("numbers", 1, 1)
        yield* subject.become("CaughtUp", 5000)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 12: a degraded table that loses its log is not seen empty while it is read anew", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers", { partitions: 2 })
        yield* write("numbers", keys(10))
        yield* write("numbers", keys(10, "other-"), { partition: 1 })
        script.on(
          "fetch",
          fetched(({ partition }) => (partition === 1 ? refused(ErrorCode.REPLICA_NOT_AVAILABLE) : {}))
        )
        const subject = yield* observe(numbers, {
          decoding,
          table: { catchUp: { mode: "await", timeout: "5 seconds" } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.strictEqual(subject.contents().size, 10)
        const sizes = new Set<number>()
        const watching = yield* Effect.forkScoped(
          Effect.forever(
            Effect.andThen(
              Effect.sync(() => sizes.add(subject.contents().size)),
              Effect.yieldNow
            )
          )
        )
        yield* kafka.truncate("numbers", 0, 0)
        yield* write("numbers", keys(4))
        yield* subject.saw("Rebuilding", 10_000)
        yield* subject.pass(5000)
        script.clear("fetch")
        yield* subject.become("CaughtUp")
        yield* Fiber.interrupt(watching)
        assert.deepStrictEqual(
          [...sizes].sort((a, b) => a - b),
          [10, 14]
        )
        yield* subject.verify()
      })
    )
  )

  it.effect("row 33: reading again for older values goes through elections and cut connections", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers")
        yield* write("numbers", keys(10))
        yield* kafka.append(
          "numbers",
          keys(10).map((key) => ({ key, value: "poison" }))
        )
        let phase = 0
        script.on("fetch", (asks, next) =>
          Effect.suspend(() => {
            if (asks.partitions[0]!.fetchOffset !== 0 || ++phase === 1) return next
            // The second time from the start is the one beside the load.
            return phase === 2
              ? Effect.andThen(Effect.orDie(kafka.moveLeader("numbers", 0, 2)), next)
              : phase < 5
                ? Effect.fail(
                    new KafkaError.ConnectionFailed({ broker: "memory-2:9092", request: "Fetch", detail: "cut" })
                  )
                : next
          })
        )
        const subject = yield* observe(numbers, { decoding, build: 10_000 })
        assert.strictEqual(subject.contents().size, 10)
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 12: a catch-up time-out ends the start although reading again for older values gets no answer", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers")
        yield* write("numbers", ["a"])
        yield* kafka.append("numbers", [{ key: "a", value: "poison" }])
        script.on("fetch", (_asks, next) => next, 1)
        script.on("fetch", () =>
          Effect.fail(new KafkaError.ConnectionFailed({ broker: "memory-1:9092", request: "Fetch", detail: "cut" }))
        )
        const subject = yield* observe(numbers, {
          decoding,
          build: 12_000,
          table: { catchUp: { mode: "await", timeout: "5 seconds" } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        script.clear("fetch")
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 26: an authorization revoked between a load and reading again fails the start", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers")
        yield* write("numbers", ["a"])
        yield* kafka.append("numbers", [{ key: "a", value: "poison" }])
        script.on("fetch", (_asks, next) => next, 1)
        script.on(
          "fetch",
          fetched(() => refused(ErrorCode.TOPIC_AUTHORIZATION_FAILED))
        )
        const error = yield* within("the failure", 5000, failureOf(Effect.scoped(KafkaTable.make(numbers))))
        assert.strictEqual(error._tag, "NotAuthorized")
      })
    )
  )
})
