import { assert, describe, it } from "@effect/vitest"
import { HashMap, Option } from "effect"
import type { TableChange } from "effect-ktables/TableChange"
import type { Entry } from "../src/internal/entries.ts"
import { type Change, Follower } from "../src/internal/follower.ts"

const entryOf = (key: string, offset: number): Entry => ({
  key: Buffer.from(key),
  value: Buffer.from(String(offset)),
  partition: 0,
  offset,
  timestamp: -1,
  headers: []
})

const snapshot = (contents: ReadonlyMap<string, number>, resync: boolean): TableChange<Uint8Array, Entry> => ({
  _tag: "Snapshot",
  entries: HashMap.fromIterable(
    Array.from(contents, ([key, offset]) => {
      const entry = entryOf(key, offset)
      return [entry.key, entry] as const
    })
  ),
  resync
})

/** What somebody knows who has read the lines. */
const read = (known: Map<string, number>, changes: ReadonlyArray<Change>): void => {
  for (const change of changes) {
    if (change._tag === "Deleted") known.delete(Buffer.from(change.key).toString())
    else if (change._tag !== "Complete") known.set(Buffer.from(change.entry.key).toString(), change.entry.offset)
  }
}

/** Numbers below a bound, the same for the same seed. */
const random = (seed: number) => (bound: number) => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff
  return (seed >>> 8) % bound
}

describe("a follower", () => {
  for (const seed of [1, 2, 3, 4, 5]) {
    it(`is shown what the table has, through random changes and snapshots after some that were missed (seed ${seed})`, () => {
      const next = random(seed)
      const all = new Follower([])
      const some = new Follower([Buffer.from("1"), Buffer.from("3")])
      const table = new Map<string, number>()
      const [knownAll, knownSome] = [new Map<string, number>(), new Map<string, number>()]
      let isBehind = true
      for (let offset = 0; offset < 500; offset++) {
        const key = String(next(6))
        const previous = table.get(key)
        let change: TableChange<Uint8Array, Entry> | undefined
        if (next(3) === 0) {
          table.delete(key)
          if (previous !== undefined) {
            change = { _tag: "Deleted", key: Buffer.from(key), previous: entryOf(key, previous) }
          }
        } else {
          table.set(key, offset)
          const value = entryOf(key, offset)
          change = { _tag: "Set", key: value.key, value, previous: Option.none() }
        }
        if (next(20) === 0) isBehind = true
        if (isBehind && next(5) > 0) continue
        if (isBehind) change = snapshot(table, offset > 0)
        isBehind = false
        if (change === undefined) continue
        read(knownAll, all.apply(change))
        read(knownSome, some.apply(change))
        assert.deepStrictEqual(new Map([...knownAll].sort()), new Map([...table].sort()))
        const wanted = [...table].filter(([key]) => key === "1" || key === "3")
        assert.deepStrictEqual(new Map([...knownSome].sort()), new Map(wanted.sort()))
        assert.strictEqual(some.size, wanted.length)
      }
    })
  }

  it("is not shown again, by a fresh snapshot, what it was shown", () => {
    const follower = new Follower([])
    const contents = new Map([
      ["a", 0],
      ["b", 1]
    ])
    assert.deepStrictEqual(
      follower.apply(snapshot(contents, false)).map(({ _tag }) => _tag),
      ["Entry", "Entry", "Complete"]
    )
    assert.deepStrictEqual(follower.apply(snapshot(contents, true)), [])
  })
})
