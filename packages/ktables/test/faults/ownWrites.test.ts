/** Waits for the acknowledgements of one's own writes, and what becomes of them when the log loses a write. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { KafkaTableWriter } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { failureOf, requestsWhile } from "../support/subject.ts"
import { settle } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"
import { ackAt, tableOfTen } from "./fixtures.ts"

describe("waits for one's own writes", () => {
  it.effect("row 42: the wait for one's own write ends when it is readable, and before subscribers hear of it", () =>
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
        const { kafka, subject } = yield* tableOfTen()
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
})
