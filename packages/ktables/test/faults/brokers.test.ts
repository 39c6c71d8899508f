/** FAULTS "Broker and network", as far as an embedded cluster can misbehave like one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { KafkaError } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { requestsWhile } from "../support/subject.ts"
import { pass } from "../support/time.ts"
import { failureOfStart, fillPartitions, observeNumbers, tableOnThree, withTopic } from "./fixtures.ts"

const refused = new KafkaError.AuthenticationFailed({ broker: "memory-1:9092", detail: "the token expired" })

describe("brokers and network", () => {
  it.effect("row 1: without any broker the start ends with every address and its last cause, and no busy loop", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.disconnect()
        const { all } = yield* requestsWhile(
          Effect.gen(function* () {
            const error = yield* failureOfStart(40_000, { startTimeout: "30 seconds" })
            if (error._tag !== "Unreachable") return assert.fail(error._tag)
            assert.deepStrictEqual(error.brokers.map(({ address }) => address).sort(), [
              "memory-1:9092",
              "memory-2:9092",
              "memory-3:9092"
            ])
            assert.include(error.message, "out of reach")
          })
        )
        assert.isBelow(all, 80)
        yield* pass(60_000)
      }),
      { brokers: 3 }
    )
  )

  it.effect(
    "row 3: credentials refused while live leave the table serving and disconnected until they are renewed",
    () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* tableOnThree()
          yield* kafka.fail({}, refused, { times: 1_000_000 })
          yield* write("numbers", ["unseen"])
          yield* subject.pass(5000)
          yield* write("numbers", ["unseen"])
          const { all } = yield* requestsWhile(subject.pass(60_000))
          assert.isBelow(all, 60 * 8)
          assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
          assert.isFalse((yield* subject.table.health).partitions[0]!.connected)
          yield* kafka.clearFailures
          yield* subject.verify()
        }),
        { brokers: 3 }
      )
  )

  it.effect("row 3: credentials refused while a table is built again are waited out without a busy loop", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.fail({ request: "describeTopic" }, refused, { times: 1_000_000 })
        // Without an election the fetch itself tells of the truncation.
        yield* kafka.truncate("numbers", 0, 5, { leaderEpoch: 0 })
        yield* subject.become("Rebuilding", 10_000)
        const { all } = yield* requestsWhile(subject.pass(60_000))
        assert.isBelow(all, 60 * 8)
        assert.strictEqual((yield* subject.table.status)._tag, "Rebuilding")
        yield* kafka.clearFailures
        yield* subject.become("CaughtUp", 10_000)
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect(
    "row 13: brokers that are cut off one after another leave the table serving, disconnected, and resuming",
    () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* tableOnThree()
          for (const broker of [1, 2, 3]) {
            const partition = broker - 1
            yield* kafka.disconnect(broker)
            yield* subject.pass(2000)
            yield* write("numbers", [`during-${broker}`], { partition })
            yield* write("numbers", [`beside-${broker}`], { partition: broker % 3 })
            yield* subject.pass(2000)
            const { partitions, status } = yield* subject.table.health
            assert.strictEqual(status._tag, "CaughtUp")
            assert.isFalse(partitions[partition]!.connected)
            assert.isTrue(partitions[broker % 3]!.connected)
            assert.isTrue(subject.contents().has(`beside-${broker}`), "the other brokers' partitions flow")
            assert.isFalse(subject.contents().has(`during-${broker}`))
            yield* kafka.reconnect(broker)
            yield* subject.until("reconnected", 5000, () => subject.contents().has(`during-${broker}`))
          }
          yield* kafka.disconnect()
          yield* subject.pass(60_000)
          assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
          yield* kafka.reconnect()
          yield* subject.verify()
        }),
        { brokers: 3 }
      )
  )

  it.effect("row 13: a broker that stays away costs a bounded number of requests", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.disconnect()
        yield* subject.pass(10_000)
        const { all } = yield* requestsWhile(subject.pass(60_000))
        assert.isBelow(all, 60 * 6, "requests in a minute without brokers")
        assert.isAbove(all, 20, "it keeps trying")
        yield* kafka.reconnect()
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 14: a frozen broker is given up after the request time-out and resumed when it thaws", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.pause(2)
        yield* write("numbers", ["frozen"], { partition: 1 })
        yield* write("numbers", ["flowing"], { partition: 0 })
        yield* subject.until("the others flow", 2000, () => subject.contents().has("flowing"))
        yield* subject.pass(65_000)
        assert.isFalse((yield* subject.table.health).partitions[1]!.connected)
        yield* kafka.resume(2)
        yield* subject.until("thawed", 35_000, () => subject.contents().has("frozen"))
        yield* subject.verify()
      }),
      { brokers: 3, requestTimeout: 30_000 }
    )
  )

  it.effect("row 14: a broker that is frozen while a table starts holds up only its own partitions", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 3 })
        yield* fillPartitions(3, 5)
        yield* kafka.pause(2)
        const subject = yield* observeNumbers({
          table: { catchUp: { mode: "await", timeout: "5 seconds" }, ensureTopic: false }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.deepStrictEqual([...subject.contents().keys()].sort(), [...keys(5, "p0-"), ...keys(5, "p2-")].sort())
        yield* kafka.resume(2)
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      }),
      { brokers: 3, requestTimeout: 30_000 }
    )
  )

  it.effect("row 26: a revoked authorization fails the table, and a restart schedule brings it back", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree({ restart: Schedule.spaced("1 second") })
        yield* kafka.fail({ request: "fetch" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED, { times: 1000 })
        yield* subject.become("Failed", 5000)
        assert.strictEqual(subject.contents().size, 60)
        const { all } = yield* requestsWhile(subject.pass(20_000))
        assert.isBelow(all, 20 * 20)
        yield* kafka.clearFailures
        yield* write("numbers", ["restored"])
        yield* subject.become("CaughtUp", 10_000)
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 26: without a schedule a revoked authorization fails the table for good", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.fail({ request: "fetch" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        yield* subject.become("Failed", 5000)
        yield* subject.verifyFailed("NotAuthorized")
      }),
      { brokers: 3 }
    )
  )
})
