import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Logger, Option, Schedule, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Codec, KafkaTable, KafkaTopic, type TableChange, type TableError, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { eventually, numbers, onMemory, put, services, toRecord } from "./fixtures.ts"

const memory = MemoryKafka.MemoryKafka

describe("KafkaTable", () => {
  it.effect("holds the last value of every key once it is built, without tombstones", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        yield* put("numbers", [
          ["a", 1],
          ["b", 2],
          ["a", 3],
          ["c", 4],
          ["c", null]
        ])
        const table = yield* KafkaTable.make(numbers)
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: 3, b: 2 })
        assert.deepStrictEqual(yield* table.get("a"), Option.some(3))
        assert.deepStrictEqual(yield* table.get("c"), Option.none())
        assert.isFalse(yield* table.has("c"))
        assert.strictEqual(yield* table.size, 2)
        assert.strictEqual((yield* table.status)._tag, "CaughtUp")
        const entry = Option.getOrThrow(yield* table.getEntry("a"))
        assert.deepInclude(entry, { key: "a", value: 3, partition: 0, offset: 2 })
      })
    )
  )

  it.effect("creates a missing topic, compacted with one partition", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* KafkaTable.make(services)
        assert.strictEqual(yield* table.size, 0)
        yield* put("services", [["x", { host: "h", port: 1 }]])
        yield* table.barrier()
        assert.deepStrictEqual(yield* table.get("x"), Option.some({ host: "h", port: 1 }))
      })
    )
  )

  it.effect("warns that it created a topic unasked, and says so in its health", () =>
    onMemory(
      Effect.gen(function* () {
        const lines: Array<string> = []
        const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
          if (logLevel === "Warn") lines.push(String(message))
        })
        const ensured = (options?: KafkaTable.Options) =>
          KafkaTable.make(services, options).pipe(
            Effect.flatMap((table) => table.health),
            Effect.map((health) => Option.map(health.ensured, ({ _tag }) => _tag)),
            Effect.scoped,
            Effect.provide(Logger.layer([logger]))
          )
        assert.deepStrictEqual(yield* ensured(), Option.some("Created" as const))
        assert.strictEqual(lines.length, 1)
        assert.include(lines[0], "services did not exist, and this table created it, empty: is its name right?")
        // It exists now; who does not look learns nothing.
        assert.deepStrictEqual(yield* ensured(), Option.some("Verified" as const))
        assert.deepStrictEqual(yield* ensured({ ensureTopic: false }), Option.none())
        // Asked for, it is no surprise.
        yield* (yield* memory).deleteTopic("services")
        assert.deepStrictEqual(yield* ensured({ ensureTopic: { create: true } }), Option.some("Created" as const))
        assert.strictEqual(lines.length, 1)
      })
    )
  )

  it.effect("fails with TopicNotFound when the topic is missing and not to be created", () =>
    onMemory(
      Effect.gen(function* () {
        for (const ensureTopic of [false, { create: false }] as const) {
          const error = yield* Effect.flip(
            Effect.raceFirst(
              KafkaTable.make(services, { ensureTopic }),
              Effect.forever(TestClock.adjust(100).pipe(Effect.andThen(Effect.yieldNow)))
            )
          )
          assert.strictEqual(error._tag, "TopicNotFound")
        }
      })
    )
  )

  it.effect("that cannot start in the background says so, with the reason, to everything that waits for it", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* KafkaTable.make(services, {
          ensureTopic: { create: false },
          catchUp: { mode: "background" }
        })
        const waits: ReadonlyArray<Effect.Effect<void, TableError.BarrierError>> = [
          table.awaitCaughtUp,
          table.barrier(),
          table.failure,
          Stream.runDrain(table.changes)
        ]
        const passing = Effect.forever(TestClock.adjust(100).pipe(Effect.andThen(Effect.yieldNow)))
        const errors = yield* Effect.raceFirst(
          Effect.forEach(waits, (wait) => Effect.flip(wait), { concurrency: "unbounded" }),
          passing
        )
        for (const error of errors) {
          if (error._tag !== "NotStarted") return assert.fail(error._tag)
          assert.strictEqual(error.reason._tag, "TopicNotFound")
          assert.include(error.message, error.reason.message)
        }
        const status = yield* table.status
        assert.strictEqual(status._tag === "Failed" ? status.error._tag : status._tag, "NotStarted")
      })
    )
  )

  it.effect("that could not start is started again where restart says so", () =>
    onMemory(
      Effect.gen(function* () {
        const table = yield* KafkaTable.make(services, {
          ensureTopic: { create: false },
          catchUp: { mode: "background" },
          restart: Schedule.spaced("1 second")
        })
        yield* Effect.forkScoped(Effect.forever(TestClock.adjust(100).pipe(Effect.andThen(Effect.yieldNow))))
        const error = yield* Effect.flip(table.awaitCaughtUp)
        assert.strictEqual(error._tag, "NotStarted")
        yield* KafkaTopic.ensure(services)
        yield* Effect.repeat(Effect.andThen(Effect.yieldNow, table.isCaughtUp), { until: (is) => is })
        const { ensured } = yield* table.health
        assert.strictEqual(Option.getOrThrow(ensured)._tag, "Verified")
      })
    )
  )

  it.effect("shows later writes, deletions and the changes in their order", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        yield* put("numbers", [["a", 1]])
        const table = yield* KafkaTable.make(numbers)
        const seen: Array<TableChange.TableChange<string, number>> = []
        yield* Effect.forkScoped(Stream.runForEach(table.changes, (change) => Effect.sync(() => seen.push(change))))
        yield* eventually("a snapshot", () => seen.length === 1)
        yield* put("numbers", [
          ["b", 2],
          ["a", 5],
          ["b", null]
        ])
        yield* table.barrier()
        yield* eventually("all changes", () => seen.length === 4)
        assert.deepStrictEqual(
          seen.map((c) =>
            c._tag === "Snapshot"
              ? ["Snapshot", toRecord(c.entries), c.resync]
              : [c._tag, c.key, c._tag === "Set" ? c.value : c.previous]
          ),
          [
            ["Snapshot", { a: 1 }, false],
            ["Set", "b", 2],
            ["Set", "a", 5],
            ["Deleted", "b", 2]
          ]
        )
      })
    )
  )

  it.effect("waits for a write of one's own by its acknowledgement", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        const table = yield* KafkaTable.make(numbers)
        const waiting = yield* Effect.forkScoped(
          table.awaitOffset({
            topic: "numbers",
            topicId: undefined,
            partition: 0,
            offset: 1,
            timestamp: 0,
            producerId: undefined,
            producerEpoch: -1,
            sequence: -1
          })
        )
        yield* put("numbers", [["a", 1]])
        yield* put("numbers", [["b", 2]])
        yield* Fiber.join(waiting)
        assert.deepStrictEqual(yield* table.get("b"), Option.some(2))
      })
    )
  )

  it.effect("keeps the newest decodable value of a key under skip, and counts what does not decode", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        yield* put("numbers", [
          ["a", 1],
          ["b", 1],
          ["a", 2],
          ["a", "poison"],
          ["b", "poison"],
          ["b", null],
          ["c", "poison"]
        ])
        const table = yield* KafkaTable.make(numbers)
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: 2 })
        const { stats } = yield* table.health
        assert.strictEqual(stats.valueDecodeErrors, 2)
        yield* put("numbers", [
          ["a", "poison"],
          ["d", 4]
        ])
        yield* table.barrier()
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: 2, d: 4 })
      })
    )
  )

  it.effect("removes a key whose value does not decode under remove, and fails under fail", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        yield* put("numbers", [
          ["a", 1],
          ["a", "poison"],
          ["b", 2]
        ])
        const removing = yield* KafkaTable.make(numbers, { onDecodeError: "remove" })
        assert.deepStrictEqual(toRecord(yield* removing.snapshot), { b: 2 })
        const error = yield* Effect.flip(Effect.scoped(KafkaTable.make(numbers, { onDecodeError: "fail" })))
        assert.strictEqual(error._tag, "DecodeError")
        assert.deepInclude(error, { topic: "numbers", partition: 0, offset: 1, part: "value" })
      })
    )
  )

  it.effect("hands the raw record to a function that decides", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        yield* put("numbers", [
          ["a", 1],
          ["a", "poison"]
        ])
        const handed: Array<string> = []
        const table = yield* KafkaTable.make(numbers, {
          onDecodeError: (_error, record) =>
            Effect.sync(() => {
              handed.push(`${Buffer.from(record.key)}=${Buffer.from(record.value!)}@${record.offset}`)
              return "remove" as const
            })
        })
        assert.deepStrictEqual(handed, ['a="poison"@1'])
        assert.strictEqual(yield* table.size, 0)
      })
    )
  )

  it.effect("takes empty bytes for data and null for a tombstone", () =>
    onMemory(
      Effect.gen(function* () {
        const raw = TableTopic.make({ name: "raw", key: Codec.string, value: Codec.bytes })
        const kafka = yield* memory
        yield* kafka.createTopic("raw")
        yield* kafka.append("raw", [
          { key: "", value: "" },
          { key: "a", value: "" },
          { key: "a", value: null },
          { key: null, value: "x" }
        ])
        const table = yield* KafkaTable.make(raw)
        assert.strictEqual(yield* table.size, 1)
        assert.deepStrictEqual(yield* table.get(""), Option.some(new Uint8Array(0)))
        assert.strictEqual((yield* table.health).stats.keyless, 1)
      })
    )
  )

  it.effect("lets the later record win when two raw keys decode equal", () =>
    onMemory(
      Effect.gen(function* () {
        const byNumber = TableTopic.make({ name: "n", key: Schema.NumberFromString, value: Schema.Int })
        yield* (yield* memory).createTopic("n")
        yield* put("n", [
          ["1", 1],
          ["01", 2],
          ["2", 1],
          ["02", null],
          ["3", 1],
          ["03", 2],
          ["3", null],
          ["03", 3],
          ["4", 7],
          ["04", null],
          ["4", 8]
        ])
        const table = yield* KafkaTable.make(byNumber)
        assert.deepStrictEqual(
          [...(yield* table.entries)].sort(([a], [b]) => a - b),
          [
            [1, 2],
            [3, 3],
            [4, 8]
          ]
        )
        yield* put("n", [
          ["01", null],
          ["5", 5],
          ["05", 6]
        ])
        yield* table.barrier()
        assert.deepStrictEqual(
          [...(yield* table.entries)].sort(([a], [b]) => a - b),
          [
            [3, 3],
            [4, 8],
            [5, 6]
          ]
        )
      })
    )
  )

  it.effect("never shows an aborted transaction, and waits at the last stable offset", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers")
        yield* put("numbers", [["a", 1]])
        const aborted = yield* kafka.beginTransaction()
        yield* aborted.append("numbers", [
          { key: "a", value: "666" },
          { key: Buffer.alloc(4), value: "666" }
        ])
        const open = yield* kafka.beginTransaction()
        yield* open.append("numbers", [{ key: "b", value: "2" }])
        const table = yield* KafkaTable.make(numbers)
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: 1 })
        yield* aborted.abort
        yield* open.commit
        yield* table.barrier()
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: 1, b: 2 })
        const uncommitted = yield* KafkaTable.make(numbers, { isolation: "read_uncommitted" })
        assert.strictEqual(yield* uncommitted.size, 3)
      })
    )
  )

  it.effect("reads through compaction, its holes and a log that ends in a marker", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers")
        yield* put("numbers", [
          ["a", 1],
          ["b", 1],
          ["a", 2]
        ])
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.append("numbers", [{ key: "c", value: "3" }])
        yield* transaction.abort
        yield* kafka.compact("numbers")
        const table = yield* KafkaTable.make(numbers)
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: 2, b: 1 })
        assert.strictEqual((yield* table.status)._tag, "CaughtUp")
      })
    )
  )

  it.effect("closes in bounded time, ends its streams and fails what waits", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        yield* put("numbers", [["a", 1]])
        const scope = yield* Scope.make()
        const table = yield* Scope.provide(KafkaTable.make(numbers), scope)
        const changes = yield* Effect.forkScoped(Stream.runCollect(table.changes))
        const states = yield* Effect.forkScoped(Stream.runCollect(table.states))
        const statuses = yield* Effect.forkScoped(Stream.runCollect(table.statusChanges))
        const failure = yield* Effect.forkScoped(Effect.flip(table.failure))
        const waiting = yield* Effect.forkScoped(
          Effect.flip(
            table.awaitOffset({
              topic: "numbers",
              topicId: undefined,
              partition: 0,
              offset: 100,
              timestamp: 0,
              producerId: undefined,
              producerEpoch: -1,
              sequence: -1
            })
          )
        )
        yield* Effect.yieldNow
        yield* Scope.close(scope, Exit.void)
        assert.strictEqual((yield* Fiber.join(changes)).length, 1)
        assert.strictEqual((yield* Fiber.join(states)).length, 1)
        assert.deepStrictEqual(
          (yield* Fiber.join(statuses)).map((s) => s._tag),
          ["CaughtUp", "Closed"]
        )
        assert.strictEqual((yield* Fiber.join(failure))._tag, "TableClosed")
        assert.strictEqual((yield* Fiber.join(waiting))._tag, "TableClosed")
        assert.deepStrictEqual(yield* table.get("a"), Option.some(1))
        assert.strictEqual((yield* table.status)._tag, "Closed")
        assert.strictEqual((yield* Effect.flip(table.barrier()))._tag, "TableClosed")
        assert.strictEqual((yield* Effect.flip(table.awaitCaughtUp))._tag, "TableClosed")
      })
    )
  )

  it.effect("follows several partitions, and partitions that are added", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("numbers", { partitions: 3 })
        for (let p = 0; p < 3; p++) yield* put("numbers", [[`k${p}`, p]], p)
        const table = yield* KafkaTable.make(numbers)
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { k0: 0, k1: 1, k2: 2 })
        yield* kafka.addPartitions("numbers", 5)
        yield* put("numbers", [["k4", 4]], 4)
        yield* table.barrier()
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { k0: 0, k1: 1, k2: 2, k4: 4 })
      })
    )
  )

  it.effect("watches one key", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        const table = yield* KafkaTable.make(numbers)
        const seen: Array<number | undefined> = []
        yield* Effect.forkScoped(
          Stream.runForEach(table.watch("a"), (v) => Effect.sync(() => seen.push(Option.getOrUndefined(v))))
        )
        yield* eventually("the first", () => seen.length === 1)
        yield* put("numbers", [
          ["b", 9],
          ["a", 1],
          ["a", 2],
          ["a", null]
        ])
        yield* eventually("all", () => seen.length === 4)
        assert.deepStrictEqual(seen, [undefined, 1, 2, undefined])
      })
    )
  )

  it.effect("hands changes once to who subscribes as soon as a write is readable", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        // Without a race in between, a barrier's waiter goes on while the reader still has the change in its hands.
        const table = yield* KafkaTable.make(numbers, { isolation: "read_uncommitted" })
        yield* Effect.forkScoped(Stream.runDrain(table.changes), { startImmediately: true })
        const seen: Array<unknown> = []
        yield* put("numbers", [["a", 1]])
        yield* table.barrier()
        yield* Effect.forkScoped(
          Stream.runForEach(table.changes, (change) =>
            Effect.sync(() => seen.push(change._tag === "Snapshot" ? toRecord(change.entries) : change))
          ),
          { startImmediately: true }
        )
        yield* put("numbers", [["b", 2]])
        yield* eventually("the second", () => seen.length === 2)
        assert.deepStrictEqual(seen, [{ a: 1 }, { _tag: "Set", key: "b", value: 2, previous: Option.none() }])
      })
    )
  )

  it.effect("hands a subscriber that fell behind a fresh snapshot", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* memory).createTopic("numbers")
        const table = yield* KafkaTable.make(numbers, { changesCapacity: 10 })
        const go = yield* Deferred.make<void>()
        const seen: Array<string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(table.changes, (change) =>
            Effect.andThen(
              Effect.sync(() => seen.push(change._tag === "Snapshot" ? `Snapshot ${change.resync}` : change._tag)),
              seen.length === 0 ? Deferred.await(go) : Effect.void
            )
          )
        )
        yield* eventually("the first", () => seen.length === 1)
        yield* put(
          "numbers",
          Array.from({ length: 50 }, (_, i) => [`k${i}`, i] as const)
        )
        yield* table.barrier()
        yield* Deferred.succeed(go, undefined)
        yield* eventually("the second", () => seen.length === 2)
        yield* put("numbers", [["z", 1]])
        yield* eventually("the third", () => seen.length === 3)
        assert.deepStrictEqual(seen, ["Snapshot false", "Snapshot true", "Set"])
      })
    )
  )

  it.effect("is one reader wherever its layer is provided", () =>
    Effect.gen(function* () {
      class Numbers extends KafkaTable.Service<Numbers>()("test/Numbers", numbers) {}
      const program = Effect.gen(function* () {
        const a = yield* Effect.provide(Numbers, Numbers.layer)
        const b = yield* Effect.provide(Numbers, Numbers.layer)
        assert.strictEqual(a, b)
        return yield* a.size
      })
      const cluster = Layer.fresh(MemoryKafka.layer)
      const size = yield* Effect.provide(program, Layer.provideMerge(Numbers.layer, cluster))
      assert.strictEqual(size, 0)
    })
  )
})
