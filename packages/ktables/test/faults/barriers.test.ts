/** Barriers whose targets are in doubt, out of reach, or behind an open transaction. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { keys, write } from "../support/kafka.ts"
import type { PartitionHealth } from "effect-ktables/KafkaTable"
import { altered, onScript } from "../support/script.ts"
import { failureOf } from "../support/subject.ts"
import { cut, record, scriptedTable } from "./fixtures.ts"

describe("barriers", () => {
  it.effect("row 17: a barrier does not accept an end below what was seen", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable()
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

  it.effect("row 17: barriers that wait side by side tell each of its own targets", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, subject } = yield* scriptedTable()
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [record("open", 1)])
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

  it.effect("row 17: a barrier takes its targets again after an election that it did not wait for yet", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable(2)
        /** What the deposed leader said is asked for once; the other leader holds up the barrier meanwhile. */
        let isFirst = true
        script.on("listOffsets", (asks, next) => {
          if (asks.broker === 2) return cut("ListOffsets", 2)
          if (!isFirst || asks.isolation !== "read_uncommitted") return next
          isFirst = false
          return Effect.map(next, (listed) => listed.map((one) => ({ ...one, offset: 30 })))
        })
        const waiting = yield* Effect.forkScoped(subject.table.barrier())
        yield* subject.pass(500)
        assert.isFalse(isFirst)
        yield* kafka.moveLeader("numbers", 0, 3)
        yield* subject.pass(5000)
        script.clear("listOffsets")
        yield* subject.within("the barrier", 10_000, Fiber.join(waiting))
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect(
    "row 18: a barrier does not count on a position in a log that an election cut and that has grown as long",
    () =>
      onScript(
        Effect.gen(function* () {
          const { kafka, subject } = yield* scriptedTable()
          const { position } = (yield* subject.table.health).partitions[0]!
          yield* kafka.truncate("numbers", 0, 0)
          yield* write("numbers", keys(position, "other-"))
          yield* subject.within("the barrier", 10_000, subject.table.barrier())
          assert.isTrue(subject.contents().has("other-0"))
          yield* subject.verify()
        })
      )
  )

  it.effect("row 17: a barrier does not count on the end that a deposed leader names which does not know it yet", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable()
        const [{ leader, position }] = (yield* subject.table.health).partitions as [PartitionHealth]
        script.on("fetch", (asks, next) => (asks.broker === leader ? Effect.never : next))
        // The long poll that is under way would end.
        yield* subject.pass(6000)
        script.on("listOffsets", (asks, next) =>
          asks.broker === leader
            ? Effect.succeed([{ partition: 0, errorCode: 0, offset: position, leaderEpoch: 0 }])
            : next
        )
        yield* kafka.moveLeader("numbers", 0, leader === 2 ? 3 : 2)
        yield* kafka.append("numbers", [record("late", 1)])
        // Who leads is only learned after the deposed leader has answered.
        script.on("describeTopic", (_asks, next) => Effect.delay(next, "100 millis"))
        script.on("endOffsetForEpoch", (_asks, next) => Effect.delay(next, "100 millis"))
        script.on("fetch", (asks, next) => (asks.broker === leader ? Effect.never : Effect.delay(next, "200 millis")))
        const shows = Effect.map(subject.table.barrier(), () => subject.table.view.has("late"))
        assert.isTrue(yield* subject.within("the barrier", 10_000, shows))
        script.clear("fetch")
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 31: a barrier that cannot even ask for its targets says which partitions are away", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, subject } = yield* scriptedTable(2)
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
})
