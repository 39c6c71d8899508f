/** A stream that is enriched by a table. */
import { assert, describe, it } from "@effect/vitest"
import { Data, Deferred, Effect, Fiber, Option, Queue, Schema, Stream } from "effect"
import { KafkaTable, KafkaTableWriter, Table, TableError, TableTopic, type WriteAck } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { chance, seedsOf } from "../support/chance.ts"
import { put, rootOf } from "./fixtures.ts"

const deleted = new TableError.TopicDeleted({ topic: "prices" })

class Refused extends Data.TaggedError("Refused")<{ readonly at: number }> {}

describe("a look-up", () => {
  it.effect("gives each element what the table has for it when it passes, and none where that is nothing", () =>
    Effect.gen(function* () {
      const root = rootOf<string, number | undefined>("prices", [
        ["apple", 1],
        ["free", undefined]
      ])
      const orders = yield* Queue.unbounded<string>()
      const enriched = yield* Stream.fromQueue(orders).pipe(
        Table.lookup(root.table, (fruit) => (fruit === "nothing" ? null : fruit === "neither" ? undefined : fruit)),
        Stream.take(7),
        Stream.runCollect,
        Effect.forkScoped({ startImmediately: true })
      )
      yield* Queue.offer(orders, "apple")
      yield* Effect.yieldNow
      put(root, [["apple", 2]])
      for (const order of ["apple", "free", "nothing", "neither", "pear"]) yield* Queue.offer(orders, order)
      yield* Effect.yieldNow
      root.cell.fail(deleted)
      yield* Queue.offer(orders, "apple")
      assert.deepStrictEqual(yield* Fiber.join(enriched), [
        ["apple", Option.some(1)],
        ["apple", Option.some(2)],
        ["free", Option.some(undefined)],
        ["nothing", Option.none()],
        ["neither", Option.none()],
        ["pear", Option.none()],
        ["apple", Option.some(2)]
      ])
    })
  )

  it.effect("compares keys by value, and passes the stream's failure on", () =>
    Effect.gen(function* () {
      const table = rootOf("places", [[{ row: 1, column: 2 }, "here"]]).table
      const found: Array<unknown> = []
      const failed = yield* Stream.make(1, 2).pipe(
        Stream.concat(Stream.fail(new Refused({ at: 3 }))),
        Table.lookup(table, (column) => ({ row: 1, column })),
        Stream.runForEach((pair) => Effect.sync(() => found.push(pair))),
        Effect.flip
      )
      assert.deepStrictEqual(failed, new Refused({ at: 3 }))
      assert.deepStrictEqual(found, [
        [1, Option.none()],
        [2, Option.some("here")]
      ])
    })
  )

  it.effect("that waits for the table to be complete begins with it", () =>
    Effect.gen(function* () {
      const root = rootOf<string, number>("prices")
      root.cell.setStatus({ _tag: "Loading", replayed: 0, target: 2 })
      let begun = 0
      const orders = Stream.suspend(() => {
        begun++
        return Stream.make("apple", "pear")
      })
      const enriched = yield* Table.lookup(orders, root.table, (fruit) => fruit, { waitFor: "caughtUp" }).pipe(
        Stream.runCollect,
        Effect.forkScoped({ startImmediately: true })
      )
      put(root, [["apple", 1]])
      assert.strictEqual(begun, 0)
      put(root, [["pear", 2]])
      root.cell.setStatus({ _tag: "CaughtUp" })
      assert.deepStrictEqual(yield* Fiber.join(enriched), [
        ["apple", Option.some(1)],
        ["pear", Option.some(2)]
      ])
      assert.strictEqual(begun, 1)
    })
  )

  it.effect("that waits for the table to be complete fails with what ends it first", () =>
    Effect.gen(function* () {
      for (const end of ["fail", "close"] as const) {
        const root = rootOf<string, number>("prices")
        root.cell.setStatus({ _tag: "Loading", replayed: 0, target: 2 })
        const enriched = yield* Stream.make("apple").pipe(
          Table.lookup(root.table, (fruit) => fruit, { waitFor: "caughtUp" }),
          Stream.runDrain,
          Effect.flip,
          Effect.forkScoped({ startImmediately: true })
        )
        if (end === "fail") root.cell.fail(deleted)
        else root.cell.close()
        const expected = end === "fail" ? deleted : new TableError.TableClosed({ topic: "prices" })
        assert.deepStrictEqual(yield* Fiber.join(enriched), expected)
      }
    })
  )

  it.effect("that waits for each element does so in order, and fails with what fails the wait", () =>
    Effect.gen(function* () {
      const root = rootOf<number, string>("names")
      const gates = yield* Effect.all(Array.from({ length: 3 }, () => Deferred.make<void, Refused>()))
      const found: Array<unknown> = []
      const enriched = yield* Stream.make(0, 1, 2).pipe(
        Table.lookup(root.table, (n) => n, { waitFor: (n) => Deferred.await(gates[n]!) }),
        Stream.runForEach((pair) => Effect.sync(() => found.push(pair))),
        Effect.flip,
        Effect.forkScoped({ startImmediately: true })
      )
      yield* Deferred.succeed(gates[1]!, undefined)
      yield* Effect.yieldNow
      assert.deepStrictEqual(found, [])
      put(root, [[0, "zero"], [1, "one"]]) // prettier-ignore
      yield* Deferred.succeed(gates[0]!, undefined)
      while (found.length < 2) yield* Effect.yieldNow
      yield* Deferred.fail(gates[2]!, new Refused({ at: 2 }))
      assert.deepStrictEqual(yield* Fiber.join(enriched), new Refused({ at: 2 }))
      assert.deepStrictEqual(found, [
        [0, Option.some("zero")],
        [1, Option.some("one")]
      ])
    })
  )

  it.effect(
    "goes on with what the table contained last once that has failed, unless its failure interrupts the stream",
    () =>
      Effect.gen(function* () {
        const root = rootOf("prices", [["apple", 1]])
        const orders = yield* Queue.unbounded<string>()
        const found: Array<unknown> = []
        const enriched = yield* Stream.fromQueue(orders).pipe(
          Table.lookup(root.table, (fruit) => fruit),
          Stream.interruptWhen(root.table.failure),
          Stream.runForEach((pair) => Effect.sync(() => found.push(pair))),
          Effect.flip,
          Effect.forkScoped({ startImmediately: true })
        )
        yield* Queue.offer(orders, "apple")
        while (found.length < 1) yield* Effect.yieldNow
        root.cell.fail(deleted)
        assert.deepStrictEqual(yield* Fiber.join(enriched), deleted)
        assert.deepStrictEqual(
          yield* Stream.runCollect(Table.lookup(Stream.make("apple"), root.table, (fruit) => fruit)),
          [["apple", Option.some(1)]]
        )
      })
  )

  for (const seed of seedsOf(8, 200)) {
    it.effect(`gives what plain code reads, whatever is written between elements (seed ${seed})`, () =>
      Effect.gen(function* () {
        const { below, happens } = chance(seed)
        const root = rootOf<string, number>("prices")
        const doubled = yield* Table.map(root.table, (n) => n * 2)
        const model = new Map<string, number>()
        const write = Effect.sync(() => {
          const key = `k${below(12)}`
          const value = happens(0.3) ? undefined : below(50)
          put(root, [[key, value]])
          if (value === undefined) model.delete(key)
          else model.set(key, value * 2)
        })
        const expected: Array<unknown> = []
        const orders = Stream.range(0, 299).pipe(
          Stream.rechunk(1),
          Stream.tap((n) =>
            Effect.andThen(
              happens(0.5) ? write : Effect.void,
              Effect.sync(() => expected.push([n, Option.fromUndefinedOr(model.get(`k${n % 15}`))]))
            )
          )
        )
        const keyOf = (n: number) => `k${n % 15}`
        const ways = [
          Table.lookup(orders, doubled, keyOf),
          Table.lookup(orders, doubled, keyOf, { waitFor: "caughtUp" }),
          Table.lookup(orders, doubled, keyOf, { waitFor: () => Effect.yieldNow })
        ]
        assert.deepStrictEqual(yield* Stream.runCollect(ways[seed % 3]!), expected)
      })
    )
  }
})

