/** What all derived tables have in common: when they change, in what state they are, how they end. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Exit, Fiber, Hash, HashMap, Option, Scope, Stream } from "effect"
import { Table, TableError } from "effect-ktables"
import type { Change } from "../../src/internal/table/contents.ts"
import { contentsOf, onBatch, put, rootOf, shown } from "./fixtures.ts"

const double = (n: number): number => n * 2

const thrown = new Error("no such price")
const unless = (bad: number) => (n: number) => {
  if (n === bad) throw thrown
  return n * 2
}

const failed = (table: string, key: string) => new TableError.DerivationFailed({ table, key, cause: thrown })

const tagOf = <E>(table: Table.Table<string, number, E>) => Effect.map(table.status, ({ _tag }) => _tag)

describe("a derived table", () => {
  it.effect("shows a commit of its source before anybody is resumed, and hands it on as one batch", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 1]])
      const doubled = yield* root.table.pipe(Table.map(double))
      const plain = yield* Table.filter(doubled, (n) => n < 100)
      const seen: Array<unknown> = []
      const batches: Array<ReadonlyArray<Change<string, number>>> = []
      yield* onBatch(root.table, () => seen.push(["root", shown(plain.view)]))
      yield* onBatch(plain, (batch) => batches.push(batch))
      put(root, [["a", 2], ["b", 3], ["c", 60], ["b", 4]], () => seen.push(["reached", shown(plain.view)])) // prettier-ignore
      const expected = [["a", 4], ["b", 8]] // prettier-ignore
      assert.deepStrictEqual(seen, [
        ["reached", expected],
        ["root", expected]
      ])
      assert.deepStrictEqual(batches, [
        [
          { _tag: "Set", key: "a", value: 4, previous: Option.some(2) },
          { _tag: "Set", key: "b", value: 6, previous: Option.none() },
          { _tag: "Set", key: "b", value: 8, previous: Option.some(6) }
        ]
      ])
    })
  )

  it.effect("has the reads and streams of any table", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [
        ["a", 1],
        ["b", 2]
      ])
      const doubled = yield* Table.map(root.table, double)
      assert.isTrue(Table.isTable(doubled))
      assert.deepStrictEqual(yield* doubled.get("a"), Option.some(2))
      assert.strictEqual(yield* doubled.size, 2)
      assert.deepStrictEqual(shown(HashMap.entries(yield* doubled.snapshot)), [
        ["a", 2],
        ["b", 4]
      ])
      const watching = yield* doubled
        .watch("a")
        .pipe(Stream.take(3), Stream.runCollect, Effect.forkScoped({ startImmediately: true }))
      put(root, [["a", 5]])
      put(root, [["a", undefined]])
      assert.deepStrictEqual(yield* Fiber.join(watching), [Option.some(2), Option.some(10), Option.none()])
    })
  )

  it.effect("does not pass on what comes to the same plain data", () =>
    Effect.gen(function* () {
      const root = rootOf<string, { readonly at: number; readonly host: string }>("services")
      const hosts = yield* Table.map(root.table, ({ host }) => ({ host, tags: [host] }))
      const batches: Array<number> = []
      yield* onBatch(hosts, (batch) => batches.push(batch.length))
      put(root, [["a", { at: 1, host: "x" }]])
      const first = hosts.view.get("a")
      put(root, [["a", { at: 2, host: "x" }]])
      assert.strictEqual(hosts.view.get("a"), first)
      put(root, [["a", { at: 3, host: "y" }]])
      assert.deepStrictEqual(batches, [1, 1])
    })
  )

  it.effect("is given the difference when its source is replaced", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [
        ["gone", 1],
        ["kept", 2],
        ["changed", 3]
      ])
      const doubled = yield* Table.map(root.table, double)
      const batches: Array<ReadonlyArray<string>> = []
      yield* onBatch(doubled, (batch) => batches.push(batch.map(({ _tag, key }) => `${_tag} ${key}`).sort()))
      const next = contentsOf([["kept", 2], ["changed", 4], ["added", 5]]) // prettier-ignore
      yield* root.cell.replace(next, () => {
        assert.deepStrictEqual(shown(doubled.view), [["added", 10], ["changed", 8], ["kept", 4]]) // prettier-ignore
      })
      assert.deepStrictEqual(batches, [["Deleted gone", "Set added", "Set changed"]])
      put(root, [["kept", 7]])
      assert.strictEqual(doubled.view.get("kept"), 14)
    })
  )

  it.effect("costs its source nothing once its scope is closed, and keeps what it showed", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 1]])
      let calls = 0
      const scope = yield* Scope.make()
      const counted = yield* root.table.pipe(
        Table.map((n) => {
          calls++
          return n
        }),
        Scope.provide(scope)
      )
      const on = yield* Table.map(counted, double)
      const following = yield* Effect.forkScoped(Stream.runDrain(counted.changes), { startImmediately: true })
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(following)
      put(root, [["a", 2]])
      yield* root.cell.replace(contentsOf([["a", 3]]), () => {})
      assert.deepStrictEqual([calls, counted.view.get("a"), on.view.get("a")], [1, 1, 2])
      assert.deepStrictEqual([yield* tagOf(counted), yield* tagOf(on), yield* tagOf(root.table)], ["Closed", "Closed", "CaughtUp"]) // prettier-ignore
      const closed = new TableError.TableClosed({ topic: "map(prices)" })
      assert.deepStrictEqual(yield* Effect.flip(counted.failure), closed)
    })
  )

  it("is made of no table that others made", () => {
    const fake = { ...rootOf("prices").table }
    assert.throws(() => Table.map(fake as Table.Table<string, number>, double), "a table that this library made")
  })
})

describe("the state of a derived table", () => {
  it.effect("is its source's, before anybody is resumed by that", () =>
    Effect.gen(function* () {
      const root = rootOf<string, number>("prices")
      root.cell.setStatus({ _tag: "Loading", replayed: 0, target: 9 })
      const table = yield* Effect.flatMap(Table.map(root.table, double), Table.map(double))
      assert.deepStrictEqual(yield* table.status, { _tag: "Loading", replayed: 0, target: 9 })
      const first = yield* Effect.forkScoped(Effect.andThen(root.table.awaitCaughtUp, table.isCaughtUp), {
        startImmediately: true
      })
      const waiting = yield* Effect.forkScoped(table.awaitCaughtUp, { startImmediately: true })
      root.cell.setStatus({ _tag: "CaughtUp" })
      assert.isTrue(yield* Fiber.join(first))
      yield* Fiber.join(waiting)
    })
  )

  it.effect("is a failure while its source's is, and that for good when its source's is for good", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 1]])
      const table = yield* Table.map(root.table, double)
      const error = new TableError.TopicDeleted({ topic: "prices" })
      root.cell.setStatus({ _tag: "Failed", error })
      assert.deepStrictEqual(yield* Effect.flip(table.awaitCaughtUp), error)
      root.cell.setStatus({ _tag: "CaughtUp" })
      put(root, [["a", 2]])
      assert.deepStrictEqual([yield* tagOf(table), table.view.get("a")], ["CaughtUp", 4])

      const state = Effect.forkScoped(
        Effect.andThen(
          Effect.exit(root.table.failure),
          Effect.suspend(() => table.status)
        ),
        { startImmediately: true }
      )
      const seen = yield* state
      const streaming = yield* Effect.forkScoped(Effect.flip(Stream.runDrain(table.changes)), {
        startImmediately: true
      })
      root.cell.fail(error)
      assert.deepStrictEqual(yield* Fiber.join(seen), { _tag: "Failed", error })
      assert.deepStrictEqual(yield* Fiber.join(streaming), error)
      assert.deepStrictEqual(yield* Effect.flip(table.failure), error)
      root.cell.close()
      assert.deepStrictEqual([yield* tagOf(table), table.view.get("a")], ["Closed", 4])
    })
  )

  it.effect("is that of a source that had ended before it was made", () =>
    Effect.gen(function* () {
      const error = new TableError.TopicDeleted({ topic: "prices" })
      const frozen = rootOf("prices", [["a", 1]])
      frozen.cell.fail(error)
      const table = yield* Table.map(frozen.table, double)
      assert.deepStrictEqual([yield* table.status, table.view.get("a")], [{ _tag: "Failed", error }, 2])
      assert.deepStrictEqual(yield* Effect.flip(Stream.runDrain(table.changes)), error)
      frozen.cell.close()
      const late = yield* Table.map(frozen.table, double)
      assert.deepStrictEqual([yield* tagOf(late), late.view.get("a")], ["Closed", 2])
    })
  )
})

describe("a function that throws", () => {
  it.effect("fails its table and what stands on it at the last whole version, before anybody is resumed", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 1]])
      const table = yield* Table.map(root.table, unless(13))
      const above = yield* Table.map(table, (n) => n + 1)
      const beside = yield* Table.map(root.table, double)
      const error = failed("map(prices)", '"c"')
      const waiting = yield* Effect.forkScoped(Effect.flip(table.failure), { startImmediately: true })
      const seen: Array<unknown> = []
      put(
        root,
        [
          ["b", 2],
          ["c", 13]
        ],
        () => {
          // prettier-ignore
          seen.push(Effect.runSync(table.status), Effect.runSync(above.status))
        }
      )
      assert.deepStrictEqual(seen, [
        { _tag: "Failed", error },
        { _tag: "Failed", error }
      ])
      assert.deepStrictEqual(yield* Fiber.join(waiting), error)
      assert.deepStrictEqual(yield* Effect.flip(Stream.runDrain(above.changes)), error)
      put(root, [["c", 3]])
      yield* root.cell.replace(contentsOf([["d", 4]]), () => {})
      assert.deepStrictEqual([shown(table.view), shown(above.view)], [[["a", 2]], [["a", 3]]])
      assert.deepStrictEqual(shown(beside.view), [["d", 8]])
      assert.include(error.message, "no such price")
    })
  )

  it.effect("while the table is made leaves it failed and empty", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [
        ["a", 1],
        ["b", 13]
      ])
      const table = yield* Table.map(root.table, unless(13))
      assert.deepStrictEqual(yield* table.status, { _tag: "Failed", error: failed("map(prices)", '"b"') })
      assert.strictEqual(table.view.size, 0)
      put(root, [["b", 2]])
      assert.strictEqual(table.view.size, 0)
    })
  )

  it.effect("while its source is replaced fails it with what it showed", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["a", 1]])
      const table = yield* Table.map(root.table, unless(13))
      const above = yield* Table.map(table, double)
      yield* root.cell.replace(contentsOf([["a", 13]]), () => {})
      assert.deepStrictEqual([yield* tagOf(table), yield* tagOf(above)], ["Failed", "Failed"])
      assert.deepStrictEqual([table.view.get("a"), above.view.get("a"), root.table.view.get("a")], [2, 4, 13])
    })
  )

  it.effect("fails alone where references cannot be looked for, and leaves them out under skip", () =>
    Effect.gen(function* () {
      class Unhashable {
        [Equal.symbol](): boolean {
          return false
        }
        [Hash.symbol](): number {
          throw thrown
        }
      }
      const orders = rootOf<string, unknown>("orders", [["a", "x"]])
      const prices = rootOf<unknown, number>("prices", [["x", 1]])
      const on = { on: (order: unknown) => order }
      const price = (_: unknown, price: number) => price
      const failing = yield* Table.join(orders.table, prices.table, price, on)
      const skipping = yield* Table.join(orders.table, prices.table, price, { ...on, onError: "skip" })
      const reached: Array<string> = []
      put(
        orders,
        [
          ["b", "x"],
          ["c", new Unhashable()]
        ],
        () => reached.push("both")
      )
      const error = failed("join(orders, prices)", '"c"')
      assert.deepStrictEqual([yield* failing.status, reached], [{ _tag: "Failed", error }, ["both"]])
      assert.deepStrictEqual([shown(failing.view), shown(skipping.view)], [[["a", 1]], [["a", 1], ["b", 1]]]) // prettier-ignore
    })
  )

  it.effect("fails alone where its keys cannot be compared", () =>
    Effect.gen(function* () {
      class Incomparable {
        [Equal.symbol](): boolean {
          throw thrown
        }
        [Hash.symbol](): number {
          return 1
        }
      }
      const root = rootOf<string, unknown>("prices")
      const table = yield* Table.index(root.table, (zone) => zone)
      const beside = yield* Table.map(root.table, () => 1)
      const reached: Array<number> = []
      for (const key of ["a", "b", "c"]) put(root, [[key, new Incomparable()]], () => reached.push(beside.view.size))
      assert.deepStrictEqual(reached, [1, 2, 3])
      const error = failed("index(prices)", '"b"')
      assert.deepStrictEqual(yield* table.status, { _tag: "Failed", error })
    })
  )

  it.effect("leaves the entry out under skip, also one that was there", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [
        ["a", 1],
        ["b", 13]
      ])
      const table = yield* Table.map(root.table, unless(13), { onError: "skip" })
      assert.deepStrictEqual(shown(table.view), [["a", 2]])
      put(root, [["a", 13], ["b", 4]]) // prettier-ignore
      assert.deepStrictEqual(shown(table.view), [["b", 8]])
      assert.strictEqual(yield* tagOf(table), "CaughtUp")
    })
  )
})
