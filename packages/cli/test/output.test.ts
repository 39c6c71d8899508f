import { assert, describe, it } from "@effect/vitest"
import { displayWidth } from "effect/cli/CliOutput"
import { fitness } from "../src/internal/commands/topics.ts"
import { age, cut, table } from "../src/internal/output.ts"
import { progressLine } from "../src/internal/reading.ts"

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

  it("cut between characters as people see them", () => {
    assert.strictEqual(cut("abc", 3), "abc")
    assert.strictEqual(cut("abcd", 3), "ab…")
    assert.strictEqual(cut("漢字漢字", 4), "漢…")
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
