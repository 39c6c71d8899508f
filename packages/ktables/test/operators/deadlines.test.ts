import { assert, describe, it } from "@effect/vitest"
import { Deadlines } from "../../src/internal/operators/deadlines.ts"
import { chance } from "../support/chance.ts"

describe("deadlines", () => {
  it("are found in their order, whatever was set, moved and deleted", () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { below, happens } = chance(seed)
      const deadlines = new Deadlines()
      const model = new Map<number, number>()
      for (let step = 0; step < 300; step++) {
        const slot = below(40)
        if (happens(0.7)) {
          const deadline = below(50)
          deadlines.set(slot, deadline)
          model.set(slot, deadline)
        } else if (model.delete(slot)) deadlines.delete(slot)
        const earliest = Math.min(...model.values())
        assert.strictEqual(deadlines.earliest, earliest, `seed ${seed}`)
        if (model.size > 0) assert.strictEqual(model.get(deadlines.first), earliest)
        for (const [slot, deadline] of model) assert.strictEqual(deadlines.of(slot), deadline)
      }
      const order: Array<number> = []
      for (; deadlines.earliest < Infinity; deadlines.delete(deadlines.first)) order.push(deadlines.earliest)
      assert.deepStrictEqual(
        order,
        [...model.values()].sort((a, b) => a - b)
      )
    }
  })
})
