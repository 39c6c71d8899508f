/** Partitions that are added to a topic, and who owns a key then. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { keys, onCluster, write } from "../support/kafka.ts"
import { onScript } from "../support/script.ts"
import { observeNumbers, poison, record, scriptedTopic, tableOnThree, withTopic, writeBatches } from "./fixtures.ts"

describe("added partitions", () => {
  it.effect("row 24: partitions added while a table loads are found and replayed from their start", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, script } = yield* scriptedTopic()
        yield* writeBatches(5, 2)
        let fetches = 0
        script.on("fetch", (_asks, next) =>
          Effect.suspend(() => {
            if (++fetches !== 2) return next
            return Effect.andThen(
              Effect.andThen(
                kafka.addPartitions("numbers", 3),
                kafka.append("numbers", [record("added", 0)], { partition: 2 })
              ).pipe(Effect.orDie),
              next
            )
          })
        )
        const subject = yield* observeNumbers({ table: { fetch: { maxPartitionBytes: 1 } } })
        yield* subject.within("a barrier", 5000, subject.table.barrier())
        assert.isTrue(subject.contents().has("added"))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 25: after growth a key is its new partition's once it was seen there, loaded and followed", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic()
        const all = keys(20)
        yield* write("numbers", all)
        const subject = yield* observeNumbers({ table: { metadataRefresh: "1 second" } })
        yield* kafka.addPartitions("numbers", 3)
        const moved = all.filter((key) => javaPartitioner(Buffer.from(key), 3) !== 0)
        assert.isAbove(moved.length, 4)
        for (const key of moved.slice(2)) {
          yield* write("numbers", [key], { partition: javaPartitioner(Buffer.from(key), 3) })
        }
        const last = moved.at(-1)!
        yield* write("numbers", [[last, null]], { partition: javaPartitioner(Buffer.from(last), 3) })
        yield* subject.within("a barrier", 20_000, subject.table.barrier())
        // A producer that has not learned of the growth.
        yield* write("numbers", moved, { partition: 0 })
        yield* subject.within("a barrier", 20_000, subject.table.barrier())
        assert.isFalse(subject.contents().has(last), "the owner's deletion stands")
        assert.isAbove((yield* subject.table.health).stats.foreign, 0)
        yield* subject.agrees()
        const second = yield* observeNumbers({ isAlone: false })
        assert.deepStrictEqual(new Map([...second.contents()].sort()), new Map([...subject.contents()].sort()))
        yield* second.verify()
        yield* subject.verify()
      })
    )
  )

  it.effect("row 25: a record written to its new partition before the table knew of the growth counts", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* withTopic({ partitions: 2 })
        // Under two partitions the key is in 0, under more in 1, which the table reads already.
        const key = keys(1000).find(
          (key) => javaPartitioner(Buffer.from(key), 2) === 0 && javaPartitioner(Buffer.from(key), 3) === 1
        )!
        yield* write("numbers", [key], { partition: 0 })
        const subject = yield* observeNumbers({ table: { metadataRefresh: "10 minutes" } })
        yield* kafka.addPartitions("numbers", 3)
        const [value] = yield* write("numbers", [key], { partition: 1 })
        yield* subject.pass(3000)
        yield* subject.within("a barrier", 20_000, subject.table.barrier())
        assert.strictEqual(subject.contents().get(key), value)
        yield* subject.verify()
      })
    )
  )

  it.effect("row 25: a value that does not decode in a key's new partition does not hide the old one's", () =>
    onCluster(
      Effect.gen(function* () {
        yield* withTopic({ partitions: 3 })
        const key = keys(100).find((key) => javaPartitioner(Buffer.from(key), 3) === 1)!
        yield* write("numbers", [key], { partition: 0 })
        yield* poison([key], { partition: 1 })
        const subject = yield* observeNumbers()
        assert.isTrue(subject.contents().has(key))
        yield* subject.verify()
      })
    )
  )

  it.effect("row 24: partitions added while live are found within the metadata interval", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOnThree({ metadataRefresh: "10 seconds" })
        yield* kafka.addPartitions("numbers", 5)
        yield* write("numbers", ["added"], { partition: 4 })
        yield* subject.until("the added partition", 10_500, () => subject.contents().has("added"))
        assert.strictEqual((yield* subject.table.status)._tag, "CaughtUp")
        yield* subject.verify()
      }),
      { brokers: 3 }
    )
  )
})
