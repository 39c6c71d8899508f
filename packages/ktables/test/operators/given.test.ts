/** What plain JavaScript gives to operators: refused by name when it is given. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, HashMap, Order, Stream } from "effect"
import { Table, TableError } from "effect-ktables"
import { rootOf } from "./fixtures.ts"

/** No type has looked at it. */
// oxlint-disable-next-line typescript/no-explicit-any
const untyped = (value: unknown): any => value

const { table } = rootOf<string, number>("prices", [["apple", 1]])
const unmade = untyped(Table.map(table, (n) => n))
const f = (n: unknown): number => Number(n)
const no = untyped(undefined)
const elements = Stream.make("apple")

/** The error that a call throws: it is no effect that fails. */
const refused = (call: () => unknown): TableError.InvalidOption => {
  try {
    call()
  } catch (error) {
    assert.instanceOf(error, TableError.InvalidOption)
    return error
  }
  return assert.fail("nothing was refused")
}

const aTable = "a table that this library made, and no effect that makes one"
const aFunction = "a function"

type Refusals = ReadonlyArray<readonly [call: () => unknown, option: string, given: string, expected: string]>

const refusals: Readonly<Record<string, Refusals>> = {
  "a table": [
    [() => Table.map(unmade, f), "Table.map.self", "an object", aTable],
    [() => Table.map(no, f), "Table.map.self", "undefined", aTable],
    [() => Table.filter(untyped(new Map()), untyped(f)), "Table.filter.self", "a Map", aTable],
    [() => Table.filterMap({ ...table }, untyped(f)), "Table.filterMap.self", "an object", aTable],
    [() => Table.index(untyped(null), f), "Table.index.self", "null", aTable],
    [() => Table.join(unmade, table, f), "Table.join.self", "an object", aTable],
    [() => Table.join(table, unmade, f), "Table.join.right", "an object", aTable],
    [() => table.pipe(Table.join(unmade, f)), "Table.join.right", "an object", aTable],
    [() => Table.leftJoin(table, no, f), "Table.leftJoin.right", "undefined", aTable],
    [() => Table.union(unmade, table), "Table.union.self", "an object", aTable],
    [() => Table.union(table, unmade), "Table.union.that", "an object", aTable],
    [() => table.pipe(Table.union(no)), "Table.union.that", "undefined", aTable],
    [() => Table.diff(unmade, table), "Table.diff.from", "an object", aTable],
    [() => Table.diff(HashMap.empty<string, number>(), no), "Table.diff.to", "undefined", aTable],
    [() => Table.sorted(unmade), "Table.sorted.self", "an object", aTable],
    [() => Table.sorted(no, Order.String), "Table.sorted.self", "undefined", aTable],
    [() => Table.ref(unmade), "Table.ref.self", "an object", aTable],
    [
      () => Table.lookup(elements, unmade, String),
      "Table.lookup.table",
      "an object",
      "a table, and no effect that makes one"
    ],
    [
      () => elements.pipe(Table.lookup(no, String)),
      "Table.lookup.table",
      "undefined",
      "a table, and no effect that makes one"
    ],
    [() => Table.lookup(untyped([]), table, String), "Table.lookup.self", "an array", "a stream"]
  ],
  "a function": [
    [() => Table.map(table, no), "Table.map.f", "undefined", aFunction],
    [() => table.pipe(Table.map(no)), "Table.map.f", "undefined", aFunction],
    [() => Table.filter(table, untyped("isUp")), "Table.filter.predicate", '"isUp"', aFunction],
    [() => table.pipe(Table.filter(untyped(true))), "Table.filter.predicate", "true", aFunction],
    [() => Table.filterMap(table, untyped({})), "Table.filterMap.f", "an object", aFunction],
    [() => Table.index(table, untyped("zone")), "Table.index.f", '"zone"', aFunction],
    [() => Table.join(table, table, no), "Table.join.f", "undefined", aFunction],
    [() => table.pipe(Table.join(table, no)), "Table.join.f", "undefined", aFunction],
    [() => Table.leftJoin(table, table, f, untyped({ on: "fruit" })), "Table.leftJoin.on", '"fruit"', aFunction],
    [() => Table.sorted(table, untyped("asc")), "Table.sorted.order", '"asc"', aFunction],
    [() => Table.diff(table, table, untyped({ equivalence: true })), "Table.diff.equivalence", "true", aFunction],
    [() => Table.lookup(elements, table, no), "Table.lookup.keyOf", "undefined", aFunction]
  ],
  "an option": [
    [() => Table.map(table, f, untyped({ onError: "ignore" })), "Table.map.onError", '"ignore"', '"fail", "skip"'],
    [() => table.pipe(Table.map(f, untyped({ onError: "" }))), "Table.map.onError", '""', '"fail", "skip"'],
    [
      () => Table.index(table, f, untyped({ onEror: "skip" })),
      "Table.index.onEror",
      '"skip"',
      "no such option, but one of onError"
    ],
    [() => Table.filter(table, Boolean, untyped("skip")), "Table.filter", '"skip"', "an object of options"],
    [
      () => Table.join(table, table, f, untyped({ by: f })),
      "Table.join.by",
      "a function",
      "no such option, but one of on, onError"
    ],
    [
      () => Table.lookup(elements, table, String, untyped({ waitFor: "caught-up" })),
      "Table.lookup.waitFor",
      '"caught-up"',
      '"caughtUp", or a function'
    ]
  ]
}

