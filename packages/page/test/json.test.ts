/** Values as people read them. */
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import { diff, folded } from "../src/diff.ts"
import { differences, isSame, lines, preview, Raw, textOf } from "../src/json.ts"

const textsOf = (value: unknown) => lines(value).map(textOf)

it.prop("the lines of a value are its JSON", [Schema.Json], ([value]) => {
  // A property whose value is undefined is none in JSON, and −0 is 0.
  const json = JSON.stringify(value)
  assert.strictEqual(JSON.stringify(JSON.parse(textsOf(JSON.parse(json)).join("\n"))), json)
})

it.prop("a difference of lines, applied to the old ones, gives the new ones", [Schema.Json, Schema.Json], ([a, b]) => {
  const rows = diff(lines(a), lines(b))
  const of = (change: "added" | "removed") =>
    rows.filter((row) => row.change !== change).map(({ line }) => textOf(line))
  assert.deepStrictEqual(of("added"), textsOf(a))
  assert.deepStrictEqual(of("removed"), textsOf(b))
})

it.prop("values differ at some place, or are the same", [Schema.Json, Schema.Json], ([a, b]) => {
  assert.strictEqual(differences(a, b, 10).length === 0, isSame(a, b))
  assert.isTrue(isSame(a, structuredClone(a)))
})

it("says where values differ, by path", () => {
  assert.deepStrictEqual(differences({ a: { b: 1, c: [1] }, d: 1 }, { a: { b: 2, c: [1] }, e: null }, 10), [
    { path: "a.b", before: 1, after: 2 },
    { path: "d", before: 1, after: undefined },
    { path: "e", before: undefined, after: null }
  ])
})

it("leaves out equal lines that are far from a change, and counts them", () => {
  const before = Array.from({ length: 20 }, (_, i) => i)
  const rows = folded(diff(lines(before), lines(before.with(10, 99))), 1)
  assert.deepStrictEqual(
    rows.map((row) => (row.change === "gap" ? row.count : `${row.change} ${textOf(row.line).trim()}`)),
    [10, "same 9,", "removed 10,", "added 99,", "same 11,", 9]
  )
})

it("leaves out no line alone", () => {
  const rows = folded(diff(lines([1, 2, 3]), lines([1, 2, 4])), 1)
  assert.deepStrictEqual(
    rows.map(({ change }) => change),
    ["gap", "same", "removed", "added", "same"]
  )
  assert.isTrue(folded(diff(lines([1, 2]), lines([1, 4])), 1).every(({ change }) => change !== "gap"))
})

it("a preview ends where there is no room, and text that is no JSON stands as it is", () => {
  const wide = preview({ name: "x".repeat(1000), other: 1 }, 40)
    .map(({ text }) => text)
    .join("")
  assert.isBelow(wide.length, 60)
  assert.match(wide, /…$/)
  assert.strictEqual(textsOf(new Raw("a: 1\nb", "text")).join("|"), "a: 1|b")
  assert.isFalse(isSame(new Raw("1", "text"), 1))
})
