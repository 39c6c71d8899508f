/** FAULTS "Readers of the table" and "Lifetime": what subscribers and waits see, and how tables end. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Option, Schema, Scope, Stream } from "effect"
import { Codec, KafkaClient, KafkaTable, KafkaTableWriter, TableTopic, type WriteAck } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { onScript, Script } from "../support/script.ts"
import { failureOf, Fold, observe, requestsWhile } from "../support/subject.ts"
import { pass, settle, within } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"

const decoding = numberDecoding

const start = Effect.fnUntraced(function* (table?: KafkaTable.Options) {
  const kafka = yield* memory
  yield* kafka.createTopic("numbers")
  yield* write("numbers", keys(10))
  const subject = yield* observe(numbers, { decoding, table })
  return { kafka, subject }
})

/** The acknowledgement of a plain record at an offset. */
const ackAt = (offset: number, more: Partial<WriteAck.WriteAck> = {}): WriteAck.WriteAck => ({
  topic: "numbers",
  topicId: undefined,
  partition: 0,
  offset,
  timestamp: 0,
  producerId: -1,
  producerEpoch: -1,
  sequence: -1,
  ...more
})

describe("readers of the table", () => {
  it.effect("row 40: a subscriber that throws fails alone", () =>
    onCluster(
      Effect.gen(function* () {
        const { subject } = yield* start()
        const thrower = yield* Effect.forkScoped(
          Effect.exit(
            Stream.runForEach(subject.table.changes, (change) =>
              Effect.sync(() => {
                if (change._tag === "Set") throw new Error("a bug of the subscriber's")
              })
            )
          )
        )
        yield* settle
        yield* write("numbers", ["x"])
        assert.isTrue(Exit.isFailure(yield* subject.within("the subscriber's end", 10_000, Fiber.join(thrower))))
        yield* write("numbers", ["y"])
        yield* subject.verify()
      })
    )
  )

  it.effect("row 41: subscribers that come at any moment miss nothing and hear nothing twice", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* start()
        const folds: Array<Fold<string, number>> = []
        for (let i = 0; i < 40; i++) {
          const fold = new Fold<string, number>()
          folds.push(fold)
          yield* Effect.forkScoped(
            Stream.runForEach(subject.table.changes, (change) => Effect.sync(() => fold.hear(change, 0)))
          )
          for (let turn = 0; turn < i % 5; turn++) yield* Effect.yieldNow
          yield* write("numbers", i % 3 === 0 ? [["k1", null]] : [`k${i % 7}`, `n${i}`])
          if (i % 10 === 0) yield* subject.pass(100)
          if (i === 20) yield* kafka.compact("numbers")
        }
        yield* subject.within("a barrier", 10_000, subject.table.barrier())
        yield* settle
        const contents = JSON.stringify([...subject.contents()].sort())
        for (const fold of folds) {
          assert.deepStrictEqual(fold.faults, [])
          assert.strictEqual(JSON.stringify([...fold.model!].sort()), contents)
        }
        yield* subject.verify()
      })
    )
  )

  it.effect("row 42: the wait for one's own write ends when it is readable, and before subscribers hear of it", () =>
    onCluster(
      Effect.gen(function* () {
        const { subject } = yield* start()
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
        const { kafka, subject } = yield* start()
        const writer = yield* KafkaTableWriter.make(numbers)
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

  it.effect("row 45: an acknowledged record that an election drops ends its wait with data loss", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* start()
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
        const { kafka, subject } = yield* start()
        const writer = yield* KafkaTableWriter.make(numbers)
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
        const { kafka, subject } = yield* start()
        const writer = yield* KafkaTableWriter.make(numbers)
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

  it.effect("row 42: a thousand waits cost no more requests than one", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* start()
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

  it.effect("row 43: readers of a rebuild see the old complete contents until the new complete contents", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, subject } = yield* start({ fetch: { maxPartitionBytes: 1 } })
        const script = yield* Script
        yield* kafka.truncate("numbers", 0, 0)
        for (let i = 0; i < 10; i++) yield* write("numbers", [`new${i}`, ["new0", null]])
        script.on("fetch", (_asks, next) => Effect.delay(next, 100))
        const seen = new Set<string>()
        const watching = yield* Effect.forkScoped(
          Effect.forever(
            Effect.andThen(
              Effect.sync(() => seen.add([...subject.contents().keys()].sort().join())),
              Effect.yieldNow
            )
          )
        )
        yield* subject.saw("Rebuilding", 10_000)
        yield* subject.become("CaughtUp")
        yield* Fiber.interrupt(watching)
        assert.deepStrictEqual(
          [...seen],
          [
            keys(10).sort().join(),
            keys(10, "new")
              .filter((key) => key !== "new0")
              .sort()
              .join()
          ]
        )
        assert.strictEqual(subject.fold.resyncs, 0, "the difference, not a snapshot")
        yield* subject.verify()
      })
    )
  )
})

