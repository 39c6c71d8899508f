/** What counts as the same to those who follow a derived table. */
import { assert, describe, it } from "@effect/vitest"
import { HashMap } from "effect"
import { isSame, isSameWhole } from "../../src/internal/operators/isSame.ts"

/** As deep as it is said, with one number at its end, and how often fields on the way were read. */
const nested = (depth: number, end: number) => {
  let reads = 0
  let value: unknown = end
  for (let n = 0; n < depth; n++) {
    const inner = value
    value = {
      get inner() {
        reads++
        return inner
      }
    }
  }
  return { value, reads: () => reads }
}

describe("whether two values are the same", () => {
  it("is found with a look at each field, however deep they lie", () => {
    for (const same of [isSame, isSameWhole]) {
      const [a, b] = [nested(16, 1), nested(16, 1)]
      assert.isTrue(same(a.value, b.value))
      assert.deepStrictEqual([a.reads(), b.reads()], [16, 16])
      assert.isFalse(same(nested(16, 1).value, nested(16, 2).value))
    }
  })

  it("goes by all fields of plain data, also those that no loop comes to", () => {
    const symbol = Symbol("it")
    const hidden = (n: number) => Object.defineProperty({}, "hidden", { value: n })
    const pairs: ReadonlyArray<readonly [unknown, unknown, boolean]> = [
      [{ [symbol]: 1 }, { [symbol]: 1 }, true],
      [{ [symbol]: 1 }, { [symbol]: 2 }, false],
      [hidden(1), hidden(1), true],
      [hidden(1), hidden(2), false],
      [{ a: undefined }, { b: undefined }, false],
      [{ a: 1 }, { a: 1, b: undefined }, false],
      [Number.NaN, Number.NaN, true],
      [0, -0, false],
      [[1, [2]], [1, [2]], true],
      [Object.assign([], { length: 1 }), [1], false],
      [{ a: 1 }, Object.assign(Object.create(null), { a: 1 }), false],
      [Uint8Array.of(1, 2), Uint8Array.of(1, 2), true],
      [Uint8Array.of(1, 2), Uint8Array.of(1, 3), false],
      [new Date(0), new Date(0), false]
    ]
    for (const [n, [a, b, expected]] of pairs.entries()) {
      assert.strictEqual(isSame(a, b), expected, `pair ${n}`)
      assert.strictEqual(isSameWhole(a, b), expected, `pair ${n}`)
    }
  })

  it("goes by the entries of maps where a table is replaced, and within a commit by which map it is", () => {
    const maps = [HashMap.make(["a", { n: 1 }]), HashMap.make(["a", { n: 1 }]), HashMap.make(["a", { n: 2 }])] as const
    assert.deepStrictEqual([isSameWhole(maps[0], maps[1]), isSameWhole(maps[0], maps[2])], [true, false])
    assert.deepStrictEqual([isSame(maps[0], maps[0]), isSame(maps[0], maps[1])], [true, false])
  })
})
