import { assert, describe, it } from "@effect/vitest"
import { verdicts } from "../src/harness/aims.ts"
import { type Measurement, summarize } from "../src/harness/Measurement.ts"
import { parseOptions } from "../src/options.ts"
import { steps } from "../src/series.ts"

const replay = (client: string, ms: number, more: Partial<Measurement> = {}): Measurement => ({
  metric: "catchup",
  client,
  topic: "ktables-bench-rounds-1000000-100000-p4",
  decode: "raw",
  detail: "fresh process",
  ms,
  ...more
})

describe("the aims", () => {
  it("are judged where both figures are there, and only then", () => {
    const ours = replay("effect-ktables kafkajs", 100)
    assert.deepStrictEqual(verdicts(summarize([ours])), [])
    assert.deepStrictEqual(
      verdicts(summarize([ours, replay("goka (Go)", 170)])).map(({ isMet, measured }) => [isMet, measured]),
      [[true, "1.70 (best against best 1.70)"]]
    )
    assert.deepStrictEqual(
      verdicts(summarize([ours, replay("goka (Go)", 150)])).map(({ isMet }) => isMet),
      [false]
    )
  })

  it("hold one topic, decoding and state of the process against its like", () => {
    const others = [
      replay("goka (Go)", 500, { decode: "json", detail: "fresh process, decoded as applied" }),
      replay("goka (Go)", 500, { topic: "ktables-bench-unique-100000-100000-p4" }),
      replay("consumer and HashMap (Java)", 500)
    ]
    assert.deepStrictEqual(verdicts(summarize([replay("effect-ktables kafkajs", 100), ...others])), [])
  })

  it("are limits for what is to be small, and floors for what is to be large", () => {
    const judged = verdicts(
      summarize([
        { metric: "cold", client: "effect-ktables kafkajs", detail: "first, ensureTopic off", ms: 41 },
        { metric: "write", client: "effect-ktables kafkajs", detail: "1 in flight", rps: 2001 },
        { metric: "idle", client: "effect-ktables platformatic", detail: "100 tables", cpuPercent: 4.9 }
      ])
    )
    assert.deepStrictEqual(
      judged.map(({ isMet, what }) => [what, isMet]),
      [
        ["empty start, without ensureTopic", false],
        ["1 write in flight", true],
        ["100 idle tables, platformatic", true]
      ]
    )
  })
})

describe("the series", () => {
  it("consists of command lines that the suite understands", () => {
    for (const [, line] of steps) assert.strictEqual(parseOptions(line.split(" "), {}).kind, "run", line)
  })

  it("is asked for with a directory", () => {
    assert.deepStrictEqual(parseOptions(["series", "runs", "--brokers", "a:1,b:2"], {}), {
      kind: "series",
      directory: "runs",
      brokers: ["a:1", "b:2"]
    })
    assert.strictEqual(parseOptions(["series"], {}).kind, "usage")
  })
})