describe("lifetime", () => {
  it.effect("row 49: closed during a barrier with a hung broker: every wait ends, in no time", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* start()
        yield* kafka.pause()
        const waits = yield* Effect.forEach(
          [subject.table.barrier(), subject.table.awaitOffset(ackAt(100)), subject.table.failure],
          (wait) => Effect.forkScoped(failureOf<void, unknown, never>(wait), { startImmediately: true })
        )
        yield* subject.pass(1000)
        yield* subject.close
        for (const wait of waits) {
          const error = yield* within("the wait", 100, Fiber.join(wait))
          assert.strictEqual((error as { readonly _tag: string })._tag, "TableClosed")
        }
      }),
      { requestTimeout: 30_000 }
    )
  )

  it.effect("row 49: closed twice, and while it is built anew", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* start()
        yield* kafka.truncate("numbers", 0, 0)
        yield* kafka.pause()
        yield* subject.pass(100)
        yield* subject.close
        yield* subject.close
      })
    )
  )

  it.effect("row 49: closed while a codec waits for its surroundings", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers")
        const topic = TableTopic.make({
          name: "numbers",
          key: Schema.String,
          value: Codec.make<number, never, never>({
            decode: () => Effect.never,
            encode: (value: number) => Effect.succeed(Buffer.from(String(value)))
          })
        })
        const subject = yield* observe(topic, { decoding })
        yield* write("numbers", ["a"])
        yield* subject.pass(5000)
        yield* subject.close
      })
    )
  )

  it.effect("row 12: a catch-up time-out ends the start although a codec waits for its surroundings", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers")
        yield* write("numbers", ["a"])
        const there = yield* Deferred.make<void>()
        const topic = TableTopic.make({
          name: "numbers",
          key: Schema.String,
          value: Codec.make<number, never, never>({
            decode: (bytes: Uint8Array) => Effect.as(Deferred.await(there), Number(Buffer.from(bytes).toString())),
            encode: (value: number) => Effect.succeed(Buffer.from(String(value)))
          })
        })
        const subject = yield* observe(topic, {
          decoding,
          build: 11_000,
          table: { catchUp: { mode: "await", timeout: "5 seconds" } }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        yield* Deferred.succeed(there, undefined)
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      })
    )
  )

  it.effect("row 50: two tables on one topic are two readers, and what fails one leaves the other", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers")
        yield* write("numbers", keys(10))
        const strict = yield* observe(numbers, { decoding, isAlone: false, table: { onDecodeError: "fail" } })
        const lenient = yield* observe(numbers, { decoding })
        yield* kafka.append("numbers", [{ key: "k1", value: "poison" }])
        yield* strict.become("Failed", 10_000)
        yield* strict.verifyFailed("DecodeError")
        yield* write("numbers", ["more"])
        yield* lenient.verify()
      })
    )
  )

  it.effect("row 50: two hundred tables live, are cut off, come back and close together", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const topics = keys(200, "topic-").map((name) =>
          TableTopic.make({ name, key: Schema.String, value: Schema.Int })
        )
        for (const { name } of topics) {
          yield* kafka.createTopic(name)
          yield* kafka.append(name, [{ key: "a", value: "1" }])
        }
        const scope = yield* Scope.make()
        const client = yield* KafkaClient.KafkaClient
        const tables = yield* within(
          "building them",
          10_000,
          Effect.forEach(topics, (topic) => KafkaTable.make(topic, { ensureTopic: false }), { concurrency: 20 }).pipe(
            Scope.provide(scope),
            Effect.provide(Layer.succeed(KafkaClient.KafkaClient, client))
          )
        )
        yield* kafka.disconnect()
        yield* pass(3000, Effect.void, 500)
        // One of them loses its log meanwhile.
        yield* kafka.truncate("topic-7", 0, 0)
        yield* kafka.deleteTopic("topic-8")
        yield* kafka.reconnect()
        for (const { name } of topics) {
          if (name !== "topic-8") yield* kafka.append(name, [{ key: "b", value: "2" }])
        }
        yield* pass(10_000, Effect.void, 500)
        for (const [i, table] of tables.entries()) {
          const { _tag } = yield* table.status
          assert.strictEqual(_tag, i === 8 ? "Failed" : "CaughtUp", table.topic)
          assert.deepStrictEqual([...table.keysUnsafe()].sort(), i === 8 ? ["a"] : i === 7 ? ["b"] : ["a", "b"])
        }
        yield* within("closing them", 2000, Scope.close(scope, Exit.void))
        assert.strictEqual(yield* kafka.held, 0)
        const { all } = yield* requestsWhile(pass(120_000, Effect.void, 10_000))
        assert.strictEqual(all, 0)
      })
    )
  )
})
