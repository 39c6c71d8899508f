/** A table's contents as a `SubscriptionRef`. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, HashMap, Option, Schema, Scope, Stream, SubscriptionRef } from "effect"
import { KafkaTable, KafkaTableWriter, Table, TableError, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { contentsOf, hurried, onBatch, put, rootOf, shown } from "./fixtures.ts"

const shownOf = (ref: SubscriptionRef.SubscriptionRef<HashMap.HashMap<string, number>>) =>
  shown(SubscriptionRef.getUnsafe(ref))

/** What the changes of a ref give until they end. */
const collected = (ref: SubscriptionRef.SubscriptionRef<HashMap.HashMap<string, number>>) =>
  SubscriptionRef.changes(ref).pipe(
    Stream.map((map) => shown(map)),
    Stream.runCollect,
    Effect.forkScoped({ startImmediately: true })
  )

describe("a table's ref", () => {
  it.effect("has a commit before anybody is resumed, and publishes it once", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 1]])
      const ref = yield* Table.ref(root.table)
      const ofDouble = yield* Effect.flatMap(
        Table.map(root.table, (n) => n * 2),
        Table.ref
      )
      const states = yield* collected(ref)
      const seen: Array<unknown> = []
      yield* onBatch(root.table, () => seen.push(["batch", shownOf(ref), shownOf(ofDouble)]))
      put(root, [["a", 2], ["b", 3]], () => seen.push(["reached", shownOf(ref), shownOf(ofDouble)])) // prettier-ignore
      const expected = [[["a", 2], ["b", 3]], [["a", 4], ["b", 6]]] // prettier-ignore
      assert.deepStrictEqual(seen, [
        ["reached", ...expected],
        ["batch", ...expected]
      ])
      put(root, [["a", undefined]])
      // Nothing changes.
      put(root, [["a", undefined]])
      root.cell.close()
      assert.deepStrictEqual(yield* Fiber.join(states), [[["a", 1]], expected[0], [["b", 3]]])
      assert.strictEqual(SubscriptionRef.getUnsafe(ref), yield* root.table.snapshot)
    })
  )

  it.effect("has what was written while it was made", () =>
    Effect.gen(function* () {
      yield* hurried
      const root = rootOf<string, number>(
        "prices",
        Array.from({ length: 500 }, (_, n) => [`k${n}`, n] as const)
      )
      const making = yield* Effect.forkScoped(Table.ref(root.table), { startImmediately: true })
      assert.isUndefined(making.pollUnsafe())
      put(root, [["k1", -1]])
      while (making.pollUnsafe() === undefined) yield* Effect.yieldNow
      const ref = yield* Fiber.join(making)
      assert.strictEqual(SubscriptionRef.getUnsafe(ref), yield* root.table.snapshot)
      assert.deepStrictEqual(HashMap.get(SubscriptionRef.getUnsafe(ref), "k1"), Option.some(-1))
    })
  )

  it.effect("is set once when its table is replaced, also when it was made meanwhile", () =>
    Effect.gen(function* () {
      yield* hurried
      const root = rootOf("prices", [["gone", 1]])
      const ref = yield* Table.ref(root.table)
      const states = yield* collected(ref)
      const next = Array.from({ length: 500 }, (_, n) => [`k${n}`, n] as const)
      const seen: Array<boolean> = []
      const replacing = yield* Effect.forkScoped(
        root.cell.replace(contentsOf(next), () => seen.push(HashMap.size(SubscriptionRef.getUnsafe(ref)) === 500)),
        { startImmediately: true }
      )
      assert.isUndefined(replacing.pollUnsafe())
      const late = yield* Table.ref(root.table)
      assert.deepStrictEqual(shownOf(late), [["gone", 1]])
      yield* Fiber.join(replacing)
      root.cell.close()
      assert.deepStrictEqual(seen, [true])
      assert.deepStrictEqual(yield* Fiber.join(states), [[["gone", 1]], shown(next)])
      assert.strictEqual(SubscriptionRef.getUnsafe(late), SubscriptionRef.getUnsafe(ref))
    })
  )

  it.effect("publishes in the order of versions when who is resumed makes the next commit", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 0]])
      const ref = yield* Table.ref(root.table)
      yield* onBatch(root.table, () => {
        const at = root.table.view.get("a")!
        if (at < 3) put(root, [["a", at + 1]])
      })
      const states = yield* collected(ref)
      put(root, [["a", 1]])
      root.cell.close()
      assert.deepStrictEqual(
        yield* Fiber.join(states),
        [0, 1, 2, 3].map((n) => [["a", n]])
      )
    })
  )

  it.effect("keeps the last version and ends its changes when its table fails for good or is closed", () =>
    Effect.gen(function* () {
      for (const end of ["fail", "close"] as const) {
        const root = rootOf("prices", [["a", 1]])
        const table = yield* Table.map(root.table, (n) => n * 2)
        const ref = yield* Table.ref(table)
        const states = yield* collected(ref)
        root.cell.setStatus({ _tag: "Failed", error: new TableError.TopicDeleted({ topic: "prices" }) })
        // It may go on after that.
        put(root, [["a", 2]])
        if (end === "close") root.cell.close()
        else root.cell.fail(new TableError.TopicDeleted({ topic: "prices" }))
        assert.deepStrictEqual(yield* Fiber.join(states), [[["a", 2]], [["a", 4]]])
        assert.deepStrictEqual(shownOf(ref), [["a", 4]])
        // So it is of a table that has ended before.
        const late = yield* Table.ref(table)
        assert.deepStrictEqual(yield* Fiber.join(yield* collected(late)), [])
        assert.deepStrictEqual(shownOf(late), [["a", 4]])
      }
    })
  )

  it.effect("keeps the last version and ends its changes when its own scope is closed", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 1]])
      const scope = yield* Scope.make()
      const ref = yield* Scope.provide(Table.ref(root.table), scope)
      const states = yield* collected(ref)
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(states), [[["a", 1]]])
      put(root, [["a", 2]])
      yield* root.cell.replace(contentsOf([["a", 3]]), () => {})
      assert.deepStrictEqual(shownOf(ref), [["a", 1]])
      assert.strictEqual(root.table.view.get("a"), 3)
    })
  )

  it.effect("stays as it is when its scope is closed while its table is replaced", () =>
    Effect.gen(function* () {
      yield* hurried
      const root = rootOf("prices", [["a", 1]])
      const scope = yield* Scope.make()
      const ref = yield* Scope.provide(Table.ref(root.table), scope)
      const next = contentsOf(Array.from({ length: 500 }, (_, n) => [`k${n}`, n] as const))
      const replacing = yield* Effect.forkScoped(
        root.cell.replace(next, () => {}),
        { startImmediately: true }
      )
      assert.isUndefined(replacing.pollUnsafe())
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(replacing)
      assert.deepStrictEqual(shownOf(ref), [["a", 1]])
      assert.strictEqual(root.table.view.size, 500)
    })
  )

  it.effect("is written by nobody else: a write by anyone else is a defect", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 1]])
      const ref = yield* Table.ref(root.table)
      const empty = HashMap.empty<string, number>()
      for (const write of [
        SubscriptionRef.set(ref, empty),
        SubscriptionRef.setAndGet(ref, empty),
        SubscriptionRef.getAndSet(ref, empty),
        SubscriptionRef.update(ref, () => empty),
        SubscriptionRef.updateAndGet(ref, () => empty),
        SubscriptionRef.getAndUpdate(ref, () => empty),
        SubscriptionRef.modify(ref, () => [0, empty]),
        SubscriptionRef.updateEffect(ref, () => Effect.succeed(empty)),
        SubscriptionRef.updateSome(ref, () => Option.some(empty)),
        SubscriptionRef.modifyEffect(ref, () => Effect.succeed([0, empty] as const))
      ]) {
        assert.include(String(yield* Effect.exit(write)), "a ref of prices is read-only")
      }
      assert.deepStrictEqual(shownOf(ref), [["a", 1]])
      put(root, [["a", 2]])
      assert.deepStrictEqual(shownOf(ref), [["a", 2]])
    })
  )

  it.effect("has one's own write after awaitOffset and barrier", () =>
    Effect.gen(function* () {
      const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
      const writer = yield* KafkaTableWriter.make(prices)
      const table = yield* KafkaTable.make(prices)
      const ref = yield* Table.ref(table)
      for (let n = 1; n <= 20; n++) {
        yield* table.awaitOffset(yield* writer.set("apple", n))
        assert.deepStrictEqual(HashMap.get(yield* SubscriptionRef.get(ref), "apple"), Option.some(n))
        yield* writer.set("pear", n)
        yield* table.barrier()
        assert.deepStrictEqual(HashMap.get(yield* SubscriptionRef.get(ref), "pear"), Option.some(n))
      }
    }).pipe(Effect.provide(MemoryKafka.layer))
  )
})