describe("an operator", () => {
  for (const [what, calls] of Object.entries(refusals)) {
    it(`refuses by name what is not ${what}`, () => {
      for (const [call, option, given, expected] of calls) {
        assert.deepStrictEqual(refused(call), new TableError.InvalidOption({ option, given, expected }))
      }
    })
  }

  it.effect("takes options that are left out", () =>
    Effect.gen(function* () {
      const doubled = yield* Table.map(table, (n) => 2 * n, untyped({ onError: no }))
      const joined = yield* doubled.pipe(Table.join(table, (a, b) => a + b, no))
      const diff = yield* Table.diff(doubled, joined, { equivalence: no })
      assert.strictEqual(diff.view.size, 1)
      const found = yield* Stream.runCollect(Table.lookup(elements, joined, (name) => name, { waitFor: no }))
      assert.strictEqual(found.length, 1)
    })
  )

  it("is refused within an effect as a defect, with its message", () => {
    const exit = Effect.runSyncExit(Effect.scoped(Effect.gen(function* () {
      return yield* Table.map(table, no)
    }))) // prettier-ignore
    assert.isTrue(Exit.isFailure(exit) && Cause.pretty(exit.cause).includes("option Table.map.f is undefined: expected a function")) // prettier-ignore
  })
})

describe("a range", () => {
  const asText = { option: "prefix", given: "1", expected: "a string" }
  const asKey = { option: "from", given: "an object", expected: "a number, a bigint, a string or a Date" }
  const asCount = (given: string) => ({ option: "limit", given, expected: "a whole number of at least 0" })

  it.effect("is refused by name, from the table, from its view and watched, when it is given", () =>
    Effect.gen(function* () {
      const sorted = yield* Table.sorted(table)
      const wrong: ReadonlyArray<readonly [unknown, { option: string; given: string; expected: string }]> = [
        [{ prefix: 1 }, asText],
        [{ from: {} }, asKey],
        [{ to: null }, { ...asKey, option: "to", given: "null" }],
        [{ limit: -1 }, asCount("-1")],
        [{ limit: 2.5 }, asCount("2.5")],
        [{ limit: Number.NaN }, asCount("NaN")],
        [{ limit: "10" }, asCount('"10"')],
        [{ reverse: "yes" }, { option: "reverse", given: '"yes"', expected: "true, false" }],
        [
          { first: 3 },
          { option: "first", given: "3", expected: "no such option, but one of limit, reverse, from, to, prefix" }
        ],
        ["a", { option: "options", given: '"a"', expected: "an object of options" }]
      ]
      for (const [range, problem] of wrong) {
        const error = new TableError.InvalidOption({ topic: "sorted(prices)", ...problem })
        assert.deepStrictEqual(refused(() => sorted.range(untyped(range))), error) // prettier-ignore
        assert.deepStrictEqual(refused(() => sorted.view.range(untyped(range))), error) // prettier-ignore
        assert.deepStrictEqual(refused(() => sorted.watchRange(untyped(range))), error) // prettier-ignore
      }
      assert.deepStrictEqual(yield* sorted.range(untyped({ from: no, to: no, limit: no, prefix: no, reverse: no })), [["apple", 1]]) // prettier-ignore
    })
  )

  it.effect("in a given order may be of any keys, and has no prefix", () =>
    Effect.gen(function* () {
      const root = rootOf<{ readonly at: number } | null, number>("visits", [[{ at: 1 }, 1], [null, 2]]) // prettier-ignore
      const byTime = Order.mapInput(Order.Number, (key: { readonly at: number } | null) => key?.at ?? 0)
      const sorted = yield* Table.sorted(root.table, byTime)
      assert.deepStrictEqual(sorted.view.range({ from: null, to: { at: 1 } }), [[null, 2]])
      const error = refused(() => sorted.range(untyped({ prefix: "a" })))
      assert.strictEqual(error.option, "prefix")
      assert.include(error.message, "no prefix in a given order")
    })
  )
})
