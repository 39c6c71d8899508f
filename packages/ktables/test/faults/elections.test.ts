/** Leaders that move, are missing or do not answer for their partitions, and barriers over elections. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { onCluster, write } from "../support/kafka.ts"
import { failureOf, requestsWhile } from "../support/subject.ts"
import { tableOnThree } from "./fixtures.ts"

describe("elections", () => {
  it.effect("row 16: a moved leader is found and its partition retried alone", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        for (const [partition, broker] of [
          [0, 2],
          [0, 3],
          [1, 1],
          [0, 1]
        ] as const) {
          yield* kafka.moveLeader("numbers", partition, broker)
          yield* write("numbers", [`moved-${partition}-${broker}`, "flows"], { partition })
          yield* subject.until("read from the new leader", 3000, () =>
            subject.contents().has(`moved-${partition}-${broker}`)
          )
          assert.strictEqual((yield* subject.table.health).partitions[partition]!.leader, broker)
        }
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 16: a partition without a leader waits, shows it, and the others keep flowing", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.moveLeader("numbers", 1, undefined)
        yield* subject.pass(3000)
        const health = (yield* subject.table.health).partitions[1]!
        assert.strictEqual(health.leader, -1)
        assert.isFalse(health.connected)
        const { all } = yield* requestsWhile(subject.pass(30_000))
        assert.isBelow(all, 30 * 8)
        // The wait for the one without a leader is not the others' wait.
        yield* kafka.moveLeader("numbers", 0, 3)
        yield* write("numbers", ["other"], { partition: 0 })
        yield* subject.until("the other partition", 1500, () => subject.contents().has("other"))
        const error = yield* subject.within("a barrier", 5000, failureOf(subject.table.barrier({ timeout: 1000 })))
        assert.strictEqual(error._tag, "BarrierTimeout")
        if (error._tag === "BarrierTimeout") {
          assert.deepStrictEqual(
            error.waitingFor.map(({ partition, reason }) => [partition, reason]),
            [[1, "disconnected"]]
          )
        }
        yield* kafka.moveLeader("numbers", 1, 2)
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  for (const name of [
    "NOT_LEADER_OR_FOLLOWER",
    "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH",
    "LEADER_NOT_AVAILABLE",
    "REPLICA_NOT_AVAILABLE",
    "KAFKA_STORAGE_ERROR",
    "OFFSET_NOT_AVAILABLE",
    "UNKNOWN_TOPIC_OR_PARTITION",
    "UNKNOWN_TOPIC_ID",
    "UNKNOWN_SERVER_ERROR",
    "FETCH_SESSION_ID_NOT_FOUND"
  ] as const) {
    it.effect(`row 16: ${name} in a fetch answer is a back-off for that partition, never a reset`, () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* tableOnThree()
          yield* kafka.fail({ request: "fetch", partition: 1 }, ErrorCode[name], { times: 6 })
          yield* write("numbers", ["other"], { partition: 2 })
          yield* write("numbers", ["this"], { partition: 1 })
          const { of } = yield* requestsWhile(
            subject.until("both", 10_000, () => subject.contents().has("this") && subject.contents().has("other"))
          )
          assert.isBelow(of("describeTopic"), 12)
          assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
          yield* subject.verify()
        }),
        { brokers: 3 }
      )
    )
  }

  it.effect("row 17: a barrier asks again while the offsets after an election are not available", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* kafka.fail({ request: "listOffsets", partition: 0 }, ErrorCode.OFFSET_NOT_AVAILABLE, { times: 5 })
        yield* write("numbers", ["late"], { partition: 0 })
        yield* subject.within("the barrier", 10_000, subject.table.barrier())
        assert.isTrue(subject.contents().has("late"))
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 17: a barrier over a rebuild and elections ends with the new log", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.pause()
        const barrier = yield* Effect.forkScoped(subject.table.barrier())
        yield* subject.pass(200)
        yield* kafka.truncate("numbers", 0, 10)
        yield* kafka.moveLeader("numbers", 1, 3)
        yield* write("numbers", ["after"], { partition: 0 })
        yield* kafka.resume()
        yield* subject.within("the barrier", 60_000, Fiber.join(barrier))
        assert.isTrue(subject.contents().has("after"))
        assert.isFalse(subject.contents().has("p0-15"))
        yield* subject.verify()
      }),
      { brokers: 3, requestTimeout: 10_000 }
    )
  )

  it.effect("row 17: a barrier whose records are lost in an election takes its targets again", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [{ key: "open", value: "1" }], { partition: 0 })
        const barrier = yield* Effect.forkScoped(subject.table.barrier())
        yield* subject.pass(500)
        assert.isUndefined(barrier.pollUnsafe(), "an open transaction holds the barrier up")
        yield* kafka.truncate("numbers", 0, 20)
        yield* subject.within("the barrier", 40_000, Fiber.join(barrier))
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )
})
