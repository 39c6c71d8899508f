import { assert, describe, it } from "@effect/vitest"
import { type Paint, type Picture, render, type TableState } from "../src/terminal/Picture.ts"
import { width } from "../src/terminal/text.ts"

const plain: Paint = (_style, text) => text

const table: TableState = {
  status: "CaughtUp",
  replayed: 1200,
  target: 1200,
  catchUp: { records: 1200, millis: 8.2 },
  entries: 1000,
  records: 1234,
  tombstones: 34,
  undecodable: 0,
  lag: 0,
  partitions: 3,
  disconnected: 0
}

const picture: Picture = {
  title: "packages",
  columns: [
    { title: "PACKAGE", width: 0 },
    { title: "VERSION", width: 14 },
    { title: "DEPS", width: 4, align: "right" }
  ],
  table,
  rate: 12,
  rows: (limit) =>
    Array.from({ length: limit }, (_, i) => ({
      cells: [`package-${i}`, "1.0.0", String(i)],
      mark: i === 1 ? "changed" : undefined
    })),
  changes: [
    { kind: "changed", key: "package-1", detail: "0.9.0 → 1.0.0" },
    { kind: "removed", key: "left-pad", detail: "" }
  ],
  course: undefined,
  notice: undefined,
  hint: "Ctrl-C ends"
}

describe("the picture of a table", () => {
  it("fits every size of terminal", () => {
    for (let columns = 1; columns <= 200; columns += 7) {
      for (let rows = 1; rows <= 60; rows += 3) {
        const lines = render(picture, { columns, rows }, plain)
        assert.isAtMost(lines.length, rows, `${columns}x${rows}`)
        assert.isAtMost(Math.max(...lines.map(width)), columns, `${columns}x${rows}`)
      }
    }
  })

  it("tells status, catch-up, counts, rows and changes also without colour", () => {
    const text = render(picture, { columns: 80, rows: 24 }, plain).join("\n")
    assert.include(text, "● caught up")
    assert.include(text, "100 %  1,200 records replayed in 8.2 ms")
    assert.include(text, "1,000 entries · 1,234 records · 34 tombstones · lag 0 · 12 changes/s")
    assert.match(text, /^~ package-1 +1\.0\.0 +1$/m)
    assert.include(text, "~ package-1  0.9.0 → 1.0.0")
    assert.include(text, "- left-pad")
  })

  it("shows how far a catch-up is", () => {
    const loading: TableState = { ...table, status: "Loading", replayed: 300, catchUp: undefined }
    const text = render({ ...picture, table: loading }, { columns: 80, rows: 24 }, plain).join("\n")
    assert.match(text, /◌ loading {2}█{8}░{22} {2}25 % {2}300 of 1,200 offsets/)
  })

  it("drops columns where there is no room, never the first", () => {
    const lines = render(picture, { columns: 34, rows: 24 }, plain)
    assert.isTrue(lines.some((line) => /PACKAGE/.test(line)))
    assert.isFalse(lines.some((line) => /VERSION|DEPS/.test(line)))
  })
})
