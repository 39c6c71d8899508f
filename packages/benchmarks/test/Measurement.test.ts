import { assert, describe, it } from "@effect/vitest"
import { type Measurement, summarize } from "../src/harness/Measurement.ts"
import { jsonLine, markdown, parseLines, table } from "../src/harness/report.ts"

const row = (ms: number, more: Partial<Measurement> = {}): Measurement => ({
  metric: "catchup",
  client: "goka (Go)",
  decode: "raw",
  ms,
  rps: 1000 / ms,
  keys: 7,
  ...more
})

describe("summarize", () => {
  it("takes medians over the repetitions of the same measurement and keeps the best", () => {
    const [summary, other] = summarize([row(4), row(1), row(9, { decode: "json" }), row(2)])
    assert.strictEqual(summary?.repetitions, 3)
    assert.strictEqual(summary?.ms, 2)
    assert.strictEqual(summary?.rps, 500)
    assert.deepStrictEqual(summary?.best, { ms: 1, rps: 1000 })
    assert.strictEqual(summary?.keys, 7)
    assert.strictEqual(other?.decode, "json")
    assert.strictEqual(other?.ms, 9)
  })

  it("takes the mean of the middle two of an even number of repetitions", () => {
    assert.strictEqual(summarize([row(1), row(2), row(4), row(100)])[0]?.ms, 3)
  })
})

describe("the report", () => {
  it("reads back the lines it writes, between lines of other programs", () => {
    const summaries = summarize([row(1), row(3, { client: "kafkajs" })])
    const text = ["> pnpm bench", ...summaries.map((summary) => jsonLine(summary, { node: "22" })), ""].join("\n")
    assert.deepStrictEqual(
      parseLines(text),
      summaries.map((summary) => ({ ...summary, versions: { node: "22" } }))
    )
  })

  const rows = summarize([row(1), row(2, { client: "other", p50: 0.25 }), { metric: "write", client: "x", p50: 0.5 }])

  it("has a table per metric, with the columns that some row of it fills, and no others", () => {
    const [catchup, write, ...rest] = table(rows).split("\n\n")
    assert.strictEqual(rest.length, 0)
    const [header, ...lines] = catchup!.split("\n")
    assert.match(header!, /metric .*client .*decode .*ms .*records\/s .*p50 ms/)
    assert.notInclude(header!, "topic")
    assert.notInclude(header!, "CPU")
    assert.strictEqual(lines.length, 2)
    assert.include(lines[1]!, "0.250")
    assert.notInclude(write!, "decode")
    assert.include(write!, "0.500")
  })

  it("has the same tables in Markdown, as wide in every row as in the header", () => {
    const [heading, blank, ...lines] = markdown(rows).split("\n\n### ")[0]!.split("\n")
    assert.deepStrictEqual([heading, blank], ["### catchup", ""])
    assert.strictEqual(lines.length, 4)
    const cells = lines.map((line) => line.split("|").length)
    assert.isTrue(cells.every((count) => count === cells[0]))
    assert.include(markdown(rows), "### write")
  })
})
