/** What brokers say of a topic and of its leaders, too early, too late or wrongly, and readers that follow. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Logger, Option } from "effect"
import { type KafkaClient, KafkaError } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { altered, fetched, onScript } from "../support/script.ts"
import { observe, requestsWhile } from "../support/subject.ts"
import {
  cut,
  numbersDecodedBy,
  observeNumbers,
  scriptedTable,
  scriptedTopic,
  withTopic,
  writeBatches
} from "./fixtures.ts"

describe("metadata and leaders", () => {
  it.effect("row 5: a cluster that answers that it is not ready is waited for", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic()
        yield* write("numbers", keys(3))
        yield* kafka.fail({ request: "describeTopic" }, ErrorCode.LEADER_NOT_AVAILABLE, { times: 5 })
        const subject = yield* observeNumbers()
        const asked = script.requests.describeTopic.length
        assert.isAbove(asked, 5, "it was asked until it was ready")
        assert.isBelow(asked, 10)
        assert.deepStrictEqual([...subject.contents().keys()], keys(3))
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 8: a topic whose partitions are not all led yet loads the others and waits for the rest", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 2 })
        yield* write("numbers", keys(3))
        yield* kafka.moveLeader("numbers", 1, undefined)
        const subject = yield* observeNumbers({ table: { catchUp: { mode: "await", timeout: "5 seconds" } } })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.strictEqual(subject.contents().size, 3)
        // Nothing is in it: no record will tell that it is complete.
        yield* kafka.moveLeader("numbers", 1, 1)
        yield* subject.become("CaughtUp", 5000)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 16: metadata that goes back in time does not undo an election, and parks nothing for good", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable(2)
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

  it.effect("row 16: an answer is applied once although its partition moves to another broker meanwhile", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic()
        const go = yield* Deferred.make<void>()
        let waiting = 0
        let marked = -1
        // A codec that waits in the middle of an answer keeps the answer open for as long as the test wants.
        const slow = numbersDecodedBy((value) =>
          Effect.suspend(() => {
            if (value !== marked) return Effect.succeed(value)
            waiting++
            return Effect.as(Deferred.await(go), value)
          })
        )
        yield* write("numbers", keys(5))
        const subject = yield* observe(slow, { decoding: numberDecoding, table: { metadataRefresh: "500 millis" } })
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
        const { kafka, script, subject } = yield* scriptedTable()
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

  it.effect("row 22: one description of another topic is not believed, two in a row are", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable(1, { metadataRefresh: "1 second" })
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
        const { kafka, script, subject } = yield* scriptedTable(1, { metadataRefresh: "1 second" })
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

  it.effect("row 24: metadata of a broker that does not know of added partitions yet is no recreated topic", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable(2, { metadataRefresh: "1 second" })
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

  it.effect("row 24: a preferred replica is read from, and left for the leader when it fails", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", keys(10))
        let redirects = 0
        let served = 0
        // Broker 2 holds a replica: it serves what broker 1 leads, for a while.
        script.on("fetch", (asks, next) =>
          Effect.suspend((): Effect.Effect<KafkaClient.FetchAnswer, KafkaError.KafkaError> => {
            if (asks.rack === undefined) return next
            if (asks.broker === 2) {
              served++
              return cut("Fetch", 2)
            }
            if (redirects++ > 2) return next
            return fetched(() => ({ preferredReadReplica: 2, records: Buffer.alloc(0) }))(asks, next)
          })
        )
        const subject = yield* observeNumbers({ table: { rack: "a" } })
        assert.isAbove(served, 0)
        assert.strictEqual(subject.contents().size, 10)
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 60: a follower that cannot be reached is left alone, and its partition read from the leader", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", keys(10))
        let sent = 0
        // The leader sends whoever names a rack to broker 2, always.
        script.on("fetch", (asks, next) =>
          Effect.suspend((): Effect.Effect<KafkaClient.FetchAnswer, KafkaError.KafkaError> => {
            if (asks.broker === 2) {
              sent++
              return cut("Fetch", 2)
            }
            if (asks.rack === undefined) return next
            return fetched(() => ({ preferredReadReplica: 2, records: Buffer.alloc(0) }))(asks, next)
          })
        )
        const subject = yield* observeNumbers({ table: { rack: "a", fetch: { maxWait: "1 second" } } })
        assert.strictEqual(subject.contents().size, 10)
        yield* write("numbers", ["live"])
        yield* subject.until("what is written", 5000, () => subject.contents().has("live"))
        assert.strictEqual(sent, 1)
        const { of } = yield* requestsWhile(subject.pass(100_000))
        assert.isAtLeast(sent, 2, "it is tried again after a while")
        assert.isAtMost(sent, 4)
        assert.isBelow(of("describeTopic"), 12)
        assert.isTrue((yield* subject.table.health).partitions.every(({ connected }) => connected))
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect(
    "row 60: a load that outlasts the rest of a follower which is away goes on with the leader, in one go",
    () =>
      onScript(
        Effect.gen(function* () {
          const { script } = yield* scriptedTopic()
          yield* writeBatches(60, 1)
          script.on("fetch", (asks, next) => {
            if (asks.broker === 2) return cut("Fetch", 2)
            return asks.rack === undefined
              ? Effect.delay(next, 1000)
              : fetched(() => ({ preferredReadReplica: 2, records: Buffer.alloc(0) }))(asks, next)
          })
          const subject = yield* observeNumbers({
            build: 90_000,
            table: { rack: "a", catchUp: { mode: "await", timeout: "90 seconds" }, fetch: { maxPartitionBytes: 1 } }
          })
          assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
          assert.strictEqual(subject.contents().size, 60)
          assert.lengthOf(
            script.requests.listOffsets.filter(({ at }) => at === "earliest"),
            1,
            "it is placed once, since nothing has it begin again"
          )
          yield* subject.verify()
        }),
        { brokers: 2 }
      )
  )

  it.effect("row 60: an advertised address that cannot be reached is named, in log, health and time-out", () =>
    onScript(
      Effect.gen(function* () {
        const { script } = yield* scriptedTopic()
        yield* write("numbers", keys(10))
        const lost = new KafkaError.ConnectionFailed({
          broker: "10.1.2.3:9092",
          request: "connect",
          detail: "connect ECONNREFUSED"
        })
        script.on("listOffsets", () => Effect.fail(lost))
        const lines: Array<string> = []
        const logger = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
        const subject = yield* observeNumbers({
          build: 20_000,
          table: { catchUp: { mode: "await", timeout: "10 seconds" } }
        }).pipe(Effect.provide(logger))
        const [partition] = (yield* subject.table.health).partitions
        assert.deepStrictEqual(partition!.disconnectedBecause, Option.some(lost.message))
        const told = lines.filter((line) => line.includes("10.1.2.3:9092"))
        assert.lengthOf(told, 2, "when it is lost, and when the start gives up")
        assert.include(told[1], "was not caught up within 10000 ms: 0 of 0 offsets replayed")
        script.clear("listOffsets")
        yield* subject.become("CaughtUp")
        assert.isTrue(Option.isNone((yield* subject.table.health).partitions[0]!.disconnectedBecause))
        yield* subject.verify()
      })
    )
  )
})
