/** Waits for the acknowledgements of one's own writes, and what becomes of them when the log loses a write. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import { KafkaClient, type KafkaError, KafkaTableWriter, type WriteAck } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { failureOf, requestsWhile } from "../support/subject.ts"
import { onScript } from "../support/script.ts"
import { settle } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"
import {
  ackAt,
  cut,
  fillPartitions,
  observeNumbers,
  scriptedTable,
  tableOfTen,
  withTopic,
  writeBatches
} from "./fixtures.ts"

/** The acknowledgement of a plain record that is written now. */
const ackNow = (offset: number) => Effect.map(Clock.currentTimeMillis, (timestamp) => ({ ...ackAt(offset), timestamp }))

/** More batches, one record in each and two producers taking turns, than a table remembers the producers of. */
const MANY_BATCHES = 1500

describe("waits for one's own writes", () => {
  it.effect("row 42: the wait for one's own write ends when it is readable, and before subscribers learn of it", () =>
    onCluster(
      Effect.gen(function* () {
        const { subject } = yield* tableOfTen()
        const events: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(subject.table.changes, (change) => Effect.sync(() => events.push(change._tag)))
        )
        yield* settle
        const waiting = yield* Effect.forkScoped(
          Effect.andThen(
            subject.table.awaitOffset(ackAt(10)),
            Effect.sync(() => events.push(`waited, reads ${subject.contents().has("x")}`))
          ),
          { startImmediately: true }
        )
        yield* write("numbers", ["x"])
        yield* subject.within("the wait", 10_000, Fiber.join(waiting))
        yield* settle
        assert.deepStrictEqual(events, ["Snapshot", "waited, reads true", "Set"])
        yield* subject.verify()
      })
    )
  )

  it.effect("row 42: a writer's acknowledgements are awaited under elections and cut connections", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day" })
        for (let i = 0; i < 10; i++) {
          if (i === 3) yield* kafka.moveLeader("numbers", 0, 2)
          if (i === 6) {
            yield* kafka.disconnect(2)
            yield* subject.pass(500)
            yield* kafka.reconnect(2)
          }
          const ack = yield* subject.within("the write", 30_000, writer.set("own", 1_000_000 + i))
          yield* subject.within("its wait", 30_000, subject.table.awaitOffset(ack))
          assert.deepStrictEqual(yield* subject.table.get("own"), Option.some(1_000_000 + i))
        }
        yield* subject.agrees()
        assert.deepStrictEqual(subject.fold.faults, [])
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 42: a thousand waits cost no more requests than one", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        yield* kafka.fail({ request: "fetch" }, ErrorCode.KAFKA_STORAGE_ERROR, { times: 1_000_000 })
        const waits = yield* Effect.forkScoped(
          Effect.forEach(keys(1000), (_, i) => subject.table.awaitOffset(ackAt(10 + i)), { concurrency: "unbounded" })
        )
        const { of } = yield* requestsWhile(subject.pass(10_000))
        assert.isBelow(of("endOffsetForEpoch"), 15)
        yield* kafka.clearFailures
        yield* Fiber.interrupt(waits)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 45: an acknowledged record that an election drops ends its wait with data loss", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        yield* kafka.disconnect()
        yield* subject.pass(500)
        yield* write("numbers", ["dropped"])
        const waiting = yield* Effect.forkScoped(failureOf(subject.table.awaitOffset(ackAt(10))))
        yield* kafka.truncate("numbers", 0, 10)
        yield* kafka.reconnect()
        const error = yield* subject.within("the wait", 60_000, Fiber.join(waiting))
        assert.deepInclude(error, { _tag: "DataLoss", partition: 0, resetTo: 10 })
        yield* subject.verify()
      })
    )
  )

  it.effect("row 45: another record at the acknowledged offset is data loss, not success", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day" })
        const ack = yield* subject.within("the write", 10_000, writer.set("mine", 7))
        yield* subject.within("its wait", 10_000, subject.table.awaitOffset(ack))
        yield* kafka.truncate("numbers", 0, 10)
        yield* write("numbers", keys(5, "other-"))
        yield* subject.saw("Rebuilding", 60_000)
        yield* subject.become("CaughtUp")
        const error = yield* subject.within("the wait", 10_000, failureOf(subject.table.awaitOffset(ack)))
        assert.strictEqual(error._tag, "DataLoss")
        yield* subject.agrees()
      })
    )
  )

  it.effect("row 45: a wait for a write to the topic before its recreation ends with data loss", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day" })
        const ack = yield* subject.within("the write", 10_000, writer.set("mine", 7))
        yield* kafka.recreateTopic("numbers")
        yield* subject.saw("Rebuilding", 60_000)
        yield* subject.become("CaughtUp")
        const error = yield* subject.within("the wait", 5000, failureOf(subject.table.awaitOffset(ack)))
        assert.strictEqual(error._tag, "DataLoss")
        yield* subject.agrees()
      })
    )
  )

  it.effect("row 45: a wait for a write to a partition that the topic has not, for long, ends with data loss", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen({ metadataRefresh: "10 minutes" })
        const { awaitOffset } = subject.table
        const none = yield* Effect.forkScoped(failureOf(awaitOffset({ ...ackAt(0), partition: 5 })))
        const later = yield* Effect.forkScoped(Effect.exit(awaitOffset({ ...ackAt(0), partition: 1 })))
        yield* subject.pass(2000)
        yield* kafka.addPartitions("numbers", 2)
        const acknowledged = { offsetDelta: 0, timestamp: 0, key: Buffer.from("late"), value: Buffer.from("0") }
        yield* kafka.appendBatch("numbers", encodeBatch([acknowledged], { leaderEpoch: 0 }), { partition: 1 })
        yield* subject.until("the error", 10_000, () => none.pollUnsafe() !== undefined)
        const error = yield* Fiber.join(none)
        assert.strictEqual(error._tag, "DataLoss")
        assert.include(error.message, "numbers[5]")
        assert.include(error.message, "the topic has 2 partitions, and none of that number")
        yield* subject.within("the partition that came", 10_000, Fiber.await(later))
        assert.isTrue(Exit.isSuccess(yield* Fiber.join(later)))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 54: an acknowledgement that overtakes the answer about the log's end is not judged by it", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable()
        const { awaitOffset } = subject.table
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.append("numbers", [{ key: "open", value: "-1" }])
        yield* write("numbers", ["first"])
        const first = yield* Effect.forkScoped(Effect.exit(awaitOffset(yield* ackNow(11))), { startImmediately: true })
        let answered = 0
        script.on("endOffsetForEpoch", (_, next) =>
          Effect.flatMap(next, (answer) => Effect.as(Effect.sleep(200), answer)).pipe(
            Effect.tap(Effect.sync(() => answered++))
          )
        )
        yield* subject.until("a question", 10_000, () => script.requests.endOffsetForEpoch.length > 0)
        yield* write("numbers", ["second"])
        const second = yield* Effect.forkScoped(Effect.exit(awaitOffset(yield* ackNow(12))), { startImmediately: true })
        yield* subject.until("its answer", 10_000, () => answered > 0)
        yield* transaction.commit
        assert.deepStrictEqual(yield* subject.within("the second", 10_000, Fiber.join(second)), Exit.void)
        assert.deepStrictEqual(yield* subject.within("the first", 10_000, Fiber.join(first)), Exit.void)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 54: what a leader that was deposed says of the log's end ends no wait", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable(1, { metadataRefresh: "10 minutes" })
        // It does not know yet that another one leads, nor what that one has taken.
        script.on("fetch", (asks, next) =>
          asks.broker === 1
            ? Effect.map(Effect.andThen(Effect.sleep(asks.maxWait), next), (answer) => ({
                ...answer,
                partitions: answer.partitions.map((partition) => ({
                  ...partition,
                  errorCode: 0,
                  highWatermark: 10,
                  lastStableOffset: 10,
                  logStartOffset: 0,
                  currentLeader: undefined,
                  records: Buffer.alloc(0)
                }))
              }))
            : next
        )
        script.on("endOffsetForEpoch", (asks, next) =>
          asks.broker === 1
            ? Effect.succeed(
                asks.partitions.map(({ leaderEpoch, partition }) => ({
                  partition,
                  errorCode: 0,
                  leaderEpoch,
                  endOffset: 10
                }))
              )
            : next
        )
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* write("numbers", ["mine"])
        const wait = Effect.exit(subject.table.awaitOffset(yield* ackNow(10)))
        assert.deepStrictEqual(yield* subject.within("the wait", 20_000, wait), Exit.void)
        assert.isTrue(
          script.requests.endOffsetForEpoch.some(({ broker }) => broker === 1),
          "it was asked"
        )
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 54: where a topic's log ends says nothing of a write to the topic that took its name", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable()
        // Nobody has learned of the new topic yet but its writer.
        const old = yield* (yield* KafkaClient.KafkaClient).describeTopic("numbers")
        const topicId = yield* kafka.recreateTopic("numbers")
        let lags = true
        script.on("describeTopic", (_, next) => (lags ? Effect.succeed(old) : next))
        script.on("endOffsetForEpoch", (asks) =>
          Effect.succeed(
            asks.partitions.map(({ leaderEpoch, partition }) => ({
              partition,
              errorCode: 0,
              leaderEpoch,
              endOffset: 10
            }))
          )
        )
        yield* write("numbers", keys(20))
        const waiting = yield* Effect.forkScoped(
          Effect.exit(subject.table.awaitOffset({ ...(yield* ackNow(15)), topicId })),
          {
            startImmediately: true
          }
        )
        yield* subject.until("answers", 20_000, () => script.requests.endOffsetForEpoch.length > 0)
        yield* subject.pass(2000)
        script.clear("endOffsetForEpoch")
        lags = false
        assert.deepStrictEqual(yield* subject.within("the wait", 60_000, Fiber.join(waiting)), Exit.void)
        yield* subject.agrees()
      })
    )
  )

  it.effect("row 22: a wait for a write to the topic's successor outlives one description of the topic before it", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable()
        const before = yield* (yield* KafkaClient.KafkaClient).describeTopic("numbers")
        // Nobody describes it for longer than descriptions of another topic are doubted, then one broker that lags does.
        script.on("describeTopic", () => cut("Metadata"))
        const topicId = yield* kafka.recreateTopic("numbers")
        yield* write("numbers", ["x"])
        const ack = { ...(yield* ackNow(0)), topicId }
        const waiting = yield* Effect.forkScoped(Effect.exit(subject.table.awaitOffset(ack)), {
          startImmediately: true
        })
        yield* subject.pass(5000)
        script.clear("describeTopic")
        script.on("describeTopic", () => Effect.succeed(before), 1)
        assert.deepStrictEqual(yield* subject.within("the wait", 60_000, Fiber.join(waiting)), Exit.void)
        yield* subject.agrees()
      })
    )
  )

  it.effect("row 54: a leader that is none any more ends no wait by where its log ends", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable()
        // The old leader answers as if nothing had happened, and holds nothing of what its successor acknowledges.
        script.on("endOffsetForEpoch", (asks) =>
          Effect.succeed(
            asks.partitions.map(({ leaderEpoch, partition }) => ({
              partition,
              errorCode: 0,
              leaderEpoch,
              endOffset: 10
            }))
          )
        )
        yield* kafka.pause(1)
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* write("numbers", ["x"])
        const waiting = yield* Effect.forkScoped(Effect.exit(subject.table.awaitOffset(yield* ackNow(10))), {
          startImmediately: true
        })
        yield* subject.until("answers", 20_000, () => script.requests.endOffsetForEpoch.length > 0)
        yield* subject.pass(500)
        script.clear("endOffsetForEpoch")
        yield* kafka.resume(1)
        assert.deepStrictEqual(yield* subject.within("the wait", 60_000, Fiber.join(waiting)), Exit.void)
        yield* subject.verify()
      }),
      { brokers: 2 }
    )
  )

  it.effect("row 45: another record at the acknowledged offset is data loss however many batches followed it", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day" })
        const ack = yield* subject.within("the write", 10_000, writer.set("mine", 7))
        yield* kafka.truncate("numbers", 0, 10)
        yield* writeBatches(MANY_BATCHES, 1)
        yield* subject.saw("Rebuilding", 60_000)
        yield* subject.become("CaughtUp")
        const error = yield* subject.within("the wait", 10_000, failureOf(subject.table.awaitOffset(ack)))
        assert.strictEqual(error._tag, "DataLoss")
        yield* subject.agrees()
      })
    )
  )

  it.effect("row 45: a wait that came first is data loss, too, however many batches come in one answer", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day" })
        yield* kafka.fail({ request: "fetch" }, ErrorCode.KAFKA_STORAGE_ERROR, { times: 1_000_000 })
        yield* subject.pass(10_000)
        const ack = yield* subject.within("the write", 10_000, writer.set("mine", 7))
        yield* kafka.truncate("numbers", 0, 10)
        yield* writeBatches(MANY_BATCHES, 1)
        const waiting = yield* Effect.forkScoped(failureOf(subject.table.awaitOffset(ack)), { startImmediately: true })
        yield* kafka.clearFailures
        assert.strictEqual((yield* subject.within("the wait", 10_000, Fiber.join(waiting)))._tag, "DataLoss")
        yield* subject.agrees()
      })
    )
  )

  it.effect("row 42: waits for writes that many batches followed succeed, and share what is looked up in the log", () =>
    onCluster(
      Effect.gen(function* () {
        const { subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day" })
        const { acks } = yield* subject.within(
          "the writes",
          10_000,
          Effect.map(
            Effect.forEach(keys(200), (key, i) => writer.set(key, 1_000_000 + i), { concurrency: "unbounded" }),
            (acks) => ({ acks })
          )
        )
        yield* writeBatches(MANY_BATCHES, 1)
        yield* subject.agrees()
        const waits = Effect.forEach(acks, (ack) => subject.table.awaitOffset(ack), { concurrency: "unbounded" })
        const { all } = yield* requestsWhile(subject.within("the waits", 10_000, waits))
        assert.isAtMost(all, 3)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 42: a wait for a write that compaction has taken since, in favour of a later one, succeeds", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day" })
        const ack = yield* subject.within("the write", 10_000, writer.set("mine", 7))
        yield* subject.within("the other", 10_000, writer.set("mine", 8))
        yield* writeBatches(MANY_BATCHES, 1)
        yield* subject.agrees()
        yield* kafka.compact("numbers")
        yield* subject.within("the wait", 10_000, subject.table.awaitOffset(ack))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 42: waits that look a write up in the log while the log is read again go on after that", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 2 })
        const client = yield* KafkaClient.KafkaClient
        /** Look-ups get no answer until their connection is closed. */
        let isSilent = false
        let looks = 0
        const silent: KafkaClient.Service = {
          ...client,
          openFetcher: Effect.fnUntraced(function* (broker) {
            const fetcher = yield* client.openFetcher(broker)
            const closed = Deferred.makeUnsafe<never, KafkaError.KafkaError>()
            let isAsked = false
            yield* Effect.addFinalizer(() => {
              if (!isAsked) return Effect.void
              // The next session's are answered.
              isSilent = false
              // A connection takes a moment to close.
              return Effect.andThen(Deferred.completeWith(closed, cut("Fetch")), Effect.sleep("10 millis"))
            })
            return {
              fetch: (request) => {
                if (!isSilent || request.maxWait > 0) return fetcher.fetch(request)
                looks++
                isAsked = true
                return Deferred.await(closed)
              }
            }
          })
        }
        yield* fillPartitions(2, 10)
        const subject = yield* Effect.provideService(observeNumbers(), KafkaClient.KafkaClient, silent)
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day", partitioner: () => 0 })
        const acks: Array<WriteAck.WriteAck> = []
        for (let i = 0; i < 3; i++) {
          acks.push(yield* subject.within("a write", 10_000, writer.set(`own-${i}`, 1_000_000 + i)))
        }
        yield* writeBatches(MANY_BATCHES, 1)
        yield* subject.agrees()
        isSilent = true
        const waits = yield* Effect.forkScoped(
          Effect.forEach(acks, (ack) => Effect.exit(subject.table.awaitOffset(ack)), { concurrency: "unbounded" }),
          { startImmediately: true }
        )
        yield* subject.until("a look into the log", 10_000, () => looks > 0)
        yield* kafka.truncate("numbers", 1, 5)
        yield* subject.saw("Rebuilding", 60_000)
        const ended = yield* subject.within("the waits", 60_000, Fiber.join(waits))
        assert.deepStrictEqual(ended, [Exit.void, Exit.void, Exit.void])
        yield* subject.agrees()
      })
    )
  )

  it.effect("row 45: a wait for a write that was deleted from the log since is data loss", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 day" })
        const ack = yield* subject.within("the write", 10_000, writer.set("mine", 7))
        yield* writeBatches(MANY_BATCHES, 1)
        yield* subject.agrees()
        yield* kafka.deleteRecords("numbers", 0, 20)
        const error = yield* subject.within("the wait", 10_000, failureOf(subject.table.awaitOffset(ack)))
        assert.deepInclude(error, { _tag: "DataLoss", resetTo: 20 })
      })
    )
  )
})
