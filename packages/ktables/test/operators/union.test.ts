/** Unions of two tables: the entries of both, and those of the second where a key is in both. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, HashMap } from "effect"
import { Table, TableError } from "effect-ktables"
import type { Change } from "../../src/internal/table/contents.ts"
import { chance, propertyTimeout, seedsOf } from "../support/chance.ts"
import { contentsOf, hurried, onBatch, put, rootOf, shown } from "./fixtures.ts"

const plainly = (batches: ReadonlyArray<ReadonlyArray<Change<unknown, unknown>>>) =>
  batches.map((batch) => batch.map((change) => [change.key, change._tag === "Set" ? change.value : undefined]))

describe("a union", () => {
  it.effect("shows the second table's entry where a key is in both, and the first one's when that goes", () =>
    Effect.gen(function* () {
      const [defaults, own] = [rootOf("defaults", [["theme", "light"], ["size", "10"]]), rootOf("own", [["theme", "dark"]])] // prettier-ignore
      const settings = yield* defaults.table.pipe(Table.union(own.table))
      assert.deepStrictEqual(shown(settings.view), [["size", "10"], ["theme", "dark"]]) // prettier-ignore
      const batches: Array<ReadonlyArray<Change<string, string>>> = []
      yield* onBatch(settings, (batch) => batches.push(batch))
      put(defaults, [["theme", "blue"]])
      put(own, [["theme", undefined], ["size", "12"]]) // prettier-ignore
      put(defaults, [["size", undefined]])
      put(own, [["size", undefined]])
      // What is hidden changes nothing that anybody sees.
      assert.deepStrictEqual(plainly(batches), [[["theme", "blue"], ["size", "12"]], [["size", undefined]]]) // prettier-ignore
      assert.deepStrictEqual(shown(settings.view), [["theme", "blue"]])
    })
  )

  it.effect("of two parts of one table gives one change of a key that moves from one to the other", () =>
    Effect.gen(function* () {
      const root = rootOf<{ readonly id: number }, number>("numbers", [[{ id: 1 }, 1], [{ id: 2 }, 2]]) // prettier-ignore
      const odd = yield* Table.filter(root.table, (n) => n % 2 === 1)
      const even = yield* Table.filter(root.table, (n) => n % 2 === 0)
      const all = yield* Table.union(odd, even)
      const batches: Array<ReadonlyArray<Change<{ readonly id: number }, number>>> = []
      yield* onBatch(all, (batch) => batches.push(batch))
      put(root, [[{ id: 1 }, 4], [{ id: 2 }, 3], [{ id: 3 }, 5]], () => assert.strictEqual(all.view.size, 3)) // prettier-ignore
      assert.deepStrictEqual(
        batches.map((batch) => new Map(batch.map((change) => [change.key.id, change._tag === "Set" && change.value]))),
        [new Map([[1, 4], [2, 3], [3, 5]])] // prettier-ignore
      )
      assert.strictEqual(batches[0]!.length, 3)
    })
  )

  it.effect("of a table with itself, and of one that combines both, follows", () =>
    Effect.gen(function* () {
      const [left, right] = [rootOf("left", [["a", 1], ["b", 2]]), rootOf("right", [["b", 10], ["c", 20]])] // prettier-ignore
      const itself = yield* Table.union(left.table, left.table)
      const both = yield* Table.join(left.table, right.table, (a, b) => a + b)
      const sums = yield* Table.union(left.table, right.table).pipe(Effect.flatMap(Table.union(both)))
      assert.deepStrictEqual(shown(sums.view), [["a", 1], ["b", 12], ["c", 20]]) // prettier-ignore
      put(left, [["b", 3], ["c", 5]]) // prettier-ignore
      assert.deepStrictEqual(shown(sums.view), [["a", 1], ["b", 13], ["c", 25]]) // prettier-ignore
      assert.deepStrictEqual(shown(itself.view), shown(left.table.view))
    })
  )

  it.effect("is in the worse of its sources' states, and fails with what fails either", () =>
    Effect.gen(function* () {
      const [left, right] = [rootOf("left", [["a", 1]]), rootOf("right", [["b", 2]])]
      const all = yield* Table.union(left.table, right.table)
      right.cell.setStatus({ _tag: "Loading", replayed: 1, target: 2 })
      assert.strictEqual((yield* all.status)._tag, "Loading")
      left.cell.fail(new TableError.TopicDeleted({ topic: "left" }))
      assert.deepStrictEqual(yield* Effect.flip(all.failure), new TableError.TopicDeleted({ topic: "left" }))
      assert.deepStrictEqual(shown(all.view), [["a", 1], ["b", 2]]) // prettier-ignore
    })
  )

  for (const seed of seedsOf(20, 2000)) {
    it.effect(
      `of parts, and a difference, stay right when a commit writes and deletes keys again and again (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          const { below, happens, pick } = chance(seed)
          const keys = 1 + below(12)
          const [left, right] = [rootOf<string, number>("left"), rootOf<string, number>("right")]
          const parts = yield* Effect.all([0, 1, 2].map((n) => Table.filter(left.table, (value) => value % 3 === n)))
          const all = yield* Table.union(parts[0]!, parts[1]!).pipe(Effect.flatMap(Table.union(parts[2]!)))
          const both = yield* Table.union(all, right.table)
          const none = yield* Table.diff(left.table, all)
          const diff = yield* Table.diff(all, right.table)
          for (let step = 0; step < 100; step++) {
            put(
              pick([left, right]),
              Array.from(
                { length: 1 + below(8) },
                () => [`k${below(keys)}`, happens(0.4) ? undefined : below(9)] as const
              )
            )
            assert.deepStrictEqual(shown(all.view), shown(left.table.view))
            assert.deepStrictEqual(shown(both.view), shown(new Map([...left.table.view, ...right.table.view])))
            assert.strictEqual(none.view.size, 0)
            const differing = Array.from({ length: keys }, (_, n) => `k${n}`).filter(
              (key) => left.table.view.get(key) !== right.table.view.get(key)
            )
            assert.sameMembers([...diff.view.keys()], differing)
            for (const [key, difference] of diff.view) {
              const from = left.table.view.get(key)
              const to = right.table.view.get(key)
              const wanted = from === undefined ? { _tag: "Added", to } : to === undefined ? { _tag: "Removed", from } : { _tag: "Changed", from, to } // prettier-ignore
              assert.deepStrictEqual<unknown>(difference, wanted)
            }
          }
        }),
      propertyTimeout
    )
  }

  for (const seed of seedsOf(10, 2000)) {
    it.effect(
      `is what HashMap.union makes of both, while one is replaced and the other written (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          yield* hurried
          const { below, happens } = chance(seed)
          const entries = () =>
            new Map<string, number>(Array.from({ length: below(300) }, () => [`k${below(200)}`, below(9)] as const))
          const [left, right] = [rootOf("left", entries()), rootOf("right", entries())]
          const all = yield* Table.union(left.table, right.table)
          const check = () => {
            const [ofLeft, ofRight] = [HashMap.fromIterable(left.table.view), HashMap.fromIterable(right.table.view)]
            assert.deepStrictEqual(shown(all.view), shown(HashMap.union(ofLeft, ofRight)))
          }
          for (let step = 0; step < 20; step++) {
            const [replaced, written] = happens(0.5) ? [left, right] : [right, left]
            const replacing = yield* Effect.forkScoped(replaced.cell.replace(contentsOf(entries()), () => {}))
            do {
              put(written, [[`k${below(200)}`, happens(0.4) ? undefined : below(9)]])
              check()
              yield* Effect.yieldNow
            } while (replacing.pollUnsafe() === undefined)
            yield* Fiber.join(replacing)
            check()
          }
        }),
      propertyTimeout
    )
  }
})
