import { assert, describe, it } from "@effect/vitest"
import { KeyIndex } from "../../src/internal/table/keyIndex.ts"
import { chance } from "../support/chance.ts"

const KEYS = 30

describe("the index of keys", () => {
  for (let seed = 1; seed <= 30; seed++) {
    it(`is a map, however many maps it takes (seed ${seed})`, () => {
      const { below, happens, pick } = chance(seed)
      const index = new KeyIndex<number, number>(1 + (seed % 7))
      const expected = new Map<number, number>()
      let walk = index[Symbol.iterator]()
      /** What was there when the walk began, has stayed, and is yet to be visited. */
      let ahead = new Set(expected.keys())
      for (let n = 0; n < 1000; n++) {
        const key = below(KEYS)
        const kind = pick(["set", "delete", "walk"])
        if (kind === "set") {
          index.set(key, n)
          expected.set(key, n)
        } else if (kind === "delete") {
          // Mostly the oldest: those of full maps.
          const gone = happens(0.7) ? (expected.keys().next().value ?? key) : key
          index.delete(gone)
          expected.delete(gone)
          ahead.delete(gone)
        } else {
          const next = walk.next()
          if (next.done !== true) {
            assert.strictEqual(next.value[1], expected.get(next.value[0]))
            ahead.delete(next.value[0])
          } else {
            assert.strictEqual(ahead.size, 0)
            walk = index[Symbol.iterator]()
            ahead = new Set(expected.keys())
          }
        }
        for (let k = 0; k < KEYS; k++) assert.strictEqual(index.get(k), expected.get(k))
      }
      const all = Array.from(index)
      assert.strictEqual(all.length, expected.size)
      assert.deepStrictEqual(new Map(all), expected)
    })
  }

  it("does not keep a map for every few keys that stay", () => {
    const index = new KeyIndex<number, number>(100)
    for (let n = 0; n < 10_000; n++) {
      index.set(n, n)
      const gone = n - 150
      if (gone % 100 !== 0) index.delete(gone)
    }
    for (let n = 0; n < 10_000; n += 100) assert.strictEqual(index.get(n), n)
    assert.isAtMost(index.maps, 8)
  })

  it("tells objects by what they hold", () => {
    const index = new KeyIndex<{ readonly id: number } | null, string>(1)
    index.set({ id: 1 }, "one")
    index.set({ id: 2 }, "two")
    index.set(null, "nothing")
    index.set({ id: 1 }, "one more")
    assert.deepStrictEqual(
      [index.get({ id: 1 }), index.get({ id: 2 }), index.get(null)],
      ["one more", "two", "nothing"]
    )
    index.delete({ id: 1 })
    index.delete(null)
    index.delete({ id: 3 })
    assert.deepStrictEqual(Array.from(index), [[{ id: 2 }, "two"]])
  })
})
