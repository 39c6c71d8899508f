/** Entries that take each other's slots within one commit: operators go by slots, and have to follow. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap } from "effect"
import { Table } from "effect-ktables"
import { put, rootOf, shown } from "./fixtures.ts"

/** Commits after each of which "a", "b" and "c" are what is said; undefined deletes. */
const commits: ReadonlyArray<ReadonlyArray<readonly [string, number | undefined]>> = [
  [
    ["a", undefined],
    ["b", 2]
  ],
  [
    ["b", undefined],
    ["a", 3],
    ["b", 4]
  ],
  [
    ["a", undefined],
    ["b", undefined],
    ["a", 5],
    ["b", 6]
  ],
  [
    ["a", undefined],
    ["b", 7],
    ["c", 8],
    ["a", 9],
    ["c", undefined],
    ["b", undefined]
  ],
  [
    ["c", 10],
    ["c", undefined],
    ["b", 11],
    ["a", undefined],
    ["c", 12]
  ]
]

describe("slots", () => {
  it.effect("are given to others within a commit, also beside changes of another table", () =>
    Effect.gen(function* () {
      const [left, right] = [rootOf<string, number>("left", [["a", 1]]), rootOf<string, number>("right")]
      put(right, [
        ["odd", 100],
        ["even", 200]
      ])
      const parity = (n: number): string => (n % 2 === 0 ? "even" : "odd")
      const tables = [
        yield* Table.map(left.table, (n) => n * 2),
        yield* Table.filter(left.table, (n) => n % 2 === 0),
        yield* Table.sorted(left.table),
        yield* Table.index(left.table, (n) => [parity(n), "all"]),
        yield* Table.join(left.table, right.table, (n, m) => n + m, { on: parity }),
        // Both of its sides change in each commit.
        yield* Effect.flatMap(
          Table.map(left.table, (n) => -n),
          (other) => Table.join(left.table, other, (n, m) => n * m)
        ),
        yield* Effect.flatMap(Table.index(left.table, parity), (groups) =>
          Table.join(left.table, groups, (n, group) => n * 1000 + HashMap.size(group), { on: parity })
        )
      ] as const
      for (const [n, commit] of commits.entries()) {
        put(left, commit)
        const plain = Array.from(left.table.view)
        const groups = new Map<string, Map<string, number>>()
        for (const [key, value] of plain) {
          for (const index of [parity(value), "all"])
            groups.set(index, (groups.get(index) ?? new Map()).set(key, value))
        }
        const wanted: ReadonlyArray<Iterable<readonly [string, unknown]>> = [
          plain.map(([key, value]) => [key, value * 2]),
          plain.filter(([, value]) => value % 2 === 0),
          plain,
          Array.from(groups, ([index, group]) => [index, HashMap.fromIterable(group)]),
          plain.map(([key, value]) => [key, value + (value % 2 === 0 ? 200 : 100)]),
          plain.map(([key, value]) => [key, -value * value]),
          plain.map(([key, value]) => [key, value * 1000 + groups.get(parity(value))!.size])
        ]
        for (const [i, table] of tables.entries()) {
          assert.deepStrictEqual(shown(table.view), shown(wanted[i]!), `commit ${n}, table ${i}`)
        }
        assert.deepStrictEqual([...tables[2].view.keys()], plain.map(([key]) => key).sort(), `commit ${n}, in order`)
      }
    })
  )
})
