/** Differences between two tables, or between a table and a snapshot. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Equal, Exit, Fiber, HashMap, Order, Schema } from "effect"
import { Table, TableError } from "effect-ktables"
import type { Change } from "../../src/internal/table/contents.ts"
import { contentsOf, hurried, onBatch, put, rootOf, shown } from "./fixtures.ts"

class Flag extends Schema.Class<Flag>("Flag")({ isOn: Schema.Boolean, percent: Schema.Int }) {}

const flag = (isOn: boolean, percent = 100): Flag => new Flag({ isOn, percent })

describe("the difference", () => {
  it.effect("between two tables says of each key that differs what either has, and follows both", () =>
    Effect.gen(function* () {
      const staging = rootOf("staging", [["a", flag(true)], ["b", flag(true)], ["c", flag(false)]]) // prettier-ignore
      const production = rootOf("production", [["a", flag(true)], ["b", flag(false)], ["d", flag(true)]]) // prettier-ignore
      const diff = yield* Table.diff(staging.table, production.table)
      assert.deepStrictEqual(shown(diff.view), [
        ["b", { _tag: "Changed", from: flag(true), to: flag(false) }],
        ["c", { _tag: "Removed", from: flag(false) }],
        ["d", { _tag: "Added", to: flag(true) }]
      ])
      const batches: Array<ReadonlyArray<Change<string, Table.Difference<Flag>>>> = []
      yield* onBatch(diff, (batch) => batches.push(batch))
      put(production, [["b", flag(true)], ["c", flag(false)]]) // prettier-ignore
      put(staging, [["d", flag(true)], ["a", flag(true)]]) // prettier-ignore
      assert.strictEqual(diff.view.size, 0)
      put(staging, [["a", undefined]])
      assert.deepStrictEqual(
        batches.map((batch) => batch.map(({ _tag, key }) => `${_tag} ${key}`)),
        [["Deleted b", "Deleted c"], ["Deleted d"], ["Set a"]]
      )
    })
  )

  it.effect("from a snapshot is what was changed since, also by a replacement", () =>
    Effect.gen(function* () {
      const root = rootOf<string, number>("prices", [["a", 1], ["b", 2]]) // prettier-ignore
      const before = yield* root.table.snapshot
      const changed = yield* Table.diff(before, root.table)
      assert.strictEqual((yield* changed.status)._tag, "CaughtUp")
      put(root, [["a", 3]])
      put(root, [["a", 1]])
      assert.strictEqual(changed.view.size, 0)
      yield* root.cell.replace(contentsOf([["b", 3], ["c", 4]]), () => {}) // prettier-ignore
      const expected = [
        ["a", { _tag: "Removed", from: 1 }],
        ["b", { _tag: "Changed", from: 2, to: 3 }],
        ["c", { _tag: "Added", to: 4 }]
      ]
      assert.deepStrictEqual(shown(changed.view), expected)
      const ofSnapshots = yield* Table.diff(before, yield* root.table.snapshot)
      put(root, [["b", 9]])
      assert.deepStrictEqual(shown(ofSnapshots.view), expected)
      root.cell.close()
      assert.strictEqual((yield* changed.status)._tag, "Closed")
    })
  )

  it.effect("is of other tables than the root's, too: of groups and of tables in order", () =>
    Effect.gen(function* () {
      const root = rootOf<string, number>("numbers", [["a", 1], ["b", 2], ["c", 1]]) // prettier-ignore
      const groups = yield* Table.index(root.table, (n) => n)
      const changed = yield* Table.diff(yield* groups.snapshot, yield* Table.sorted(groups, Order.Number))
      put(root, [["c", 2]])
      put(root, [["c", 1]])
      assert.strictEqual(changed.view.size, 0)
      put(root, [["c", 3]])
      assert.sameMembers([...changed.view.keys()], [1, 3])
      const ofOne = { _tag: "Changed", from: HashMap.make(["a", 1], ["c", 1]), to: HashMap.make(["a", 1]) }
      assert.isTrue(Equal.equals(changed.view.get(1), ofOne))
    })
  )

  it.effect("counts as one what an equivalence does, and fails or leaves out what it throws for", () =>
    Effect.gen(function* () {
      const [left, right] = [rootOf("left", [["a", 1]]), rootOf("right", [["a", 1.2], ["b", 1]])] // prettier-ignore
      const equivalence = (a: number, b: number) => {
        if (b < 0) throw new Error("negative")
        return Math.trunc(a) === Math.trunc(b)
      }
      const failing = yield* Table.diff(left.table, right.table, { equivalence })
      const skipping = yield* Table.diff(left.table, right.table, { equivalence, onError: "skip" })
      assert.deepStrictEqual(shown(skipping.view), [["b", { _tag: "Added", to: 1 }]])
      put(right, [["a", -1]])
      assert.strictEqual(skipping.view.size, 1)
      assert.deepStrictEqual(
        yield* Effect.flip(failing.failure),
        new TableError.DerivationFailed({ table: "diff(left, right)", key: '"a"', cause: new Error("negative") })
      )
      put(right, [["a", 2]])
      assert.deepStrictEqual(skipping.view.get("a"), { _tag: "Changed", from: 1, to: 2 })
    })
  )

  it.effect("of 100,000 keys is found in slices, and costs its sources nothing once its scope is closed", () =>
    Effect.gen(function* () {
      const numbers = Array.from({ length: 100_000 }, (_, i) => [`k${i}`, i] as const)
      const root = rootOf<string, number>("numbers", numbers)
      const before = HashMap.fromIterable(numbers)
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* hurried
          let turns = 0
          const others = yield* Effect.forkScoped(
            Effect.forever(Effect.andThen(Effect.sync(() => turns++), Effect.yieldNow)) // prettier-ignore
          )
          const diff = yield* Table.diff(before, root.table)
          // A slice ends at each look at the clock here, which is every 64 entries.
          assert.isAbove(turns, 100_000 / 64)
          assert.strictEqual(diff.view.size, 0)
          assert.isTrue(root.cell.hasDependents)
          yield* Fiber.interrupt(others)
        })
      )
      assert.isFalse(root.cell.hasDependents)
      assert.isTrue(Exit.isSuccess(yield* Effect.exit(root.table.size)))
    })
  )
})
