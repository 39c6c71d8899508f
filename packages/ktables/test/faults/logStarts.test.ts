/** Logs whose start moves past records that a live table holds: it lets go of what a fresh table would not find. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { keys, onCluster, write } from "../support/kafka.ts"
import { onScript } from "../support/script.ts"
import { observeNumbers, scriptedTopic, tableOfTen, withTopic, writeBatches } from "./fixtures.ts"

describe("a log's start that moves past live entries", () => {
  it.effect("takes them out of a live table, as changes", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        yield* kafka.deleteRecords("numbers", 0, 6)
        yield* subject.until("the entries to go", 30_000, () => subject.contents().size === 4)
        assert.deepStrictEqual([...subject.contents().keys()].sort(), ["k6", "k7", "k8", "k9"])
        assert.strictEqual((yield* subject.table.health).stats.rebuilds, 0)
        yield* write("numbers", ["k0"])
        yield* subject.within("the write", 10_000, subject.table.barrier())
        assert.strictEqual(subject.contents().size, 5)
        yield* subject.verify()
      })
    )
  )

  it.effect("leaves what was written again since, and every entry of other partitions", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 2 })
        yield* write("numbers", keys(5, "a-"), { partition: 0 })
        yield* write("numbers", keys(5, "b-"), { partition: 1 })
        yield* write("numbers", ["a-0"], { partition: 0 })
        const subject = yield* observeNumbers()
        yield* kafka.deleteRecords("numbers", 0, 5)
        yield* subject.until("the entries to go", 30_000, () => subject.contents().size === 6)
        assert.deepStrictEqual([...subject.contents().keys()].sort(), ["a-0", "b-0", "b-1", "b-2", "b-3", "b-4"])
        yield* kafka.deleteRecords("numbers", 0, -1)
        yield* subject.until("the last to go", 30_000, () => subject.contents().size === 5)
        yield* subject.verify()
      })
    )
  )

  it.effect("goes on doing so after it has emptied a partition, also one that was empty when the table was built", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        yield* write("numbers", keys(3))
        yield* kafka.deleteRecords("numbers", 0, -1)
        const subject = yield* observeNumbers()
        for (const round of ["a", "b"]) {
          yield* write("numbers", keys(3, `${round}-`))
          yield* subject.agrees()
          const log = yield* kafka.log("numbers")
          yield* kafka.deleteRecords("numbers", 0, log.at(-1)!.offset)
          yield* subject.until("two to go", 30_000, () => subject.contents().size === 1)
          yield* kafka.deleteRecords("numbers", 0, -1)
          yield* subject.until("the last to go", 30_000, () => subject.contents().size === 0)
        }
        yield* subject.verify()
      })
    )
  )

  it.effect("while a table loads leaves it with what a later one would find", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic()
        yield* writeBatches(20, 5)
        script.on("fetch", (_asks, next) => Effect.delay(next, 100))
        const subject = yield* observeNumbers({
          table: { catchUp: { mode: "background" }, fetch: { maxPartitionBytes: 1 } }
        })
        yield* subject.until("a part of the load", 30_000, () => {
          const last = subject.statuses.at(-1)
          return last?._tag === "Loading" && last.replayed >= 50
        })
        yield* kafka.deleteRecords("numbers", 0, 20)
        yield* subject.become("CaughtUp")
        assert.isFalse(subject.contents().has("0-0"))
        assert.strictEqual(subject.contents().size, 80)
        yield* subject.verify()
      })
    )
  )
})
