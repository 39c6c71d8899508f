/** Every record of a key that is left in its topic's log. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { KafkaTable, TableError, TableTopic } from "effect-ktables"
import type * as MemoryKafka from "effect-ktables/MemoryKafka"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { memory } from "../support/kafka.ts"
import { onScript, Script } from "../support/script.ts"
import { numbers, onMemory, put } from "../table/fixtures.ts"

const created = (options?: MemoryKafka.TopicOptions) =>
  Effect.tap(memory, (kafka) => kafka.createTopic("numbers", options))

const itemsOf = (key: string, options?: KafkaTable.HistoryOptions) =>
  Stream.runCollect(KafkaTable.history(numbers, key, options))

/** What an item says, in short. */
const brief = (item: KafkaTable.HistoryItem<number>) =>
  item._tag === "End"
    ? `end [${item.partition}] ${item.logStart} to ${item.offset}, complete from ${item.completeFrom}`
    : `[${item.partition}]@${item.offset} ${item._tag === "Set" ? item.value : item._tag}`

describe("the history of a key", () => {
  it.effect("is every record of it, oldest first, deletions and values that do not decode among them", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created()
        const by = [{ key: "by", value: Buffer.from("ann") }]
        yield* kafka.append("numbers", [
          { key: "a", value: "1", timestamp: 1000, headers: by },
          { key: "ab", value: "2" }
        ])
        yield* put("numbers", [["b", 3]])
        yield* kafka.append("numbers", [{ key: "a", value: "x", timestamp: 2000 }])
        yield* put("numbers", [["a", null]])
        const aborted = yield* kafka.beginTransaction()
        yield* aborted.append("numbers", [{ key: "a", value: "4" }])
        yield* aborted.abort
        yield* put("numbers", [["a", 5]])
        const items = yield* itemsOf("a")
        assert.deepStrictEqual(items.map(brief), [
          "[0]@0 1",
          "[0]@3 Undecodable",
          "[0]@4 Deleted",
          "[0]@7 5",
          "end [0] 0 to 8, complete from 0"
        ])
        const [first, second] = items
        assert.deepInclude(first, { _tag: "Set", value: 1, timestamp: 1000, partition: 0, offset: 0 })
        assert.deepStrictEqual(
          first?._tag === "Set" ? first.headers.map(({ key, value }) => [key, String(value)]) : [],
          [["by", "97,110,110"]]
        )
        assert.strictEqual(second?._tag === "Undecodable" ? Buffer.from(second.raw).toString() : "", "x")
        assert.deepStrictEqual((yield* itemsOf("absent")).map(brief), ["end [0] 0 to 8, complete from 0"])
      })
    )
  )

  it.effect(
    "says from where on nothing is missing once compaction has removed records, or a log's start has moved",
    () =>
      onMemory(
        Effect.gen(function* () {
          const kafka = yield* created()
          yield* put("numbers", [["a", 1]])
          yield* put("numbers", [["a", 2]])
          yield* put("numbers", [["b", 3]])
          yield* kafka.compact("numbers")
          yield* put("numbers", [["a", 4]])
          assert.deepStrictEqual((yield* itemsOf("a")).map(brief), [
            "[0]@1 2",
            "[0]@3 4",
            "end [0] 0 to 4, complete from 1"
          ])
          yield* kafka.deleteRecords("numbers", 0, 2)
          assert.deepStrictEqual((yield* itemsOf("a")).map(brief), ["[0]@3 4", "end [0] 2 to 4, complete from 2"])
        })
      )
  )

  it.effect("is read from the key's partition, and from all or some where that is asked for", () =>
    onMemory(
      Effect.gen(function* () {
        yield* created({ partitions: 3 })
        const own = javaPartitioner(Buffer.from("a"), 3)
        const other = (own + 1) % 3
        yield* put("numbers", [["a", 1]], own)
        yield* put("numbers", [["a", 2]], other)
        const records = (options?: KafkaTable.HistoryOptions) =>
          Effect.map(itemsOf("a", options), (items) =>
            items
              .filter(({ _tag }) => _tag === "Set")
              .map(brief)
              .sort()
          )
        assert.deepStrictEqual(yield* records(), [`[${own}]@0 1`])
        assert.deepStrictEqual(yield* records({ partitions: [other] }), [`[${other}]@0 2`])
        assert.deepStrictEqual(yield* records({ partitions: "all" }), [`[${own}]@0 1`, `[${other}]@0 2`].sort())
        const refused = yield* Effect.flip(itemsOf("a", { partitions: [3] }))
        assert.strictEqual(refused._tag, "InvalidOption")
      })
    )
  )

  it.effect("is read as it is asked for, and no further, and leaves nothing behind", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* created()
        const script = yield* Script
        for (let n = 0; n < 20; n++) yield* put("numbers", [["a", n]])
        const history = KafkaTable.history(numbers, "a", { fetch: { maxPartitionBytes: 1 } })
        const first = yield* Stream.runCollect(Stream.take(history, 3))
        assert.deepStrictEqual(first.map(brief), ["[0]@0 0", "[0]@1 1", "[0]@2 2"])
        assert.isAtMost(script.requests.fetch.length, 5)
        assert.strictEqual(yield* kafka.held, 0)
        assert.strictEqual((yield* Stream.runCollect(history)).length, 21)
      })
    )
  )

  it.effect("of a key that does not encode, or a broker that does not answer, fails with what is wrong", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created()
        yield* put("numbers", [["a", 1]])
        const long = TableTopic.make({ name: "numbers", key: Schema.NonEmptyString, value: Schema.Finite })
        const refused = yield* Effect.flip(Stream.runCollect(KafkaTable.history(long, "")))
        assert.instanceOf(refused, TableError.EncodeError)
        yield* kafka.fail({ request: "fetch" }, 3, { times: 1000 })
        const waiting = yield* Effect.forkChild(Effect.flip(itemsOf("a", { timeout: 3000 })))
        yield* TestClock.adjust(4000)
        const error = yield* Fiber.join(waiting)
        assert.instanceOf(error, TableError.ReadTimeout)
        assert.include(error.message, "0 of 1 offsets were")
      })
    )
  )

  it.effect("that is held up in the middle says how far it had come", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created()
        for (let n = 0; n < 10; n++) yield* put("numbers", [["a", n]])
        const seen: Array<unknown> = []
        const reading = KafkaTable.history(numbers, "a", { timeout: 3000, fetch: { maxPartitionBytes: 1 } }).pipe(
          Stream.runForEach((item) => {
            seen.push(item)
            return seen.length < 4 ? Effect.void : kafka.fail({ request: "fetch" }, 3, { times: 1000 })
          })
        )
        const waiting = yield* Effect.forkChild(Effect.flip(reading))
        yield* TestClock.adjust(20_000)
        const error = yield* Fiber.join(waiting)
        assert.instanceOf(error, TableError.ReadTimeout)
        assert.deepStrictEqual([error.target, error.replayed], [10, seen.length])
      })
    )
  )

  it.effect(
    "is what was written, from where on it is complete, over random logs that are compacted",
    () =>
      forEachSeed(seedsOf(60, 2000), (seed, trace) =>
        onMemory(
          Effect.gen(function* () {
            const { below, happens, pick } = chance(seed)
            const kafka = yield* created()
            const written: Array<string> = []
            const offsets: Array<number> = []
            for (let n = 0; n < 30; n++) {
              const key = pick(["a", "b", "c"])
              const value = happens(0.2) ? null : n
              const isAborted = happens(0.15)
              const transaction = happens(0.3) || isAborted ? yield* kafka.beginTransaction() : undefined
              const record = [{ key, value: value === null ? null : String(value) }]
              const offset = yield* transaction === undefined
                ? kafka.append("numbers", record)
                : transaction.append("numbers", record)
              if (transaction !== undefined) yield* isAborted ? transaction.abort : transaction.commit
              trace.push(`@${offset} ${key}=${value}${isAborted ? " aborted" : ""}`)
              if (key === "a" && !isAborted) {
                written.push(`[0]@${offset} ${value ?? "Deleted"}`)
                offsets.push(offset)
              }
              if (happens(0.05))
                yield* kafka.compact("numbers", { below: below(offset + 2), dropTombstones: happens(0.3) })
            }
            const items = yield* itemsOf("a", { fetch: { maxPartitionBytes: 1 } })
            const end = items.at(-1)!
            assert.strictEqual(end._tag, "End")
            const told = items.slice(0, -1).map(brief)
            // The newest of what was written, and all of it from where on that is said.
            if (told.length > 0) assert.deepStrictEqual(told, written.slice(-told.length))
            const { completeFrom } = end as KafkaTable.HistoryItem.End
            const certain = written.filter((_, i) => offsets[i]! >= completeFrom)
            assert.deepStrictEqual(told.slice(told.length - certain.length), certain)
          })
        )
      ),
    propertyTimeout
  )
})
