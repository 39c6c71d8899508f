/** A topic's table as it was. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Fiber, HashMap, Option, Schema } from "effect"
import { GroupedKafkaTable, KafkaTable, Table, TableError, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { TestClock } from "effect/testing"
import { numbers, onMemory, put, toRecord, valueOf } from "../table/fixtures.ts"

const created = (options?: MemoryKafka.TopicOptions) =>
  Effect.tap(MemoryKafka.MemoryKafka, (kafka) => kafka.createTopic("numbers", options))

const offsets = (...each: ReadonlyArray<number>) => new Map(each.entries())

/** Appends one record, stamped at `timestamp`. */
const putAt = Effect.fnUntraced(function* (timestamp: number, key: string, value: number | null) {
  const kafka = yield* MemoryKafka.MemoryKafka
  return yield* kafka.append("numbers", [{ key, value: value === null ? null : String(value), timestamp }])
})

const contentsOf = <V>(past: Table.Table<string, V>) => Effect.map(past.snapshot, toRecord)

describe("a table as it was", () => {
  it.effect("at offsets has what the records below them say, with their places, and nothing after", () =>
    onMemory(
      Effect.gen(function* () {
        yield* created({ partitions: 2 })
        yield* put("numbers", [
          ["a", 1],
          ["b", 2]
        ])
        yield* put("numbers", [
          ["a", null],
          ["b", 3]
        ])
        yield* put(
          "numbers",
          [
            ["c", 4],
            ["c", 5]
          ],
          1
        )
        const past = yield* KafkaTable.at(numbers, offsets(3, 1))
        assert.deepStrictEqual(yield* contentsOf(past), { b: 2, c: 4 })
        assert.deepStrictEqual(valueOf(yield* past.getEntry("c")), {
          offset: 0,
          timestamp: 0,
          partition: 1,
          key: "c",
          value: 4
        })
        assert.deepStrictEqual(past.partitions, [
          { partition: 0, logStart: 0, offset: 3, completeFrom: 0 },
          { partition: 1, logStart: 0, offset: 1, completeFrom: 0 }
        ])
        assert.isTrue(past.isComplete)
        // In the middle of a batch, and at the start and the end of the log.
        assert.deepStrictEqual(yield* contentsOf(yield* KafkaTable.at(numbers, offsets(1, 0))), { a: 1 })
        assert.deepStrictEqual(yield* contentsOf(yield* KafkaTable.at(numbers, offsets(0, 0))), {})
        assert.deepStrictEqual(yield* contentsOf(yield* KafkaTable.at(numbers, offsets(4, 2))), { b: 3, c: 5 })
        assert.deepStrictEqual(yield* contentsOf(yield* KafkaTable.at(numbers, past.offsets)), { b: 2, c: 4 })
      })
    )
  )

  it.effect("of a grouped topic has the reads by group, its groups' tables among them", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("rooms")
        yield* kafka.append("rooms", [
          { key: "5:lobbyada", value: "1" },
          { key: "5:lobbybob", value: "2" },
          { key: "3:baradd", value: "3" },
          { key: "5:lobbyada", value: null },
          { key: "5:lobbybob", value: "4" }
        ])
        const rooms = TableTopic.grouped({
          name: "rooms",
          group: Schema.String,
          member: Schema.String,
          value: Schema.Finite
        })
        const past = yield* GroupedKafkaTable.at(rooms, offsets(3))
        assert.sameMembers([...(yield* past.groups)], ["lobby", "bar"])
        assert.sameDeepMembers(
          [...(yield* past.members("lobby"))],
          [
            ["ada", 1],
            ["bob", 2]
          ]
        )
        assert.strictEqual(past.view.memberCount("lobby"), 2)
        assert.isTrue(past.isComplete)
        assert.deepStrictEqual(yield* contentsOf(yield* past.group("lobby")), { ada: 1, bob: 2 })
        const later = yield* GroupedKafkaTable.at(rooms, offsets(5), { headers: true })
        assert.deepStrictEqual(yield* later.members("lobby"), [["bob", 4]])
        const headers = Option.map(yield* later.getEntry({ group: "bar", member: "add" }), (entry) => entry.headers)
        assert.deepStrictEqual(headers, Option.some([]))
        // @ts-expect-error It has no groups.
        void GroupedKafkaTable.at(numbers, offsets(0))
      }).pipe(Effect.scoped)
    )
  )

  it.effect("at a time has what lies before the first record that is stamped then or later", () =>
    onMemory(
      Effect.gen(function* () {
        yield* created()
        yield* putAt(1000, "a", 1)
        yield* putAt(3000, "a", 2)
        // Times go back: by offset it comes after.
        yield* putAt(2000, "b", 3)
        const at = (millis: number) =>
          Effect.flatMap(KafkaTable.at(numbers, new Date(millis)), (past) =>
            Effect.map(contentsOf(past), (contents) => [contents, past.offsets.get(0)])
          )
        assert.deepStrictEqual(yield* at(0), [{}, 0])
        assert.deepStrictEqual(yield* at(1001), [{ a: 1 }, 1])
        assert.deepStrictEqual(yield* at(3000), [{ a: 1 }, 1])
        assert.deepStrictEqual(yield* at(3001), [{ a: 2, b: 3 }, 3])
        const now = yield* KafkaTable.at(numbers, DateTime.makeUnsafe(5000))
        assert.deepStrictEqual(yield* contentsOf(now), { a: 2, b: 3 })
      })
    )
  )

  it.effect("has no aborted records, and ends where an open transaction begins", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created()
        yield* put("numbers", [["a", 1]])
        const aborted = yield* kafka.beginTransaction()
        yield* aborted.append("numbers", [{ key: "a", value: "2" }])
        yield* aborted.abort
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [{ key: "a", value: "3" }])
        const past = yield* KafkaTable.at(numbers, new Date(60_000))
        assert.deepStrictEqual(yield* contentsOf(past), { a: 1 })
        assert.deepStrictEqual(past.partitions, [{ partition: 0, logStart: 0, offset: 3, completeFrom: 0 }])
        const refused = yield* Effect.flip(KafkaTable.at(numbers, offsets(4)))
        assert.deepStrictEqual(
          refused,
          new TableError.OffsetNotInLog({ topic: "numbers", partition: 0, offset: 4, logEnd: 3 })
        )
        yield* open.commit
        assert.deepStrictEqual(yield* contentsOf(yield* KafkaTable.at(numbers, offsets(4))), { a: 3 })
      })
    )
  )

  it.effect("says from which offset on it would be complete where compaction has removed records", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created({ config: { "min.compaction.lag.ms": "3600000" } })
        const hour = 3_600_000
        yield* putAt(1, "a", 1)
        yield* putAt(1, "b", 1)
        yield* putAt(1, "a", 2)
        yield* kafka.roll("numbers")
        yield* putAt(2 * hour, "b", 2)
        yield* putAt(2 * hour, "b", 3)
        yield* TestClock.setTime(2 * hour + 1)
        // The lag keeps it from what is younger than an hour.
        yield* kafka.compact("numbers", { below: 3 })
        const before = yield* KafkaTable.at(numbers, offsets(2))
        assert.deepStrictEqual(yield* contentsOf(before), { b: 1 })
        assert.deepStrictEqual(before.partitions, [{ partition: 0, logStart: 0, offset: 2, completeFrom: 3 }])
        assert.isFalse(before.isComplete)
        const from = yield* KafkaTable.at(numbers, offsets(3))
        assert.isTrue(from.isComplete)
        assert.deepStrictEqual(yield* contentsOf(from), { a: 2, b: 1 })
        assert.deepStrictEqual(yield* contentsOf(yield* KafkaTable.at(numbers, offsets(4))), { a: 2, b: 2 })
      })
    )
  )

  it.effect("is not complete below a log's start that has moved, but at its end it is", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created()
        yield* put("numbers", [["a", 1]])
        yield* put("numbers", [["b", 2]])
        yield* put("numbers", [["b", 3]])
        yield* kafka.deleteRecords("numbers", 0, 1)
        const past = yield* KafkaTable.at(numbers, offsets(2))
        assert.deepStrictEqual(yield* contentsOf(past), { b: 2 })
        assert.deepStrictEqual(past.partitions, [{ partition: 0, logStart: 1, offset: 2, completeFrom: 3 }])
        assert.isTrue((yield* KafkaTable.at(numbers, offsets(3))).isComplete)
        const gone = yield* KafkaTable.at(numbers, offsets(0))
        assert.deepStrictEqual(yield* contentsOf(gone), {})
        assert.isFalse(gone.isComplete)
      })
    )
  )

  it.effect("can be compared with another one, and with the table that follows", () =>
    onMemory(
      Effect.gen(function* () {
        yield* created()
        yield* put("numbers", [
          ["a", 1],
          ["b", 1]
        ])
        yield* put("numbers", [
          ["a", 2],
          ["b", null],
          ["c", 1]
        ])
        const before = yield* KafkaTable.at(numbers, offsets(2))
        const after = yield* KafkaTable.at(numbers, offsets(4))
        const between = yield* (yield* Table.diff(before, after)).snapshot
        assert.deepStrictEqual(toRecord(between), {
          a: { _tag: "Changed", from: 1, to: 2 },
          b: { _tag: "Removed", from: 1 }
        })
        const table = yield* KafkaTable.make(numbers)
        const since = yield* Table.diff(after, table)
        assert.deepStrictEqual(toRecord(yield* since.snapshot), { c: { _tag: "Added", to: 1 } })
        assert.strictEqual(HashMap.size(yield* before.snapshot), 2)
      })
    )
  )

  it.effect("keeps headers where it is to, reads the partitions that are named, and leaves no connection behind", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created({ partitions: 2 })
        yield* kafka.append("numbers", [{ key: "a", value: "1", headers: [{ key: "by", value: Buffer.from("me") }] }])
        yield* put("numbers", [["b", 2]], 1)
        const past = yield* KafkaTable.at(numbers, offsets(1), { partitions: [0], headers: true })
        assert.deepStrictEqual(yield* contentsOf(past), { a: 1 })
        assert.deepStrictEqual(
          Option.map(yield* past.getEntry("a"), ({ headers }) => headers.map(({ key }) => key)),
          Option.some(["by"])
        )
        assert.strictEqual(yield* kafka.held, 0)
      })
    )
  )

  it.effect("is refused by what is wrong with the question, or the log", () =>
    onMemory(
      Effect.gen(function* () {
        yield* created({ partitions: 2 })
        yield* put("numbers", [
          ["a", 1],
          ["b", 2]
        ])
        const tagOf = (at: KafkaTable.LogPoint, options?: KafkaTable.AtOptions) =>
          Effect.map(Effect.flip(KafkaTable.at(numbers, at, options)), ({ _tag }) => _tag)
        assert.strictEqual(yield* tagOf(offsets(1)), "InvalidOption")
        assert.strictEqual(yield* tagOf(offsets(1, 0, 0)), "InvalidOption")
        assert.strictEqual(yield* tagOf(offsets(1, 0), { partitions: [2] }), "InvalidOption")
        assert.strictEqual(yield* tagOf(offsets(1, 0), { partitions: [] }), "InvalidOption")
        assert.strictEqual(yield* tagOf(new Date(Number.NaN)), "InvalidOption")
        assert.strictEqual(yield* tagOf(17 as unknown as Date), "InvalidOption")
        assert.strictEqual(yield* tagOf(offsets(3, 0)), "OffsetNotInLog")
        assert.strictEqual(yield* tagOf(offsets(2, 0), { maxEntries: 1 }), "TableTooLarge")
        assert.strictEqual(yield* tagOf(offsets(2, 0), { maxBytes: 1 }), "TableTooLarge")
      })
    )
  )

  it.live("of a topic that is missing is refused", () =>
    onMemory(
      Effect.gen(function* () {
        assert.strictEqual((yield* Effect.flip(KafkaTable.at(numbers, new Date(0))))._tag, "TopicNotFound")
      })
    )
  )

  it.effect("that takes longer than it may says how far it is, and what holds it up", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* created()
        yield* put("numbers", [["a", 1]])
        yield* put("numbers", [["a", 2]])
        yield* kafka.fail({ request: "fetch" }, 3, { times: 1000 })
        const reading = yield* Effect.forkChild(Effect.flip(KafkaTable.at(numbers, offsets(2), { timeout: 5000 })))
        yield* TestClock.adjust(6000)
        const error = yield* Fiber.join(reading)
        assert.instanceOf(error, TableError.ReadTimeout)
        assert.deepInclude(error, { topic: "numbers", waited: 5000, replayed: 0, target: 2 })
      })
    )
  )
})
