/** Tables that may not become larger than their options say. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Stream } from "effect"
import { KafkaTable, TableError } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { until } from "../support/time.ts"
import { numbers, onMemory, put } from "./fixtures.ts"

const keys = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `key-${1000 + from + i}`)
/** Each entry is of eight bytes of key and one of value. */
const ENTRY = 9
const ones = (count: number, from = 0) => keys(count, from).map((key) => [key, 1] as const)

const tooLarge = (error: unknown): TableError.TableTooLarge => {
  assert.instanceOf(error, TableError.TableTooLarge)
  return error
}

const failedBy = (table: KafkaTable.KafkaTable<string, number>) =>
  Effect.gen(function* () {
    const error = tooLarge(yield* Effect.flip(table.failure))
    const status = yield* table.status
    assert.strictEqual(status._tag === "Failed" ? status.error : status, error)
    return error
  })

describe("a load with more entries than maxEntries allows", () => {
  it.effect("fails, and says how many were counted, how many may be, and what to do", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* put("numbers", ones(11))
        const error = tooLarge(yield* Effect.flip(KafkaTable.make(numbers, { maxEntries: 10 })))
        assert.deepInclude(error, { topic: "numbers", limit: "maxEntries", allowed: 10, counted: 11 })
        assert.strictEqual(
          error.message,
          "the table of numbers may have 10 entries (maxEntries), and 11 were counted: is it the topic that is meant? If it is, raise maxEntries"
        )
      })
    )
  )

  it.effect("is given up before the topic is read to its end, where they are twice as many", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        for (let batch = 0; batch < 100; batch++) yield* put("numbers", ones(10, 10 * batch))
        const options = { maxEntries: 50, fetch: { maxPartitionBytes: 1 } }
        const error = tooLarge(yield* Effect.flip(KafkaTable.make(numbers, options)))
        assert.deepInclude(error, { limit: "maxEntries", allowed: 50, counted: 110 })
        assert.isBelow((yield* kafka.requests).get("fetch")!, 20)
      })
    )
  )

  it.effect("succeeds with exactly as many", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* put("numbers", ones(10))
        const table = yield* KafkaTable.make(numbers, { maxEntries: 10, maxBytes: 10 * ENTRY })
        assert.strictEqual(yield* table.size, 10)
      })
    )
  )

  it.effect("succeeds where the others are deleted, superseded, without a key, or do not decode", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* put("numbers", ones(15))
        yield* put(
          "numbers",
          keys(1000, 15).map((key) => [key, null] as const)
        )
        yield* put(
          "numbers",
          keys(5).map((key) => [key, null] as const)
        )
        for (let n = 0; n < 100; n++) yield* put("numbers", ones(10, 5))
        yield* put("numbers", [
          [null, 1],
          ["bad", "no number"]
        ])
        const options = { maxEntries: 10, maxBytes: 10 * ENTRY, fetch: { maxPartitionBytes: 1 } }
        const table = yield* KafkaTable.make(numbers, options)
        assert.strictEqual(yield* table.size, 10)
      })
    )
  )

  it.effect("succeeds where keys have records in two partitions, since the topic has grown", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers", { partitions: 2 })
        yield* put("numbers", ones(10), 0)
        yield* put("numbers", ones(10), 1)
        const table = yield* KafkaTable.make(numbers, { maxEntries: 10, maxBytes: 10 * ENTRY })
        assert.strictEqual(yield* table.size, 10)
      })
    )
  )
})

describe("a load with more bytes than maxBytes allows", () => {
  it.effect("fails when keys and values are more together", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* put("numbers", ones(10))
        const error = tooLarge(yield* Effect.flip(KafkaTable.make(numbers, { maxBytes: 10 * ENTRY - 1 })))
        assert.deepInclude(error, { limit: "maxBytes", allowed: 89, counted: 90 })
        assert.include(error.message, "may have 89 bytes of keys and values (maxBytes), and 90 were counted")
      })
    )
  )

  it.effect("is given up before the topic is read to its end, where they are twice as many", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        for (let batch = 0; batch < 100; batch++) yield* put("numbers", ones(10, 10 * batch))
        const options = { maxBytes: 50 * ENTRY, fetch: { maxPartitionBytes: 1 } }
        const error = tooLarge(yield* Effect.flip(KafkaTable.make(numbers, options)))
        assert.deepInclude(error, { limit: "maxBytes", allowed: 450, counted: 990 })
        assert.isBelow((yield* kafka.requests).get("fetch")!, 20)
      })
    )
  )

  it.effect("counts the older record that stands in for one that does not decode", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* put("numbers", ones(10))
        yield* put("numbers", [["key-1000", "x"]])
        const error = tooLarge(yield* Effect.flip(KafkaTable.make(numbers, { maxBytes: 10 * ENTRY - 1 })))
        assert.deepInclude(error, { limit: "maxBytes", counted: 90 })
      })
    )
  )
})

