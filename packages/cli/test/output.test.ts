import { assert, describe, it } from "@effect/vitest"
import { displayWidth } from "effect/cli/CliOutput"
import { fitness } from "../src/internal/commands/topics.ts"
import { age, cut, table } from "../src/internal/output.ts"
import { progressLine, stalledFor } from "../src/internal/reading.ts"

describe("tables", () => {
  it("have columns, of which one is cut so that no line is wider than the terminal", () => {
    const rows = [
      ["key", "1", "x".repeat(50)],
      ["漢字", "22", "short"],
      ["a\nb", "3", "👩‍👩‍👧".repeat(30)]
    ]
    const lines = table(["KEY", "N", "VALUE"], rows, { width: 40, flexible: 2 })
    for (const line of lines) assert.isAtMost(displayWidth(line), 40)
    assert.strictEqual(lines[2], "漢字      22  short")
    assert.isTrue(lines[3]!.startsWith(String.raw`a\u000ab  3   👩‍👩‍👧`))
    assert.isTrue(lines[3]!.endsWith("…"))
    assert.include(table(["KEY", "N", "VALUE"], rows, { width: undefined, flexible: 2 })[1], "x".repeat(50))
  })

  it("are no wider than a narrow terminal, where the widest column gives way to the one that is looked for", () => {
    const rows = [["a-key-of-thirty-characters-long", "0", "12", "15 s", "value of an entry"]]
    const heads = ["KEY", "PARTITION", "OFFSET", "AGE", "VALUE"]
    for (const width of [80, 60, 48, 40, 20]) {
      for (const line of table(heads, rows, { width, flexible: 4 })) assert.isAtMost(displayWidth(line), width)
    }
    assert.strictEqual(
      table(heads, rows, { width: 48, flexible: 4 })[1],
      "a-key-of-t…  0          12      15 s  value of …"
    )
    assert.strictEqual(
      table(["TOPIC", "N"], [["x".repeat(50), "1"]], { width: 20, flexible: 0 })[1],
      `${"x".repeat(16)}…  1`
    )
  })

  it("do not measure a megabyte of which a line is shown", () => {
    const start = process.cpuUsage()
    const rows = Array.from({ length: 10 }, () => ["k", "ä".repeat(500_000)])
    assert.strictEqual(displayWidth(table(["KEY", "VALUE"], rows, { width: 80, flexible: 1 })[1]!), 80)
    assert.isBelow(process.cpuUsage(start).user / 1000, 300)
  })

  it("cut between characters as people see them", () => {
    assert.strictEqual(cut("abc", 3), "abc")
    assert.strictEqual(cut("abcd", 3), "ab…")
    assert.strictEqual(cut("漢字漢字", 4), "漢…")
    assert.strictEqual(cut("e\u0301e\u0301", 2), "e\u0301e\u0301")
  })
})

describe("words", () => {
  it("for ages name the largest unit", () => {
    const now = 1_000_000_000
    for (const [ago, expected] of [
      [0, "now"],
      [999, "now"],
      [-5, "now"],
      [59_999, "59 s"],
      [60_000, "1 min"],
      [7_200_000, "2 h"],
      [200_000_000, "2 d"]
    ] as const) {
      assert.strictEqual(age(now - ago, now), expected)
    }
    assert.strictEqual(age(-1, now), "unknown")
  })

  it("for progress tell records, percent, and the time left once it can be guessed", () => {
    assert.strictEqual(progressLine("flags", 0, 0, 5000), "reading flags")
    assert.strictEqual(progressLine("flags", 500, 2000, 100), "reading flags: 500 of 2,000 offsets, 25 %")
    assert.strictEqual(
      progressLine("flags", 500_000, 2_000_000, 60_000),
      "reading flags: 500,000 of 2,000,000 offsets, 25 %, 3 min 0 s left"
    )
  })

  it("for progress fit into the terminal, where the name of the topic gives way", () => {
    const line = progressLine("t".repeat(249), 500_000, 2_000_000, 60_000, 79)
    assert.strictEqual(displayWidth(line), 79)
    assert.match(line, /^reading t+…: 500,000 of 2,000,000 offsets, 25 %, 3 min 0 s left$/)
    assert.isAtMost(progressLine("t".repeat(249), 500_000, 2_000_000, 60_000, 20).length, 20)
    assert.strictEqual(displayWidth(progressLine("t".repeat(249), 0, 0, 0, 40)), 40)
  })

  it("for policies tell which topics look like tables", () => {
    for (const [policy, expected] of [
      ["compact", "table"],
      ["delete,compact", "expiring"],
      ["compact, delete", "expiring"],
      ["delete", "log"],
      ["", "log"],
      [undefined, "unknown"]
    ] as const) {
      assert.strictEqual(fitness(policy), expected)
    }
  })
})

describe("a read", () => {
  const look = { now: 100_000, replayed: 5, target: 10, connected: false, disconnectedSince: 99_000 }

  it("stands still from when the brokers were lost, or the last record came, whichever was later", () => {
    // It took 50 seconds to fetch while connected; then the line was lost, a second ago.
    assert.strictEqual(stalledFor(look, 49_000), 1000)
    assert.strictEqual(stalledFor(look, 99_500), 500)
    assert.strictEqual(stalledFor({ ...look, disconnectedSince: undefined }, 49_000), 51_000)
  })

  it("does not stand still while a broker answers slowly", () => {
    assert.strictEqual(stalledFor({ ...look, connected: true, disconnectedSince: undefined }, 0), 0)
  })
})
