/** Topics that are deleted, and topics that are made again under a live table. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { tableOnThree } from "./fixtures.ts"

describe("deleted and recreated topics", () => {
  it.effect("row 21: a deleted topic is told from metadata that lags by repetition and time", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.fail({ request: "describeTopic" }, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, { times: 4 })
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* subject.pass(5000)
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp", "a lag is no deletion")
        yield* kafka.deleteTopic("numbers")
        yield* subject.pass(1500)
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp", "not believed at once")
        yield* subject.become("Failed", 10_000)
        assert.strictEqual(subject.contents().size, 60)
        yield* subject.verifyFailed("TopicDeleted")
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 21: a deleted topic that comes back is read again by a table with a restart schedule", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree({ restart: Schedule.spaced("5 seconds") })
        yield* kafka.deleteTopic("numbers")
        yield* subject.become("Failed", 10_000)
        yield* kafka.createTopic("numbers", { partitions: 2 })
        yield* write("numbers", ["again"])
        yield* subject.become("CaughtUp", 30_000)
        assert.deepStrictEqual([...subject.contents().keys()], ["again"])
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 22: a topic recreated with fewer partitions and a longer log is read from zero", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.disconnect()
        yield* subject.pass(500)
        yield* kafka.recreateTopic("numbers", { partitions: 1 })
        yield* write("numbers", keys(200, "new-"))
        yield* kafka.reconnect()
        yield* subject.saw("Rebuilding", 10_000)
        yield* subject.become("CaughtUp")
        assert.strictEqual(subject.contents().size, 200)
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 22: a barrier that finds another topic under the name waits for the new one's contents", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.recreateTopic("numbers", { partitions: 3 })
        for (let partition = 0; partition < 3; partition++) yield* write("numbers", keys(20, "new-"), { partition })
        yield* subject.within("the barrier", 30_000, subject.table.barrier())
        assert.isTrue(subject.contents().has("new-0"))
        assert.isFalse(subject.contents().has("p0-0"))
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 23: another cluster that answers at the brokers' addresses is read from its start", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        const before = yield* kafka.clusterId
        yield* kafka.replaceCluster
        assert.notStrictEqual(yield* kafka.clusterId, before)
        yield* kafka.createTopic("numbers", { partitions: 3 })
        for (let partition = 0; partition < 3; partition++) yield* write("numbers", keys(30, "new-"), { partition })
        yield* subject.saw("Rebuilding", 10_000)
        yield* subject.become("CaughtUp")
        assert.deepStrictEqual([...subject.contents().keys()].sort(), keys(30, "new-").sort())
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect("row 23: a cluster that answers without the topic is taken for one that has deleted it", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.replaceCluster
        yield* subject.become("Failed", 20_000)
        assert.strictEqual(subject.contents().size, 60)
        yield* subject.verifyFailed("TopicDeleted")
      }),
      { brokers: 3 }
    )
  )

  for (const policy of ["freeze", "fail"] as const) {
    it.effect(`row 22: under ${policy} a recreated topic leaves the contents and fails the table`, () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* tableOnThree({ onTopicRecreated: policy })
          yield* kafka.recreateTopic("numbers", { partitions: 3 })
          yield* subject.become("Failed", 10_000)
          assert.strictEqual(subject.contents().size, 60)
          yield* subject.verifyFailed("TopicRecreated")
        }),
        { brokers: 3 }
      )
    )
  }
})
