/** FAULTS "Broker and network", as far as an embedded cluster can misbehave like one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import { KafkaError, KafkaTable } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { numberDecoding } from "../support/oracle.ts"
import { failureOf, observe, requestsWhile } from "../support/subject.ts"
import { pass, within } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"

const decoding = numberDecoding
const three = { brokers: 3 }

/** A table over three partitions on three brokers, with some records in each. */
const onThree = Effect.fnUntraced(function* (table?: KafkaTable.Options) {
  const kafka = yield* memory
  yield* kafka.createTopic("numbers", { partitions: 3 })
  for (let partition = 0; partition < 3; partition++) yield* write("numbers", keys(20, `p${partition}-`), { partition })
  const subject = yield* observe(numbers, { decoding, table })
  return { kafka, subject }
})

describe("brokers and network", () => {
  it.effect(
    "row 13: brokers that are cut off one after another leave the table serving, disconnected, and resuming",
    () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* onThree()
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
        three
      )
  )

  it.effect("row 13: a broker that stays away costs a bounded number of requests", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        yield* kafka.disconnect()
        yield* subject.pass(10_000)
        const { all } = yield* requestsWhile(subject.pass(60_000))
        assert.isBelow(all, 60 * 6, "requests in a minute without brokers")
        assert.isAbove(all, 20, "it keeps trying")
        yield* kafka.reconnect()
        yield* subject.verify()
      }),
      three
    )
  )

  it.effect("row 14: a frozen broker is given up after the request time-out and resumed when it thaws", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
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
      { ...three, requestTimeout: 30_000 }
    )
  )

  it.effect("row 14: a broker that is frozen while a table starts holds up only its own partitions", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers", { partitions: 3 })
        for (let partition = 0; partition < 3; partition++)
          yield* write("numbers", keys(5, `p${partition}-`), { partition })
        yield* kafka.pause(2)
        const subject = yield* observe(numbers, {
          decoding,
          table: { catchUp: { mode: "await", timeout: "5 seconds" }, ensureTopic: false }
        })
        assert.strictEqual((yield* subject.table.status)._tag, "Degraded")
        assert.deepStrictEqual([...subject.contents().keys()].sort(), [...keys(5, "p0-"), ...keys(5, "p2-")].sort())
        yield* kafka.resume(2)
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      }),
      { ...three, requestTimeout: 30_000 }
    )
  )

  it.effect("row 16: a moved leader is found and its partition retried alone", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
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
      three
    )
  )

  it.effect("row 16: a partition without a leader waits, shows it, and the others keep flowing", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
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
      three
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
          const { kafka, subject } = yield* onThree()
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
        three
      )
    )
  }

  it.effect("row 17: a barrier asks again while the offsets after an election are not available", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        yield* kafka.moveLeader("numbers", 0, 2)
        yield* kafka.fail({ request: "listOffsets", partition: 0 }, ErrorCode.OFFSET_NOT_AVAILABLE, { times: 5 })
        yield* write("numbers", ["late"], { partition: 0 })
        yield* subject.within("the barrier", 10_000, subject.table.barrier())
        assert.isTrue(subject.contents().has("late"))
        yield* subject.verify()
      }),
      three
    )
  )

  it.effect("row 17: a barrier over a rebuild and elections ends with the new log", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
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
      { ...three, requestTimeout: 10_000 }
    )
  )

  it.effect("row 17: a barrier whose records are lost in an election takes its targets anew", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [{ key: "open", value: "1" }], { partition: 0 })
        const barrier = yield* Effect.forkScoped(subject.table.barrier())
        yield* subject.pass(500)
        assert.isUndefined(barrier.pollUnsafe(), "an open transaction holds the barrier up")
        yield* kafka.truncate("numbers", 0, 20)
        yield* subject.within("the barrier", 40_000, Fiber.join(barrier))
        yield* subject.verify()
      }),
      three
    )
  )

  it.effect("row 18: a log that is shorter than what was read is reported, rebuilt, and its difference published", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        yield* kafka.truncate("numbers", 0, 0)
        yield* write("numbers", ["p0-3"], { partition: 0 })
        const { reason } = yield* subject.saw("Rebuilding", 5000)
        assert.deepInclude(reason, { _tag: "DataLoss", topic: "numbers", partition: 0, consumedTo: 20, resetTo: 0 })
        yield* subject.become("CaughtUp")
        assert.strictEqual(subject.contents().size, 41)
        yield* subject.verify()
      }),
      three
    )
  )

  for (const [policy, restart] of [
    ["freeze", undefined],
    ["fail", undefined]
  ] as const) {
    it.effect(`row 18: under ${policy} the contents stay and the status says what was lost`, () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* onThree({ onDataLoss: policy, restart })
          const before = subject.contents()
          yield* kafka.truncate("numbers", 0, 5)
          yield* subject.become("Failed")
          assert.deepStrictEqual(subject.contents(), before)
          yield* subject.verifyFailed("DataLoss")
        }),
        three
      )
    )
  }

  it.effect(
    "row 19: a log that was truncated and grew past the position before it was fetched shows by its epoch",
    () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* onThree()
          yield* kafka.disconnect(1)
          yield* subject.pass(500)
          yield* kafka.truncate("numbers", 0, 10)
          for (let i = 0; i < 3; i++) yield* write("numbers", keys(10, `new${i}-`), { partition: 0 })
          yield* kafka.reconnect(1)
          yield* subject.until("the new log", 10_000, () => subject.contents().has("new0-0"))
          assert.strictEqual((yield* subject.table.health).stats.rebuilds, 1)
          assert.isFalse(subject.contents().has("p0-15"))
          yield* subject.verify()
        }),
        three
      )
  )

  it.effect(
    "row 19: a log that was empty, was truncated below its start and grew again is read from its new start",
    () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* memory
          yield* kafka.createTopic("numbers")
          for (let i = 0; i < 4; i++) yield* write("numbers", keys(5, `${i}-`))
          yield* kafka.deleteRecords("numbers", 0, -1)
          const subject = yield* observe(numbers, { decoding })
          yield* kafka.disconnect()
          yield* subject.pass(500)
          yield* kafka.truncate("numbers", 0, 15)
          for (let i = 0; i < 4; i++) yield* write("numbers", keys(5, `new${i}-`))
          yield* kafka.reconnect()
          yield* subject.saw("Rebuilding", 10_000)
          yield* subject.become("CaughtUp")
          assert.isTrue(subject.contents().has("new0-0"))
          yield* subject.verify()
        })
      )
  )

  it.effect("row 20: records that were deleted before they were read are reported and rebuilt around", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        yield* kafka.disconnect(1)
        yield* subject.pass(500)
        yield* write("numbers", keys(10, "unread-"), { partition: 0 })
        yield* kafka.deleteRecords("numbers", 0, 25)
        yield* kafka.reconnect(1)
        const { reason } = yield* subject.saw("Rebuilding", 10_000)
        assert.deepInclude(reason, { _tag: "DataLoss", partition: 0, consumedTo: 20, resetTo: 25 })
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      }),
      three
    )
  )

  it.effect("row 21: a deleted topic is told from metadata that lags by repetition and time", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
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
      three
    )
  )

  it.effect("row 21: a deleted topic that comes back is read again by a table with a restart schedule", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree({ restart: Schedule.spaced("5 seconds") })
        yield* kafka.deleteTopic("numbers")
        yield* subject.become("Failed", 10_000)
        yield* kafka.createTopic("numbers", { partitions: 2 })
        yield* write("numbers", ["again"])
        yield* subject.become("CaughtUp", 30_000)
        assert.deepStrictEqual([...subject.contents().keys()], ["again"])
        yield* subject.verify()
      }),
      three
    )
  )

  it.effect("row 22: a topic recreated with fewer partitions and a longer log is read from zero", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
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
      three
    )
  )

  it.effect("row 22: a barrier that finds another topic under the name waits for the new one's contents", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        yield* kafka.recreateTopic("numbers", { partitions: 3 })
        for (let partition = 0; partition < 3; partition++) yield* write("numbers", keys(20, "new-"), { partition })
        yield* subject.within("the barrier", 30_000, subject.table.barrier())
        assert.isTrue(subject.contents().has("new-0"))
        assert.isFalse(subject.contents().has("p0-0"))
        yield* subject.verify()
      }),
      three
    )
  )

  for (const policy of ["freeze", "fail"] as const) {
    it.effect(`row 22: under ${policy} a recreated topic leaves the contents and fails the table`, () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* onThree({ onTopicRecreated: policy })
          yield* kafka.recreateTopic("numbers", { partitions: 3 })
          yield* subject.become("Failed", 10_000)
          assert.strictEqual(subject.contents().size, 60)
          yield* subject.verifyFailed("TopicRecreated")
        }),
        three
      )
    )
  }

  it.effect("row 24: partitions added while live are found within the metadata interval", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree({ metadataRefresh: "10 seconds" })
        yield* kafka.addPartitions("numbers", 5)
        yield* write("numbers", ["added"], { partition: 4 })
        yield* subject.until("the added partition", 10_500, () => subject.contents().has("added"))
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        yield* subject.verify()
      }),
      three
    )
  )

  it.effect("row 26: a revoked authorization fails the table, and a restart schedule brings it back", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree({ restart: Schedule.spaced("1 second") })
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
      three
    )
  )

  it.effect("row 26: without a schedule a revoked authorization fails the table for good", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        yield* kafka.fail({ request: "fetch" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        yield* subject.become("Failed", 5000)
        yield* subject.verifyFailed("NotAuthorized")
      }),
      three
    )
  )

  it.effect(
    "row 3: credentials refused while live leave the table serving and disconnected until they are renewed",
    () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* onThree()
          const refused = new KafkaError.AuthenticationFailed({ broker: "memory-1:9092", detail: "the token expired" })
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
        three
      )
  )

  it.effect("row 3: credentials refused while a table is built anew are waited out without a busy loop", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        const refused = new KafkaError.AuthenticationFailed({ broker: "memory-1:9092", detail: "the token expired" })
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
      three
    )
  )

  it.effect("row 18: a broker that stumbles while a table is built anew is asked again", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* onThree()
        yield* kafka.fail({ request: "describeTopic" }, ErrorCode.UNKNOWN_SERVER_ERROR, { times: 3 })
        yield* kafka.truncate("numbers", 0, 5, { leaderEpoch: 0 })
        yield* subject.saw("Rebuilding", 5000)
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      }),
      three
    )
  )

  it.effect("row 29: a process that was away for longer than the tombstones are kept is rebuilt", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers", { config: { "delete.retention.ms": "60000" } })
        yield* write("numbers", keys(10))
        const subject = yield* observe(numbers, { decoding })
        yield* kafka.disconnect()
        yield* subject.pass(1000)
        yield* write("numbers", [["k1", null], "k2"])
        yield* kafka.compact("numbers", { dropTombstones: true })
        yield* subject.pass(120_000)
        yield* kafka.reconnect()
        yield* subject.saw("Rebuilding", 10_000)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("k1"))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 29: a topic that keeps no tombstones at all does not rebuild its tables over and over", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers", { partitions: 2, config: { "delete.retention.ms": "0" } })
        yield* write("numbers", keys(10))
        yield* write("numbers", keys(10, "other-"), { partition: 1 })
        // One partition is complete at once, the other is held up for ten seconds of the load.
        yield* kafka.fail({ request: "fetch", partition: 1 }, ErrorCode.NOT_LEADER_OR_FOLLOWER, { times: 14 })
        const subject = yield* observe(numbers, { decoding, table: { catchUp: { mode: "background" } } })
        yield* subject.become("CaughtUp")
        yield* subject.pass(20_000)
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* subject.verify()
      }),
      three
    )
  )

  it.effect("row 1: without any broker the start ends with every address and its last cause, and no busy loop", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.disconnect()
        const { all } = yield* requestsWhile(
          Effect.gen(function* () {
            const error = yield* within(
              "the failure",
              40_000,
              failureOf(Effect.scoped(KafkaTable.make(numbers, { startTimeout: "30 seconds" })))
            )
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
      three
    )
  )
})
