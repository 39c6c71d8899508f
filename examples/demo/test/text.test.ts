import { assert, describe, it } from "@effect/vitest"
import { clean, cut, fit, width, wrapWords } from "../src/terminal/text.ts"

describe("text for a terminal", () => {
  it("what could move the cursor or turn the line is shown as an escape", () => {
    assert.strictEqual(clean("a\u001b[2Jb\u009bc\u202ed\ne"), "a\\u001b[2Jb\\u009bc\\u202ed\\u000ae")
    assert.strictEqual(clean("naïve – 表"), "naïve – 表")
  })

  it("wide characters take two columns and combining ones none", () => {
    assert.strictEqual(width("表e\u0301🙂"), 5)
  })

  it("a text that is too long ends in an ellipsis and keeps to its columns", () => {
    assert.strictEqual(cut("abcdef", 6), "abcdef")
    assert.strictEqual(cut("abcdefg", 6), "abcde…")
    assert.strictEqual(cut("表表表", 4), "表…")
    assert.strictEqual(cut("x".repeat(100_000), 3), "xx…")
  })

  it("a fitted text fills its columns exactly", () => {
    assert.strictEqual(fit("12", 4, "right"), "  12")
    assert.strictEqual(width(fit("表表表", 4)), 4)
  })

  it("lines break between words", () => {
    assert.deepStrictEqual(wrapWords("one two three", 7), ["one two", "three"])
  })
})