describe("a look-up in a table of a topic", () => {
  const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })

  interface Order {
    readonly fruit: string
    readonly priced: WriteAck.WriteAck
  }

  it.effect("has the write whose ack an element waits for, also through derived tables", () =>
    Effect.gen(function* () {
      const writer = yield* KafkaTableWriter.make(prices)
      const net = yield* KafkaTable.make(prices)
      const gross = yield* Table.map(net, (price) => price * 2)
      const orders = Stream.range(1, 30).pipe(
        Stream.mapEffect((n) => Effect.map(writer.set("apple", n), (priced): Order => ({ fruit: "apple", priced })))
      )
      const found = yield* orders.pipe(
        Table.lookup(gross, ({ fruit }) => fruit, { waitFor: ({ priced }) => net.awaitOffset(priced) }),
        Stream.map(([, price]) => Option.getOrThrow(price)),
        Stream.runCollect
      )
      assert.deepStrictEqual(
        found,
        Array.from({ length: 30 }, (_, n) => (n + 1) * 2)
      )
    }).pipe(Effect.provide(MemoryKafka.layer))
  )

  it.effect("fails with the error of the wait where an ack cannot be awaited", () =>
    Effect.gen(function* () {
      const others = TableTopic.make({ name: "others", key: Schema.String, value: Schema.Finite })
      const writer = yield* KafkaTableWriter.make(others)
      const table = yield* KafkaTable.make(prices)
      const priced = yield* writer.set("apple", 1)
      const error = yield* Stream.make({ fruit: "apple", priced }).pipe(
        Table.lookup(table, ({ fruit }) => fruit, { waitFor: (order) => table.awaitOffset(order.priced) }),
        Stream.runDrain,
        Effect.flip
      )
      assert.strictEqual(error._tag, "NotAwaitable")
    }).pipe(Effect.provide(MemoryKafka.layer))
  )
})
