import { assert, describe, it } from "@effect/vitest"
import { KeyMap } from "../../src/internal/table/keyMap.ts"
import { chance } from "../support/chance.ts"
import { shown } from "../operators/fixtures.ts"

describe("a map that is small most of the time", () => {
  for (const [what, keyOf] of [
    ["strings", (n: number): unknown => `k${n}`],
    ["structs", (n: number): unknown => ({ n })],
    ["numbers, not a number among them", (n: number): unknown => (n === 0 ? Number.NaN : n)]
  ] as const) {
    it(`holds what a native map holds, of ${what}, while it grows and shrinks`, () => {
      const { below, happens } = chance(11)
      for (let round = 0; round < 50; round++) {
        const map = new KeyMap<unknown, number>()
        const model = new Map<number, number>()
        const most = 1 + below(20)
        for (let step = 0; step < 100; step++) {
          const n = below(most)
          const key = keyOf(n)
          if (model.has(n)) {
            if (happens(0.6)) map.delete(key)
            else map.replace(key, step)
            if (map.get(key) === undefined) model.delete(n)
            else model.set(n, step)
          } else {
            map.add(key, step)
            model.set(n, step)
          }
          assert.strictEqual(map.get(key), model.get(n))
          assert.strictEqual(map.size, model.size)
        }
        const expected = Array.from(model, ([n, value]) => [JSON.stringify(keyOf(n)), value] as const)
        const held = Array.from({ [Symbol.iterator]: () => map[Symbol.iterator]() }, ([key, value]) => {
          return [JSON.stringify(key), value] as const
        })
        assert.deepStrictEqual(shown(held), shown(expected))
        const visited: Array<string> = []
        map.forEach((key) => visited.push(JSON.stringify(key)))
        assert.sameMembers(
          visited,
          expected.map(([key]) => key)
        )
      }
    })
  }
})
