/** Sorted tables: the order of their keys, ranges of them, and what those who watch a range are given. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Order, Scope, Stream } from "effect"
import { Table, TableError } from "effect-ktables"
import { chance, type Chance, propertyTimeout, seedsOf } from "../support/chance.ts"
import { CellTable } from "../../src/internal/table/cellTable.ts"
import { contentsOf, hurried, put, rootOf } from "./fixtures.ts"

type Entries<K> = ReadonlyArray<readonly [K, number]>

const keysOf = <K>(entries: ReadonlyArray<readonly [K, unknown]>): ReadonlyArray<K> => entries.map(([key]) => key)

const numbered = <K>(keys: ReadonlyArray<K>): Entries<K> => keys.map((key, i) => [key, i] as const)

describe("a sorted table", () => {
  it.effect("gives keys, values, entries and its view in order, and the rest as its source does", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", [["b", 2], ["a", 1], ["c", 3]]) // prettier-ignore
      const sorted = yield* root.table.pipe(Table.sorted())
      assert.isTrue(Table.isTable(sorted))
      put(root, [["aa", 4], ["b", undefined]]) // prettier-ignore
      assert.deepStrictEqual(yield* sorted.keys, ["a", "aa", "c"])
      assert.deepStrictEqual(yield* sorted.values, [1, 4, 3])
      assert.deepStrictEqual(yield* sorted.entries, [["a", 1], ["aa", 4], ["c", 3]]) // prettier-ignore
      assert.deepStrictEqual([...sorted.view], [["a", 1], ["aa", 4], ["c", 3]]) // prettier-ignore
      assert.deepStrictEqual([...sorted.view.keys()], ["a", "aa", "c"])
      assert.strictEqual(sorted.view.get("aa"), 4)
      assert.strictEqual(yield* sorted.size, 3)
      const mapped = yield* Table.map(sorted, (n) => n * 2)
      assert.strictEqual(mapped.view.get("c"), 6)
    })
  )

  it.effect("holds numbers, bigints, strings and dates in their own order, and several types one after another", () =>
    Effect.gen(function* () {
      const [early, late] = [new Date(1000), new Date(20_000)]
      const numbers = yield* Table.sorted(rootOf("n", numbered([10, 9, -1, Infinity, 0.5])).table)
      assert.deepStrictEqual(yield* numbers.keys, [-1, 0.5, 9, 10, Infinity])
      const bigints = yield* Table.sorted(rootOf("b", numbered([10n, 9n, -1n])).table)
      assert.deepStrictEqual(yield* bigints.keys, [-1n, 9n, 10n])
      const dates = yield* Table.sorted(rootOf("d", numbered([late, early])).table)
      assert.deepStrictEqual(keysOf(yield* dates.range({ to: new Date(20_001) })), [early, late])
      assert.deepStrictEqual(keysOf(yield* dates.range({ from: new Date(1001) })), [late])
      const mixed = yield* Table.sorted(
        rootOf<string | number | bigint | Date, number>("m", numbered(["10", late, 9, "9", 10n, 1])).table
      )
      assert.deepStrictEqual(yield* mixed.keys, [1, 9, 10n, "10", "9", late])
      assert.deepStrictEqual(keysOf(yield* mixed.range({ prefix: "" })), ["10", "9"])
    })
  )

  it.effect("gives ranges from a key on and before another, the first ones and the last ones", () =>
    Effect.gen(function* () {
      const { range } = yield* Table.sorted(rootOf("n", numbered([1, 3, 5, 7, 9])).table)
      const of = (options?: Table.RangeOptions<number>) => Effect.map(range(options), keysOf)
      assert.deepStrictEqual(yield* of(), [1, 3, 5, 7, 9])
      assert.deepStrictEqual(yield* of({ from: 3, to: 9 }), [3, 5, 7])
      assert.deepStrictEqual(yield* of({ from: 2, to: 8 }), [3, 5, 7])
      assert.deepStrictEqual(yield* of({ from: 3, limit: 2 }), [3, 5])
      assert.deepStrictEqual(yield* of({ to: 9, limit: 2, reverse: true }), [7, 5])
      assert.deepStrictEqual(yield* of({ reverse: true }), [9, 7, 5, 3, 1])
      assert.deepStrictEqual(yield* of({ from: 8, to: 2 }), [])
      assert.deepStrictEqual(yield* of({ from: 8, to: 2, reverse: true }), [])
      assert.deepStrictEqual(yield* of({ limit: 0 }), [])
    })
  )

  it.effect("finds keys by prefixes in code units, also those beside emoji and at the end of all", () =>
    Effect.gen(function* () {
      const keys = [
        "",
        "a",
        "a\ud83d",
        "a😀",
        "a😀b",
        "a😁",
        "a\uffff",
        "a\uffff\uffff",
        "aé",
        "ae\u0301",
        "b",
        "\uffff",
        "\uffffa",
        "😀"
      ]
      const { range } = yield* Table.sorted(rootOf("s", numbered(keys)).table)
      const inOrder = [...keys].sort()
      const prefixes = [...keys, "a\ud83d\ude00", "\ud83d", "a😂", "c", "\uffff\uffff", "ae"]
      for (const prefix of prefixes) {
        const wanted = inOrder.filter((key) => key.startsWith(prefix))
        assert.deepStrictEqual(keysOf(yield* range({ prefix })), wanted, prefix)
        assert.deepStrictEqual(keysOf(yield* range({ prefix, reverse: true })), wanted.toReversed(), prefix)
      }
      assert.deepStrictEqual(keysOf(yield* range({ prefix: "a\ud83d" })), ["a\ud83d", "a😀", "a😀b", "a😁"])
      assert.deepStrictEqual(keysOf(yield* range({ prefix: "a", from: "a😀b", limit: 2 })), ["a😀b", "a😁"])
      assert.deepStrictEqual(keysOf(yield* range({ prefix: "a😀", to: "a😀b" })), ["a😀"])
    })
  )

  it.effect("keeps keys that the order calls equal in the sequence in which they came", () =>
    Effect.gen(function* () {
      const root = rootOf<{ readonly at: number; readonly of: string }, number>("visits")
      const byTime = Order.mapInput(Order.Number, ({ at }: { readonly at: number }) => at)
      const sorted = yield* root.table.pipe(Table.sorted(byTime))
      const [x, y, z] = [
        { at: 1, of: "x" },
        { at: 1, of: "y" },
        { at: 0, of: "z" }
      ]
      put(root, [[y, 1], [z, 2]]) // prettier-ignore
      put(root, [[x, 3]])
      assert.deepStrictEqual(keysOf(sorted.view.range()), [z, y, x])
      put(root, [[{ at: 1, of: "y" }, undefined]])
      assert.deepStrictEqual(keysOf(sorted.view.range({ from: { at: 1, of: "" } })), [x])
    })
  )

  it.effect(
    "fails at its last whole version when the order throws, within a commit, while it is made and replaced",
    () =>
      Effect.gen(function* () {
        const thrown = new Error("no order")
        const order = Order.make<string>((a, b) => {
          if (a === "bad" || b === "bad") throw thrown
          return Order.String(a, b)
        })
        const root = rootOf("prices", numbered(["b", "a"]))
        const sorted = yield* Table.sorted(root.table, order)
        const replaced = yield* Table.sorted(rootOf("other", numbered(["bad", "a"])).table, order)
        assert.strictEqual((yield* replaced.status)._tag, "Failed")
        assert.deepStrictEqual([yield* replaced.size, yield* replaced.range()], [0, []])
        put(root, [["c", 1], ["bad", 2]]) // prettier-ignore
        assert.deepStrictEqual(yield* sorted.keys, ["a", "b"])
        const status = yield* sorted.status
        assert(status._tag === "Failed" && status.error instanceof TableError.DerivationFailed)
        assert.deepStrictEqual([status.error.key, status.error.cause], ['"bad"', thrown])
        const again = rootOf("again", numbered(["b", "a"]))
        const third = yield* Table.sorted(again.table, order)
        yield* again.cell.replace(contentsOf(numbered(["bad", "x"])), () => {})
        assert.deepStrictEqual(yield* third.keys, ["a", "b"])
        assert.strictEqual((yield* third.status)._tag, "Failed")
      })
  )

  it.effect("loses no entry to an order that contradicts itself", () =>
    Effect.gen(function* () {
      const { below, happens, next } = chance(1)
      const root = rootOf<number, number>("chaos")
      const sorted = yield* root.table.pipe(Table.sorted(Order.make<number>(() => (next() < 0.5 ? -1 : 1))))
      for (let i = 0; i < 300; i++) {
        put(
          root,
          Array.from({ length: 20 }, () => [below(2000), happens(0.4) ? undefined : i] as const)
        )
        assert.deepStrictEqual(
          [...(yield* sorted.keys)].sort(Order.Number),
          [...root.cell.contents.keys()].sort(Order.Number)
        )
      }
    })
  )

  it.effect("stays in order while it shrinks to a few entries and grows again", () =>
    Effect.gen(function* () {
      const keys = Array.from({ length: 3000 }, (_, i) => (i * 1009) % 3000)
      const root = rootOf("n", numbered(keys))
      const sorted = yield* Table.sorted(root.table)
      for (const value of [undefined, 1]) {
        for (const [i, key] of keys.entries()) {
          if (key % 50 !== 0) put(root, [[key, value]])
          if (i % 100 !== 0) continue
          assert.deepStrictEqual(yield* sorted.keys, root.cell.contents.keys().toSorted(Order.Number))
        }
      }
    })
  )

  it.effect("is walked in order while it changes: what went is not visited, what comes later is", () =>
    Effect.gen(function* () {
      const root = rootOf("n", numbered(Array.from({ length: 1000 }, (_, i) => i * 2)))
      const sorted = yield* Table.sorted(root.table)
      const seen: Array<number> = []
      for (const [key] of sorted.view) {
        seen.push(key)
        if (key % 4 === 0) put(root, [[key + 2, undefined], [key + 3, 1], [key - 1, 1]]) // prettier-ignore
      }
      assert.deepStrictEqual(
        seen,
        Array.from({ length: 1000 }, (_, i) => (i % 2 === 0 ? i * 2 : i * 2 + 1))
      )
    })
  )
})

describe("a watched range", () => {
  it.effect("is given again when a change touches it, and only then", () =>
    Effect.gen(function* () {
      const root = rootOf("prices", numbered(["a1", "a2", "b1"]))
      const sorted = yield* Table.sorted(root.table)
      const [prefix, first]: [Array<unknown>, Array<unknown>] = [[], []]
      const follow = (options: Table.RangeOptions<string, string>, into: Array<unknown>) =>
        Effect.forkScoped(
          Stream.runForEach(sorted.watchRange(options), (entries) => Effect.sync(() => into.push(entries))),
          { startImmediately: true }
        )
      yield* follow({ prefix: "a" }, prefix)
      yield* follow({ limit: 1 }, first)
      const start = [["a1", 0], ["a2", 1]] // prettier-ignore
      assert.deepStrictEqual([prefix, first], [[start], [[["a1", 0]]]])
      put(root, [["b1", 5], ["c", 1]]) // prettier-ignore
      put(root, [["a1", 0]])
      assert.deepStrictEqual([prefix.length, first.length], [1, 1])
      put(root, [["a2", 7], ["b2", 1]]) // prettier-ignore
      assert.deepStrictEqual(prefix[1], [["a1", 0], ["a2", 7]]) // prettier-ignore
      assert.strictEqual(first.length, 1)
      put(root, [["a1", undefined]])
      assert.deepStrictEqual([prefix[2], first[1]], [[["a2", 7]], [["a2", 7]]])
      yield* root.cell.replace(contentsOf([["a2", 7], ["a3", 8], ["z", 1]]), () => {}) // prettier-ignore
      assert.deepStrictEqual(prefix[3], [["a2", 7], ["a3", 8]]) // prettier-ignore
      assert.strictEqual(first.length, 2)
      yield* root.cell.replace(contentsOf([["a2", 7], ["a3", 8]]), () => {}) // prettier-ignore
      assert.deepStrictEqual([prefix.length, first.length], [4, 2])
    })
  )

  it.effect("is given to a slow subscriber as it is, and not once for each change", () =>
    Effect.gen(function* () {
      const root = rootOf("n", numbered([1, 2, 3]))
      const sorted = yield* Table.sorted(root.table)
      const pull = yield* Stream.toPull(sorted.watchRange({ to: 10 }))
      assert.deepStrictEqual(yield* pull, [[[1, 0], [2, 1], [3, 2]]]) // prettier-ignore
      for (let i = 0; i < 50; i++) put(root, [[2, i + 100]])
      assert.deepStrictEqual(yield* pull, [[[1, 0], [2, 149], [3, 2]]]) // prettier-ignore
      put(root, [[2, 1]])
      put(root, [[2, 149]])
      const waiting = yield* Effect.forkScoped(pull, { startImmediately: true })
      put(root, [[11, 1]])
      assert.isUndefined(waiting.pollUnsafe())
      put(root, [[2, undefined]])
      assert.deepStrictEqual(yield* Fiber.join(waiting), [[[1, 0], [3, 2]]]) // prettier-ignore
    })
  )

  it.effect("ends when the table is closed, fails when its source does, and gives its last state before that", () =>
    Effect.gen(function* () {
      const root = rootOf("n", numbered([1]))
      const scope = yield* Scope.make()
      const closing = yield* Scope.provide(Table.sorted(root.table), scope)
      const failing = yield* Table.sorted(root.table)
      const ended = yield* Effect.forkScoped(Stream.runCollect(closing.watchRange()), { startImmediately: true })
      const pull = yield* Stream.toPull(failing.watchRange())
      yield* pull
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* Fiber.join(ended), [[[1, 0]]])
      put(root, [[1, 2]])
      const error = new TableError.TopicDeleted({ topic: "n" })
      root.cell.fail(error)
      assert.deepStrictEqual(yield* pull, [[[1, 2]]])
      assert.strictEqual(yield* Effect.flip(pull), error)
      assert.deepStrictEqual(yield* closing.range(), [[1, 0]])
    })
  )

  it.effect("costs nothing once nobody watches", () =>
    Effect.gen(function* () {
      const root = rootOf("n", numbered([1]))
      const sorted = yield* Table.sorted(root.table)
      const { feed } = CellTable.cellOf(sorted)
      assert.isFalse(feed.wantsChanges)
      yield* Effect.scoped(
        Effect.flatMap(Stream.toPull(sorted.watchRange()), (pull) =>
          Effect.tap(pull, () => Effect.sync(() => assert.isTrue(feed.wantsChanges)))
        )
      )
      assert.isFalse(feed.wantsChanges)
      put(root, [[2, 2]])
      assert.deepStrictEqual(yield* sorted.keys, [1, 2])
    })
  )
})

// ---------------------------------------------------------------------------------------------------------------------
// the law
// ---------------------------------------------------------------------------------------------------------------------

/** Parts of keys: letters, both halves of emoji, whole ones, and what lies beside them. */
const parts = ["a", "b", "é", "\ud83d", "\ude00", "😀", "😁", "\uffff", "\ue000"]
const textOf = ({ below, pick }: Chance): string => Array.from({ length: below(5) }, () => pick(parts)).join("")

