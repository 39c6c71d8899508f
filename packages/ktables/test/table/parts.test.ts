/** Tables of a part of a topic: of some partitions, and from an offset or a time on. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Stream } from "effect"
import { CheckpointStore, KafkaTable, TableError } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { until } from "../support/time.ts"
import { numbers, onMemory, put, toRecord } from "./fixtures.ts"

const created = (options?: MemoryKafka.TopicOptions) =>
  Effect.tap(MemoryKafka.MemoryKafka, (kafka) => kafka.createTopic("numbers", options))

const ack = (partition: number, offset: number) => ({
  topic: "numbers",
  topicId: undefined,
  partition,
  offset,
  timestamp: 0,
  producerId: undefined,
  producerEpoch: -1,
  sequence: -1
})

/** The table that an effect makes, and the lines that are logged meanwhile and after. */
const linesOf = <A, E, R>(made: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
    return Effect.map(Effect.provide(made, logger), (table) => ({ lines, table }))
  })

const contentsOf = (table: KafkaTable.KafkaTable<string, number>) => Effect.map(table.snapshot, toRecord)

describe("a table of some partitions", () => {
  it.effect("has their entries, and waits for nothing in others", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created({ partitions: 3 })
        yield* put("numbers", [["a", 1]], 0)
        yield* put("numbers", [["b", 2]], 1)
        yield* put("numbers", [["c", 3]], 2)
        const table = yield* KafkaTable.make(numbers, { partitions: [0, 2] })
        assert.deepStrictEqual(yield* contentsOf(table), { a: 1, c: 3 })
        const health = yield* table.health
        assert.deepStrictEqual(
          health.partitions.map(({ partition }) => partition),
          [0, 2]
        )
        assert.deepStrictEqual(health.progress, { replayed: 2, target: 2 })
        const refused = yield* Effect.flip(table.awaitOffset(ack(1, 0)))
        assert.instanceOf(refused, TableError.NotAwaitable)
        assert.include(refused.message, "does not read partition 1")
        // A transaction that stays open in another partition holds no barrier up.
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [{ key: "b", value: "4" }], { partition: 1 })
        yield* put("numbers", [["c", 5]], 2)
        yield* table.awaitOffset(ack(2, 1))
        yield* table.barrier()
        assert.deepStrictEqual(yield* contentsOf(table), { a: 1, c: 5 })
      })
    )
  )

  it.effect("reads one that is added later as soon as it is known, and says so at the start", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created({ partitions: 1 })
        yield* put("numbers", [["a", 1]])
        const { lines, table } = yield* linesOf(KafkaTable.make(numbers, { partitions: [1] }))
        assert.strictEqual((yield* table.status)._tag, "CaughtUp")
        assert.deepStrictEqual(yield* contentsOf(table), {})
        assert.include(lines.join("\n"), "partition 1 is to be read, and the topic has 1")
        yield* table.barrier()
        yield* kafka.addPartitions("numbers", 3)
        yield* put("numbers", [["b", 2]], 1)
        yield* put("numbers", [["c", 3]], 2)
        yield* until(
          "the added partition is read",
          60_000,
          Effect.map(table.size, (size) => size === 1)
        )
        assert.deepStrictEqual(yield* contentsOf(table), { b: 2 })
      })
    )
  )

  it.effect("counts a key by what they say of it, where its own partition is not among them", () =>
    onMemory(
      Effect.gen(function* () {
        yield* created({ partitions: 2 })
        // Of two partitions one owns the key; whichever it is, the other one alone is read.
        yield* put("numbers", [["a", 1]], 0)
        yield* put("numbers", [["a", 2]], 1)
        assert.deepStrictEqual(yield* contentsOf(yield* KafkaTable.make(numbers, { partitions: [0] })), { a: 1 })
        assert.deepStrictEqual(yield* contentsOf(yield* KafkaTable.make(numbers, { partitions: [1] })), { a: 2 })
      })
    )
  )
})

