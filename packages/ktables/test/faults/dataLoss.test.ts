/** Logs that lost records under a table, and what tells of it. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { keys, write } from "../support/kafka.ts"
import { fetched, onScript, refused } from "../support/script.ts"
import { cut, observeNumbers, scriptedTable, scriptedTopic, writeBatches } from "./fixtures.ts"

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
})