const inPlain = (
  entries: Entries<string>,
  { from, limit, prefix, reverse, to }: Table.RangeOptions<string, string>,
  order: Order.Order<string>
): Entries<string> => {
  const found = entries.filter(
    ([key]) =>
      (from === undefined || order(key, from) >= 0) &&
      (to === undefined || order(key, to) < 0) &&
      (prefix === undefined || key.startsWith(prefix))
  )
  found.sort(([a], [b]) => order(a, b))
  return (reverse === true ? found.toReversed() : found).slice(0, limit)
}

describe("ranges", () => {
  for (const seed of seedsOf(20, 2000)) {
    it.effect(
      `are what plain sorting makes of the source, at every version, and watched ones end with it (seed ${seed})`,
      () =>
        Effect.gen(function* () {
          yield* hurried
          const random = chance(seed)
          const { below, happens } = random
          const entries = (most: number) =>
            new Map(Array.from({ length: below(most) }, () => [textOf(random), below(50)] as const))
          const root = rootOf("a", entries(1500))
          const mapped = yield* Table.map(root.table, (n) => n)
          const scope = yield* Scope.make()
          const natural = yield* Scope.provide(Table.sorted(root.table), scope)
          const flipped = yield* Table.sorted(mapped, Order.flip(Order.String))
          const optionsOf = (): Table.RangeOptions<string, string> => ({
            from: happens(0.3) ? textOf(random) : undefined,
            to: happens(0.3) ? textOf(random) : undefined,
            prefix: happens(0.5) ? textOf(random) : undefined,
            limit: happens(0.5) ? below(20) : undefined,
            reverse: happens(0.5)
          })
          const problems: Array<unknown> = []
          const compare = (is: Entries<string>, wanted: Entries<string>, ...what: ReadonlyArray<unknown>): void => {
            try {
              assert.deepStrictEqual(is, wanted)
            } catch (error) {
              problems.push([...what, error])
            }
          }
          let isClosed = false
          let looks = 0
          const look = (where: string): void => {
            looks++
            const all = [...root.cell.contents]
            for (let i = 0; i < 4; i++) {
              const options = optionsOf()
              if (!isClosed) compare(natural.view.range(options), inPlain(all, options, Order.String), where, options)
              const { prefix: _, ...bounds } = options
              compare(flipped.view.range(bounds), inPlain(all, bounds, Order.flip(Order.String)), where, bounds)
            }
          }
          const watched = yield* Effect.forEach(
            Array.from({ length: 6 }, optionsOf),
            Effect.fnUntraced(function* (options) {
              const watch = { options, last: [] as Entries<string> }
              const isSlow = happens(0.5)
              yield* Effect.forkScoped(
                Stream.runForEach(natural.watchRange(options), (found) =>
                  Effect.gen(function* () {
                    if (isSlow) for (let turn = below(4); turn > 0; turn--) yield* Effect.yieldNow
                    else if (!isClosed) compare(found, natural.view.range(options), "a watch", options)
                    watch.last = found
                  })
                ),
                { startImmediately: true }
              )
              return watch
            })
          )
          for (let step = 0; step < 60; step++) {
            if (happens(0.15)) {
              yield* root.cell.replace(contentsOf(entries(1500)), () => look("a replacement"))
            } else {
              const most = happens(0.1) ? 1500 : 8
              const written = Array.from(
                { length: below(most) },
                () =>
                  [
                    // Also the same key twice in a commit.
                    textOf(random),
                    happens(0.45) ? undefined : below(50)
                  ] as const
              )
              put(root, written, () => look("a write"))
              if (happens(0.1))
                put(
                  root,
                  [...root.cell.contents.keys()].map((key) => [key, undefined] as const)
                )
            }
            look("a step")
            if (happens(0.5)) yield* Effect.yieldNow
          }
          for (let turn = 0; turn < 100; turn++) yield* Effect.yieldNow
          for (const { last, options } of watched) compare(last, natural.view.range(options), "the end", options)
          const kept = yield* natural.entries
          yield* Scope.close(scope, Exit.void)
          isClosed = true
          put(root, entries(20))
          look("after the closing")
          compare(yield* natural.entries, kept, "what was closed")
          assert.deepStrictEqual(problems.slice(0, 2), [])
          assert.isAbove(looks, 60)
        }),
      propertyTimeout
    )
  }
})
