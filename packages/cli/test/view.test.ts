import { assert, describe, it } from "@effect/vitest"
import { HashMap } from "effect"
import type { Entry } from "../src/internal/entries.ts"
import { type Change, Follower } from "../src/internal/follower.ts"
import { RecentRows } from "../src/internal/recentRows.ts"
import { frame, screen } from "../src/internal/view.ts"
import { shownBy } from "./support/screen.ts"

const names = { key: "string", value: "json" } as const

const entryOf = (key: Uint8Array | string, value: string, offset = 0): Entry => ({
  key: Buffer.from(key),
  value: Buffer.from(value),
  partition: 0,
  offset,
  timestamp: -1,
  headers: []
})

/** Rows that began with these entries, and were shown these changes after it. */
const rowsOf = (entries: ReadonlyArray<Entry>, changes: ReadonlyArray<Change> = []): RecentRows => {
  const rows = new RecentRows()
  const follower = new Follower([])
  const contents = HashMap.fromIterable(entries.map((entry) => [entry.key, entry] as const))
  const begun = follower.apply({ _tag: "Snapshot", entries: contents, resync: false })
  for (const change of [...begun, ...changes]) rows.show(change, follower, 1000)
  return rows
}

const drawn = (rows: RecentRows, size: number, options: { width?: number; room?: number; now?: number } = {}) => {
  const { width = 60, room = 10, now = 10_000 } = options
  return frame(names, { topic: "t", status: "live", size, rows: rows.newest(room), now, width, color: false })
}

describe("a view", () => {
  it("has a row for each key, by its bytes, though two are shown alike", () => {
    const rows = rowsOf([entryOf(Uint8Array.of(0xff), "1"), entryOf("(not string) ff", "2")])
    assert.strictEqual(rows.newest(10).length, 2)
    assert.deepStrictEqual(rowsOf([entryOf("k", "1"), entryOf("l", "2")]).newest(0), [])
  })

  it("counts as shown what is there, not what was deleted", () => {
    const deleted: Change = { _tag: "Deleted", key: Buffer.from("a") }
    const rows = rowsOf([entryOf("a", "1"), entryOf("b", "2", 1), entryOf("c", "3", 2)], [deleted])
    assert.strictEqual(drawn(rows, 2)[0], "t: live, 2 entries")
    assert.strictEqual(drawn(rows, 2, { room: 2 })[0], "t: live, 2 entries, the newest 1 shown")
  })

  it("draws a line that is as wide as the terminal whole, and over a longer screen", () => {
    const wide = entryOf("key", JSON.stringify("x".repeat(100)))
    const lines = drawn(rowsOf([wide]), 1, { width: 40 })
    assert.strictEqual(lines[3]!.length, 40)
    const before = screen([...lines, "old", "older", "oldest"], 8)
    assert.deepStrictEqual(shownBy(40, 8, before, screen(lines, 8)), [...lines, "", "", "", ""])
    assert.deepStrictEqual(shownBy(40, 4, screen(lines, 4), screen(lines, 4)), lines)
  })

  it("leaves room for a value beside a long key", () => {
    const lines = drawn(rowsOf([entryOf("k".repeat(500), '"value"')]), 1)
    assert.isTrue(lines[3]!.endsWith('"value"'), lines[3])
  })

  it("neither measures nor reads a megabyte again for every drawing", () => {
    const rows = rowsOf(Array.from({ length: 10 }, (_, i) => entryOf(`k${i}`, JSON.stringify("ä".repeat(500_000)), i)))
    const first = process.cpuUsage()
    drawn(rows, 10)
    const made = process.cpuUsage(first)
    // To measure the whole of them takes seconds.
    assert.isBelow(made.user / 1000, 400)
    const again = process.cpuUsage()
    for (let i = 0; i < 20; i++) drawn(rows, 10, { now: 10_000 + i })
    assert.isBelow(process.cpuUsage(again).user / 1000, 400)
  })
})