describe("a live table", () => {
  it.effect("that outgrows maxEntries is Failed, with the contents of its last whole version", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* put("numbers", ones(8))
        const table = yield* KafkaTable.make(numbers, { maxEntries: 10 })
        const changes = yield* Effect.forkScoped(Effect.exit(Stream.runDrain(table.changes)))
        yield* put("numbers", ones(2, 8))
        yield* put("numbers", [
          ["key-1000", null],
          ["key-1010", 1]
        ])
        yield* table.barrier()
        assert.strictEqual(yield* table.size, 10)
        yield* put("numbers", ones(3, 11))
        const error = yield* failedBy(table)
        assert.deepInclude(error, { limit: "maxEntries", allowed: 10, counted: 13 })
        yield* put("numbers", ones(3, 20))
        assert.strictEqual(yield* table.size, 13)
        assert.isTrue(yield* table.has("key-1013"))
        assert.isFalse(yield* table.has("key-1020"))
        assert.strictEqual((yield* Fiber.join(changes))._tag, "Failure")
        assert.strictEqual(yield* Effect.flip(table.barrier()), error)
      })
    )
  )

  it.effect("that outgrows maxBytes is Failed: what is replaced or deleted does not count", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* put("numbers", ones(10))
        const table = yield* KafkaTable.make(numbers, { maxBytes: 10 * ENTRY })
        for (let n = 0; n < 100; n++) {
          yield* put("numbers", [
            ["key-1000", n % 10],
            ["key-1001", null],
            ["key-1001", 2]
          ])
        }
        yield* table.barrier()
        yield* put("numbers", [["key-1000", 10]])
        const error = yield* failedBy(table)
        assert.deepInclude(error, { limit: "maxBytes", allowed: 90, counted: 91 })
      })
    )
  )

  it.effect("that was shown incomplete is Failed when it is complete and too large", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers", { partitions: 2 })
        yield* put("numbers", ones(15))
        yield* put("numbers", [["last", 1]], 1)
        yield* kafka.moveLeader("numbers", 1, undefined)
        const table = yield* KafkaTable.make(numbers, { maxEntries: 10, catchUp: { mode: "background" } })
        const degraded = yield* Effect.forkScoped(
          KafkaTable.make(numbers, { maxEntries: 10, catchUp: { mode: "await", timeout: "1 second" } })
        )
        yield* until(
          "it is shown",
          20_000,
          Effect.sync(() => degraded.pollUnsafe() !== undefined)
        )
        const shown = yield* Fiber.join(degraded)
        assert.strictEqual((yield* shown.status)._tag, "Degraded")
        assert.strictEqual(yield* shown.size, 15)
        assert.strictEqual((yield* table.status)._tag, "Loading")
        yield* kafka.moveLeader("numbers", 1, 1)
        for (const one of [table, shown]) {
          yield* until(
            "it has failed",
            20_000,
            Effect.map(one.status, ({ _tag }) => _tag === "Failed")
          )
          assert.deepInclude(yield* failedBy(one), { limit: "maxEntries", allowed: 10, counted: 16 })
        }
      })
    )
  )

  it.effect("whose topic becomes another, too large one keeps what it had, and restart tries again", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* put("numbers", ones(3))
        const options = { maxEntries: 5, restart: Schedule.spaced("1 second") }
        const table = yield* KafkaTable.make(numbers, options)
        const failures: Array<unknown> = []
        yield* Effect.forkScoped(
          Stream.runForEach(table.statusChanges, (status) =>
            Effect.sync(() => {
              if (status._tag === "Failed") failures.push(status.error)
            })
          )
        )
        yield* kafka.recreateTopic("numbers")
        yield* put("numbers", ones(6, 100))
        yield* until(
          "it has failed twice",
          20_000,
          Effect.sync(() => failures.length >= 2)
        )
        for (const error of failures) assert.deepInclude(tooLarge(error), { limit: "maxEntries", counted: 6 })
        assert.sameMembers([...(yield* table.keys)], keys(3))
        yield* put("numbers", [["key-1100", null]])
        yield* until(
          "it is whole",
          20_000,
          Effect.sync(() => table.view.size === 5)
        )
        assert.strictEqual((yield* table.status)._tag, "CaughtUp")
      })
    )
  )
})