describe("a table from an offset or a time on", () => {
  it.effect("has what was written from there on, and deletes nothing that is older", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created({ partitions: 2 })
        yield* put("numbers", [
          ["a", 1],
          ["b", 2]
        ])
        yield* put("numbers", [
          ["b", null],
          ["c", 3]
        ])
        yield* put("numbers", [["d", 4]], 1)
        const table = yield* KafkaTable.make(numbers, { from: new Map([[0, 1]]) })
        // Inside a batch; and a partition of which nothing was said is read from its start.
        assert.deepStrictEqual(yield* contentsOf(table), { c: 3, d: 4 })
        const health = yield* table.health
        assert.deepStrictEqual(health.progress, { replayed: 4, target: 4 })
        const changes = yield* Effect.forkChild(Stream.runCollect(Stream.take(table.changes, 2)), {
          startImmediately: true
        })
        yield* put("numbers", [
          ["a", null],
          ["e", 5]
        ])
        yield* table.awaitOffset(ack(0, 5))
        assert.deepStrictEqual(
          (yield* Fiber.join(changes)).map(({ _tag }) => _tag),
          ["Snapshot", "Set"]
        )
        assert.deepStrictEqual(yield* contentsOf(table), { c: 3, d: 4, e: 5 })
        // What goes below the log's start goes here, too; the start is above `from` from then on.
        yield* kafka.deleteRecords("numbers", 0, 5)
        yield* until(
          "c has gone",
          60_000,
          Effect.sync(() => table.view.size === 2)
        )
        assert.deepStrictEqual(yield* contentsOf(table), { d: 4, e: 5 })
        const later = yield* KafkaTable.make(numbers, { from: new Map([[0, 1]]) })
        assert.deepStrictEqual(yield* contentsOf(later), { d: 4, e: 5 })
      })
    )
  )

  it.effect("begins with the first record that is stamped then or later, and with the end where there is none", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created()
        yield* kafka.append("numbers", [{ key: "a", value: "1", timestamp: 1000 }])
        yield* kafka.append("numbers", [{ key: "b", value: "2", timestamp: 2000 }])
        const since = yield* KafkaTable.make(numbers, { from: new Date(1001) })
        assert.deepStrictEqual(yield* contentsOf(since), { b: 2 })
        const none = yield* KafkaTable.make(numbers, { from: new Date(2001) })
        assert.deepStrictEqual(yield* contentsOf(none), {})
        yield* put("numbers", [["a", 3]])
        yield* none.awaitOffset(ack(0, 2))
        assert.deepStrictEqual(yield* contentsOf(none), { a: 3 })
        // What was before a time and what comes from then on is all there is.
        const before = yield* KafkaTable.at(numbers, new Date(1001))
        assert.deepStrictEqual(toRecord(yield* before.snapshot), { a: 1 })
      })
    )
  )

  it.effect(
    "is built again from there when its log was truncated, and from the start of a topic that is made again",
    () =>
      onMemory(
        Effect.gen(function* () {
          const kafka = yield* created()
          yield* put("numbers", [["a", 1]])
          yield* put("numbers", [["b", 2]])
          yield* put("numbers", [["c", 3]])
          const table = yield* KafkaTable.make(numbers, { from: new Map([[0, 1]]) })
          assert.deepStrictEqual(yield* contentsOf(table), { b: 2, c: 3 })
          yield* kafka.truncate("numbers", 0, 2)
          yield* until(
            "the table is built again",
            60_000,
            Effect.map(table.size, (size) => size === 1)
          )
          assert.deepStrictEqual(yield* contentsOf(table), { b: 2 })
          yield* kafka.recreateTopic("numbers")
          yield* put("numbers", [["d", 4]])
          yield* put("numbers", [["e", 5]])
          yield* until(
            "the new topic is read",
            60_000,
            Effect.sync(() => table.view.has("e"))
          )
          assert.deepStrictEqual(yield* contentsOf(table), { d: 4, e: 5 })
          assert.strictEqual((yield* table.health).stats.rebuilds, 2)
        })
      )
  )

  it.effect("gets no checkpoint, which would be taken for all of its log", () =>
    onMemory(
      Effect.gen(function* () {
        yield* created()
        yield* put("numbers", [["a", 1]])
        const from = new Map([[0, 1]])
        const { lines, table } = yield* linesOf(
          Effect.provide(KafkaTable.make(numbers, { from, checkpoint: {} }), CheckpointStore.layerMemory())
        )
        assert.include(lines.join("\n"), "it gets no checkpoint: it has only a part of its log (from)")
        assert.deepStrictEqual(yield* contentsOf(table), {})
      })
    )
  )

  it.effect("that a log has not reached reads all that comes, and says so", () =>
    onMemory(
      Effect.gen(function* () {
        yield* created()
        yield* put("numbers", [["a", 1]])
        const { lines, table } = yield* linesOf(KafkaTable.make(numbers, { from: new Map([[0, 7]]) }))
        assert.include(lines.join("\n"), "numbers[0] is to be read from 7 on, and ends at 1: all that comes is read")
        yield* put("numbers", [["b", 2]])
        yield* table.awaitOffset(ack(0, 1))
        assert.deepStrictEqual(yield* contentsOf(table), { b: 2 })
      })
    )
  )
})
