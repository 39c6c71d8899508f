/** Joins of two tables: both sides live, on their keys or by a reference. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, HashMap, Option, Scope } from "effect"
import { Table, TableError } from "effect-ktables"
import type { Change } from "../../src/internal/table/contents.ts"
import { contentsOf, hurried, onBatch, put, rootOf, shown } from "./fixtures.ts"

interface Order {
  readonly fruit: string | null
  readonly count: number
}

const orders = () =>
  rootOf<string, Order>("orders", [
    ["o1", { fruit: "apple", count: 2 }],
    ["o2", { fruit: "pear", count: 3 }],
    ["o3", { fruit: "apple", count: 4 }],
    ["o4", { fruit: null, count: 5 }]
  ])
const prices = () => rootOf<string, number>("prices", [["apple", 10]])

const on = (order: Order) => order.fruit
const cost = (order: Order, price: number) => order.count * price

describe("a join", () => {
  it.effect("by a reference holds what has its entry on the other side, and follows both", () =>
    Effect.gen(function* () {
      const [left, right] = [orders(), prices()]
      const costs = yield* left.table.pipe(Table.join(right.table, cost, { on }))
      assert.deepStrictEqual(shown(costs.view), [["o1", 20], ["o3", 40]]) // prettier-ignore
      const batches: Array<ReadonlyArray<Change<string, number>>> = []
      yield* onBatch(costs, (batch) => batches.push(batch))
      put(right, [["apple", 11], ["pear", 1]]) // prettier-ignore
      put(left, [["o1", { fruit: "pear", count: 2 }], ["o5", { fruit: "apple", count: 1 }], ["o3", undefined]]) // prettier-ignore
      put(right, [["apple", undefined]])
      assert.deepStrictEqual(
        batches.map((batch) => batch.map((change) => [change.key, change._tag === "Set" ? change.value : undefined])),
        [
          [["o1", 22], ["o3", 44], ["o2", 3]],
          [["o1", 2], ["o5", 11], ["o3", undefined]],
          [["o5", undefined]]
        ] // prettier-ignore
      )
      assert.deepStrictEqual(shown(costs.view), [["o1", 2], ["o2", 3]]) // prettier-ignore
    })
  )

  it.effect("of the left side keeps what nothing belongs to", () =>
    Effect.gen(function* () {
      const [left, right] = [orders(), prices()]
      const costs = yield* Table.leftJoin(left.table, right.table, (order, price) => cost(order, Option.getOrElse(price, () => 1)), { on }) // prettier-ignore
      assert.deepStrictEqual(shown(costs.view), [["o1", 20], ["o2", 3], ["o3", 40], ["o4", 5]]) // prettier-ignore
      put(right, [["apple", undefined]])
      assert.deepStrictEqual(shown(costs.view), [["o1", 2], ["o2", 3], ["o3", 4], ["o4", 5]]) // prettier-ignore
    })
  )

  it.effect("on the same keys, of structs, too, gives one change per key for a commit that changes both sides", () =>
    Effect.gen(function* () {
      const root = rootOf<{ readonly id: number }, number>("numbers", [[{ id: 1 }, 1]])
      const doubled = yield* Table.map(root.table, (n) => n * 2)
      const objects = yield* Table.map(root.table, (n) => ({ at: new Date(n) }))
      const both = yield* Table.join(doubled, objects, (n, { at }) => ({ n, at }))
      const itself = yield* Table.join(root.table, root.table, (a, b) => a + b)
      const batches: Array<number> = []
      yield* onBatch(both, (batch) => batches.push(batch.length))
      put(root, [[{ id: 1 }, 5], [{ id: 2 }, 6], [{ id: 1 }, 7]]) // prettier-ignore
      assert.deepStrictEqual(batches, [2])
      assert.deepStrictEqual(both.view.get({ id: 1 }), { n: 14, at: new Date(7) })
      assert.strictEqual(itself.view.get({ id: 1 }), 14)
    })
  )

  it.effect("takes an index for its other side", () =>
    Effect.gen(function* () {
      const left = rootOf<string, string>("categories", [
        ["fruit", "Fruit"],
        ["fish", "Fish"]
      ])
      const right = rootOf<string, { readonly category: string; readonly stock: number }>("goods", [
        ["apple", { category: "fruit", stock: 3 }],
        ["pear", { category: "fruit", stock: 4 }]
      ])
      const byCategory = yield* Table.index(right.table, ({ category }) => category)
      const shelf = yield* left.table.pipe(
        Table.leftJoin(byCategory, (name, goods) => {
          const inStock = HashMap.values(Option.getOrElse(goods, () => HashMap.empty()))
          return `${name}: ${Array.from(inStock, ({ stock }) => stock).reduce((a, b) => a + b, 0)}`
        })
      )
      put(right, [["apple", { category: "fruit", stock: 1 }], ["cod", { category: "fish", stock: 9 }]]) // prettier-ignore
      assert.deepStrictEqual(shown(shelf.view), [["fish", "Fish: 9"], ["fruit", "Fruit: 5"]]) // prettier-ignore
    })
  )

  it.effect("leaves out what a function throws for under skip, until a change of the other side mends it", () =>
    Effect.gen(function* () {
      const [left, right] = [orders(), prices()]
      const positive = (order: Order, price: number) => {
        if (price < 0) throw new Error("negative")
        return cost(order, price)
      }
      const costs = yield* Table.join(left.table, right.table, positive, { on, onError: "skip" })
      const failing = yield* Table.join(left.table, right.table, positive, { on })
      put(right, [["apple", -1]])
      assert.strictEqual(costs.view.size, 0)
      put(right, [["apple", 2]])
      assert.deepStrictEqual(shown(costs.view), [["o1", 4], ["o3", 8]]) // prettier-ignore
      const error = yield* Effect.flip(failing.failure)
      assert.deepStrictEqual(
        error,
        new TableError.DerivationFailed({ table: "join(orders, prices)", key: '"o1"', cause: new Error("negative") })
      )
      assert.deepStrictEqual(shown(failing.view), [["o1", 20], ["o3", 40]]) // prettier-ignore
    })
  )

  it.effect("is in the worse of its sources' states", () =>
    Effect.gen(function* () {
      const [left, right] = [orders(), prices()]
      left.cell.setStatus({ _tag: "Loading", replayed: 1, target: 2 })
      const costs = yield* Table.join(left.table, right.table, cost, { on })
      const tag = Effect.map(costs.status, ({ _tag }) => _tag)
      assert.strictEqual(yield* tag, "Loading")
      right.cell.setStatus({ _tag: "Degraded", replayed: 1, target: 2 })
      left.cell.setStatus({ _tag: "CaughtUp" })
      assert.strictEqual(yield* tag, "Degraded")
      right.cell.setStatus({ _tag: "CaughtUp" })
      assert.strictEqual(yield* tag, "CaughtUp")
      right.cell.close()
      assert.strictEqual(yield* tag, "Closed")
      put(left, [["o9", { fruit: "apple", count: 1 }]])
      assert.isFalse(costs.view.has("o9"))
    })
  )
})

describe("a join of which one side is replaced", () => {
  const many = (n: number, value: number) =>
    Array.from({ length: n }, (_, i): readonly [string, number] => [`k${i}`, value])

  it.effect("shows what the other side is written meanwhile, before and after, and hands it on once", () =>
    Effect.gen(function* () {
      const [left, right] = [rootOf("left", many(300, 1)), rootOf("right", many(300, 10))]
      const sums = yield* Table.join(left.table, right.table, (a, b) => a + b)
      const above = yield* Table.map(sums, (n) => -n)
      const model = new Map(above.view)
      let batches = 0
      yield* onBatch(above, (batch) => {
        batches++
        for (const change of batch) {
          if (change._tag === "Set") model.set(change.key, change.value)
          else model.delete(change.key)
        }
      })
      yield* hurried
      const replacing = yield* Effect.forkScoped(left.cell.replace(contentsOf(many(200, 2)), () => {}))
      let writes = 0
      while (replacing.pollUnsafe() === undefined) {
        const n = writes++
        put(right, [[`k${n % 300}`, 100 + n]], () => {
          const a = left.table.view.get(`k${n % 300}`)
          assert.strictEqual(above.view.get(`k${n % 300}`), a === undefined ? undefined : -(a + 100 + n))
        })
        yield* Effect.yieldNow
      }
      yield* Fiber.join(replacing)
      // The follower may have had to yield with the last batch still before it.
      for (let turn = 0; turn < 10; turn++) yield* Effect.yieldNow
      assert.isAbove(writes, 5)
      assert.strictEqual(sums.view.get("k0"), 2 + right.table.view.get("k0")!)
      assert.strictEqual(sums.view.size, 200)
      // One for each write, and one for the replacement.
      assert.isAtMost(batches, writes + 1)
      assert.deepStrictEqual(shown(model), shown(above.view))
    })
  )

  it.effect("waits for the replacement of the other side", () =>
    Effect.gen(function* () {
      yield* hurried
      const [left, right] = [rootOf("left", many(300, 1)), rootOf("right", many(300, 10))]
      const sums = yield* Table.join(left.table, right.table, (a, b) => a + b)
      yield* Effect.all(
        [
          left.cell.replace(contentsOf(many(300, 2)), () => {}),
          right.cell.replace(contentsOf(many(300, 20)), () => {})
        ],
        { concurrency: 2 }
      )
      assert.deepStrictEqual([...new Set(sums.view.values())], [22])
    })
  )

  it.effect("goes on as before when the replacement is given up", () =>
    Effect.gen(function* () {
      yield* hurried
      const [left, right] = [rootOf("left", many(300, 1)), rootOf("right", many(300, 10))]
      const sums = yield* Table.join(left.table, right.table, (a, b) => a + b)
      const replacing = yield* Effect.forkScoped(left.cell.replace(contentsOf(many(300, 2)), () => {}))
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      put(right, [["k0", 20]])
      yield* Fiber.interrupt(replacing)
      put(right, [["k1", 30]])
      put(left, [["k2", 5]])
      assert.deepStrictEqual(
        ["k0", "k1", "k2"].map((key) => sums.view.get(key)),
        [21, 31, 15]
      )
      yield* right.cell.replace(contentsOf(many(300, 40)), () => {})
      assert.deepStrictEqual(
        ["k0", "k2"].map((key) => sums.view.get(key)),
        [41, 45]
      )
    })
  )

  it.effect("may be closed meanwhile, and shows what it showed", () =>
    Effect.gen(function* () {
      yield* hurried
      const [left, right] = [rootOf("left", many(300, 1)), rootOf("right", many(300, 10))]
      const scope = yield* Scope.make()
      const sums = yield* Table.join(left.table, right.table, (a, b) => a + b).pipe(Scope.provide(scope))
      const replacing = yield* Effect.forkScoped(left.cell.replace(contentsOf(many(300, 2)), () => {}))
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      put(right, [["k0", 20]])
      yield* Fiber.join(replacing)
      assert.deepStrictEqual([...new Set(sums.view.values())], [11])
      assert.strictEqual(left.table.view.get("k0"), 2)
    })
  )
})
