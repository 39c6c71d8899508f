import { assert, describe, it } from "@effect/vitest"
import { parseOptions, type RunOptions } from "../src/options.ts"

const run = (...argv: ReadonlyArray<string>): RunOptions => {
  const options = parseOptions(argv, {})
  assert.strictEqual(options.kind, "run")
  return options as RunOptions
}

const problem = (...argv: ReadonlyArray<string>): string | undefined => {
  const options = parseOptions(argv, {})
  return options.kind === "usage" ? options.problem : undefined
}

describe("parseOptions", () => {
  it("repeats every cell five times after one warm-up, over a million records, unless told otherwise", () => {
    const { logs, repeat, warmup } = run("drain")
    assert.deepStrictEqual([repeat, warmup], [5, 1])
    assert.deepStrictEqual(logs, [
      { distribution: "unique", records: 100_000, keys: 100_000 },
      { distribution: "rounds", records: 1_000_000, keys: 100_000 },
      { distribution: "zipf", records: 1_000_000, keys: 100_000 }
    ])
  })

  it("lets single options override the quick profile", () => {
    const { logs, repeat, warmup } = run("drain", "--quick", "--repeat", "2", "--log", "rounds", "--keys", "10")
    assert.deepStrictEqual([repeat, warmup], [2, 0])
    assert.deepStrictEqual(logs, [{ distribution: "rounds", records: 20_000, keys: 10 }])
  })

  it("takes brokers from the options before the environment", () => {
    const options = parseOptions(["drain", "--brokers", "a:1,b:2"], { KAFKA_BROKERS: "c:3" })
    assert.deepStrictEqual(options.kind === "run" ? options.brokers : [], ["a:1", "b:2"])
    const other = parseOptions(["drain"], { KAFKA_BROKERS: "c:3" })
    assert.deepStrictEqual(other.kind === "run" ? other.brokers : [], ["c:3"])
  })

  it("says what is wrong with a command line", () => {
    assert.strictEqual(problem("dream"), "there is no benchmark dream")
    assert.strictEqual(problem("drain", "--repeat", "0"), "--repeat takes a whole number from 1 on")
    assert.strictEqual(problem("drain", "--seconds", "0"), "--seconds takes a number above 0")
    assert.strictEqual(problem("drain", "--decode", "avro"), "--decode knows raw, json, schema, schema-jit, not avro")
    assert.strictEqual(problem("compare", "a"), "compare takes two files")
    assert.include(problem("drain", "--fast") ?? "", "--fast")
  })
})
