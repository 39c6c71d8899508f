/** The index by group and member, beside a plain map of maps. */
import { assert, describe, it } from "@effect/vitest"
import { Hash } from "effect"
import type { Codec } from "effect-ktables"
import { Contents } from "../../src/internal/table/contents.ts"
import { GroupedTableView } from "../../src/internal/table/groupedView.ts"
import { GroupIndex } from "../../src/internal/table/groupIndex.ts"
import { chance, seedsOf } from "../support/chance.ts"

type Key = Codec.GroupKey<unknown, unknown>

/** Those that compare equal to themselves only by their structure are made again each time. */
const partsOf = {
  strings: (n: number): unknown => `k${n}`,
  structs: (n: number): unknown => ({ n }),
  "numbers, not a number among them": (n: number): unknown => (n === 0 ? Number.NaN : n)
}

const textOf = (part: unknown): string => (Number.isNaN(part) ? "NaN" : JSON.stringify(part))
const shown = (keys: Iterable<readonly [Key, number]>): ReadonlyArray<string> =>
  Array.from(keys, ([{ group, member }, slot]) => `${textOf(group)} ${textOf(member)} ${slot}`).sort()

describe("an index by groups", () => {
  for (const [what, partOf] of Object.entries(partsOf)) {
    it(`holds what a map of maps holds, of ${what}, and no group without members`, () => {
      for (const seed of seedsOf(10, 500)) {
        const { below, happens } = chance(seed)
        const index = new GroupIndex<unknown, unknown>()
        const model = new Map<number, Map<number, number>>()
        // Few members and many: they are kept in different ways.
        const [groups, members] = [1 + below(5), 1 + below(20)]
        for (let step = 0; step < 300; step++) {
          const [g, m] = [below(groups), below(members)]
          const key = { group: partOf(g), member: partOf(m) }
          if (happens(0.5)) {
            index.set(key, step)
            model.set(g, (model.get(g) ?? new Map<number, number>()).set(m, step))
          } else {
            index.delete(key)
            model.get(g)?.delete(m)
            if (model.get(g)?.size === 0) model.delete(g)
          }
          assert.strictEqual(index.get(key), model.get(g)?.get(m))
          assert.strictEqual(index.membersOf(partOf(g))?.size, model.get(g)?.size)
          assert.strictEqual(index.size, model.size)
        }
        const expected = Array.from(model, ([g, of]) =>
          Array.from(of, ([m, slot]) => [{ group: partOf(g), member: partOf(m) }, slot] as const)
        ).flat()
        assert.deepStrictEqual(shown({ [Symbol.iterator]: () => index[Symbol.iterator]() }), shown(expected))
        assert.sameMembers(index.groups().map(textOf), [...model.keys()].map(partOf).map(textOf))
      }
    })
  }

  it("holds the same whatever order its members came and went in", () => {
    const { below } = chance(5)
    const pairs = Array.from({ length: 60 }, (_, n) => ({ group: `g${n % 7}`, member: `m${n}` }))
    const shuffled = () => {
      const rest = [...pairs]
      return pairs.map(() => rest.splice(below(rest.length), 1)[0]!)
    }
    const made = () => {
      const index = new GroupIndex<string, string>()
      for (const pair of shuffled()) index.set(pair, pairs.indexOf(pair))
      for (const pair of shuffled()) if (pairs.indexOf(pair) % 3 === 0) index.delete(pair)
      return shown({ [Symbol.iterator]: () => index[Symbol.iterator]() })
    }
    const first = made()
    assert.strictEqual(first.length, 40)
    for (let n = 0; n < 20; n++) assert.deepStrictEqual(made(), first)
  })

  it("is walked while it changes: what stays is visited once, and what is gone is not", () => {
    for (const seed of seedsOf(50, 5000)) {
      const { below, happens } = chance(seed)
      const contents = new Contents<Codec.GroupKey<string, string>, number>(new GroupIndex())
      const [groups, members] = [1 + below(4), 1 + below(20)]
      const key = () => ({ group: `g${below(groups)}`, member: `m${below(members)}` })
      const nameOf = ({ group, member }: Codec.GroupKey<string, string>) => `${group} ${member}`
      contents.mutate(() => {
        for (let n = below(60); n > 0; n--) contents.set(key(), n)
      }, false)
      const stays = new Set(contents.keys().map(nameOf))
      const added = new Set<string>()
      const visited: Array<string> = []
      for (const [at, value] of contents) {
        assert.strictEqual(contents.get(at), value)
        visited.push(nameOf(at))
        contents.mutate(() => {
          for (let n = below(3); n > 0; n--) {
            const one = key()
            if (happens(0.6)) {
              contents.delete(one)
              stays.delete(nameOf(one))
              added.delete(nameOf(one))
            } else {
              if (!contents.has(one)) added.add(nameOf(one))
              contents.set(one, -n)
            }
          }
        }, false)
        // It may go on for as long as there is something new.
        if (visited.length > 500) break
      }
      if (visited.length > 500) continue
      for (const one of stays) assert.strictEqual(visited.filter((name) => name === one).length, 1, `${seed}: ${one}`)
    }
  })

  it("takes no member that cannot be looked for, also into a group of its own", () => {
    const index = new GroupIndex<string, unknown>()
    const member = {
      [Hash.symbol]: () => {
        throw new Error("no hash")
      }
    }
    assert.throws(() => index.set({ group: "a", member }, 1), "no hash")
    assert.throws(() => index.get({ group: "a", member }), "no hash")
    assert.strictEqual(index.size, 0)
  })

  it("gives the reads of a view by group", () => {
    const contents = new Contents<Codec.GroupKey<string, string>, number | undefined>(new GroupIndex())
    const view = new GroupedTableView({ contents })
    contents.mutate(() => {
      contents.set({ group: "a", member: "x" }, 1)
      contents.set({ group: "a", member: "y" }, undefined)
      contents.set({ group: "", member: "" }, 3)
    }, false)
    assert.deepStrictEqual(view.groups(), ["a", ""])
    assert.deepStrictEqual(view.members("a"), [["x", 1], ["y", undefined]]) // prettier-ignore
    assert.deepStrictEqual([view.memberCount("a"), view.memberCount(""), view.memberCount("b")], [2, 1, 0])
    assert.deepStrictEqual([view.hasGroup(""), view.hasGroup("b")], [true, false])
    assert.strictEqual(view.get({ group: "", member: "" }), 3)
    contents.mutate(() => contents.delete({ group: "", member: "" }), false)
    assert.deepStrictEqual([...view], [[{ group: "a", member: "x" }, 1], [{ group: "a", member: "y" }, undefined]]) // prettier-ignore
    assert.deepStrictEqual(view.groups(), ["a"])
    assert.deepStrictEqual(view.members(""), [])
  })
})
