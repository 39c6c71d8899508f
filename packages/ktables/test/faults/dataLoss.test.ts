/** Logs that lost records under a table, and what tells of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { fetched, onScript, refused } from "../support/script.ts"
import { cut, observeNumbers, scriptedTable, scriptedTopic, tableOnThree, withTopic, writeBatches } from "./fixtures.ts"

describe("lost records", () => {
  it.effect("row 18: an epoch that the new leader never had is data loss, wherever its older epoch ends", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script, subject } = yield* scriptedTable()
        yield* kafka.moveLeader("numbers", 0, 1)
        yield* write("numbers", ["in epoch 1"])
        yield* subject.until("epoch 1", 5000, () => subject.contents().has("in epoch 1"))
        // The new leader was away: its epoch 0 goes on behind our position, and it knows no epoch 1.
        yield* kafka.truncate("numbers", 0, 10, { leaderEpoch: 0 })
        yield* write("numbers", keys(10, "other-"))
        yield* kafka.moveLeader("numbers", 0, 1)
        yield* kafka.moveLeader("numbers", 0, 1)
        script.on("endOffsetForEpoch", () => cut("OffsetForLeaderEpoch"))
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
        const { kafka, script, subject } = yield* scriptedTable()
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
        const { script, subject } = yield* scriptedTable()
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
        const { kafka, script } = yield* scriptedTopic()
        yield* writeBatches(10, 10)
        let isCut = false
        script.on("fetch", (asks, next) =>
          Effect.suspend(() => {
            if (isCut || asks.partitions[0]!.fetchOffset < 50) return next
            isCut = true
            return Effect.andThen(Effect.orDie(kafka.truncate("numbers", 0, 80)), next)
          })
        )
        const subject = yield* observeNumbers({
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

  it.effect("row 18: a log that is shorter than what was read is reported, rebuilt, and its difference published", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.truncate("numbers", 0, 0)
        yield* write("numbers", ["p0-3"], { partition: 0 })
        const { reason } = yield* subject.saw("Rebuilding", 5000)
        assert.deepInclude(reason, { _tag: "DataLoss", topic: "numbers", partition: 0, consumedTo: 20, resetTo: 0 })
        yield* subject.become("CaughtUp")
        assert.strictEqual(subject.contents().size, 41)
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  for (const policy of ["freeze", "fail"] as const) {
    it.effect(`row 18: under ${policy} the contents stay and the status says what was lost`, () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* tableOnThree({ onDataLoss: policy })
          const before = subject.contents()
          yield* kafka.truncate("numbers", 0, 5)
          yield* subject.become("Failed")
          assert.deepStrictEqual(subject.contents(), before)
          yield* subject.verifyFailed("DataLoss")
        }),
        { brokers: 3 }
      )
    )
  }

  it.effect("row 18: a broker that stumbles while a table is built again is asked again", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree()
        yield* kafka.fail({ request: "describeTopic" }, ErrorCode.UNKNOWN_SERVER_ERROR, { times: 3 })
        yield* kafka.truncate("numbers", 0, 5, { leaderEpoch: 0 })
        yield* subject.saw("Rebuilding", 5000)
        yield* subject.become("CaughtUp")
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )

  it.effect(
    "row 19: a log that was truncated and grew past the position before it was fetched shows by its epoch",
    () =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* tableOnThree()
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
        { brokers: 3 }
      )
  )

  it.effect(
    "row 19: a log that was empty, was truncated below its start and grew again is read from its new start",
    () =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic()
          for (let i = 0; i < 4; i++) yield* write("numbers", keys(5, `${i}-`))
          yield* kafka.deleteRecords("numbers", 0, -1)
          const subject = yield* observeNumbers()
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
        const { kafka, subject } = yield* tableOnThree()
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
      { brokers: 3 }
    )
  )

  it.effect("row 29: a process that was away for longer than the tombstones are kept is rebuilt", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ config: { "delete.retention.ms": "60000" } })
        yield* write("numbers", keys(10))
        const subject = yield* observeNumbers()
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
        const kafka = yield* withTopic({ partitions: 2, config: { "delete.retention.ms": "0" } })
        yield* write("numbers", keys(10))
        yield* write("numbers", keys(10, "other-"), { partition: 1 })
        // One partition is complete at once, the other is held up for ten seconds of the load.
        yield* kafka.fail({ request: "fetch", partition: 1 }, ErrorCode.NOT_LEADER_OR_FOLLOWER, { times: 14 })
        const subject = yield* observeNumbers({ table: { catchUp: { mode: "background" } } })
        yield* subject.become("CaughtUp")
        yield* subject.pass(20_000)
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )
})
