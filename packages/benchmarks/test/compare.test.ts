import { assert, describe, it } from "@effect/vitest"
import { compare, lines } from "../src/harness/compare.ts"
import { type Measurement, summarize } from "../src/harness/Measurement.ts"

const run = (...measurements: ReadonlyArray<Partial<Measurement>>) =>
  summarize(measurements.map((measurement) => ({ metric: "catchup", client: "kafkajs", ...measurement })))

describe("compare", () => {
  it("calls more milliseconds and fewer records per second worse", () => {
    const { differences } = compare(run({ ms: 100, rps: 10 }), run({ ms: 150, rps: 5 }))
    assert.deepStrictEqual(
      differences.map(({ name, worse }) => [name, worse]),
      [
        ["ms", 1.5],
        ["rps", 2]
      ]
    )
  })

  it("does not judge how much was measured", () => {
    assert.deepStrictEqual(compare(run({ keys: 1, records: 1 }), run({ keys: 2, records: 2 })).differences, [])
  })

  it("names measurements that only one of the runs has", () => {
    const { differences, unmatched } = compare(run({ ms: 1, detail: "a" }), run({ ms: 1, detail: "b" }))
    assert.deepStrictEqual(differences, [])
    assert.deepStrictEqual(
      unmatched.map(({ detail }) => detail),
      ["a", "b"]
    )
  })

  it("prints the worst difference first and marks what passes the threshold", () => {
    const comparison = compare(run({ ms: 100, p50: 1, detail: "d" }), run({ ms: 110, p50: 2, detail: "d" }))
    const [first, second] = lines(comparison, 1.2)
    assert.strictEqual(first, "WORSE  catchup · kafkajs · d: p50 1.000 -> 2.000 (100.0 %)")
    assert.strictEqual(second, "       catchup · kafkajs · d: ms 100.0 -> 110.0 (10.0 %)")
  })
})
