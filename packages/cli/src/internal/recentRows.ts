/**
 * The rows of a view: one for each key, by its bytes, with those that changed last on top.
 */
import { cell, type Entry, idOf, type Names } from "./entries.ts"
import type { Change, Follower } from "./follower.ts"
import { beginning } from "./output.ts"

/** Rows that are kept: more than a screen has. */
const ROWS = 500

/** Columns for which a cell is kept: no terminal has more. */
const WIDEST = 1000

/** A key with its newest record. Its cells are made when they are first shown, and once: a value may be large. */
export class Row {
  readonly key: Uint8Array
  /** Undefined once it is deleted. */
  readonly entry: Entry | undefined
  /** When this was noticed, in milliseconds since the epoch; -1 where it was there at the beginning. */
  readonly changedAt: number
  #cells: { readonly key: string; readonly value: string } | undefined

  constructor(key: Uint8Array, entry: Entry | undefined, changedAt: number) {
    this.key = key
    this.entry = entry
    this.changedAt = changedAt
  }

  /** The beginnings of what there is to show. */
  cells(names: Names): { readonly key: string; readonly value: string } {
    this.#cells ??= {
      key: beginning(cell(names.key, this.key), WIDEST),
      value: this.entry === undefined ? "(deleted)" : beginning(cell(names.value, this.entry.value), WIDEST)
    }
    return this.#cells
  }
}

export class RecentRows {
  /** By key, the newest last. */
  readonly #rows = new Map<string, Row>()

  /** So many of them, the newest first. */
  newest(count: number): ReadonlyArray<Row> {
    return count === 0 ? [] : [...this.#rows.values()].slice(-count).toReversed()
  }

  /** Takes what a follower was shown. */
  show(change: Change, follower: Follower, now: number): void {
    if (change._tag === "Complete") this.#begin(follower)
    else if (change._tag === "Set") this.#put(new Row(change.entry.key, change.entry, now))
    else if (change._tag === "Deleted") this.#put(new Row(change.key, undefined, now))
  }

  #begin(follower: Follower): void {
    const newest = [...follower.entries].sort((a, b) => b.timestamp - a.timestamp || b.offset - a.offset).slice(0, ROWS)
    for (const entry of newest.toReversed()) this.#put(new Row(entry.key, entry, -1))
  }

  #put(row: Row): void {
    const id = idOf(row.key)
    this.#rows.delete(id)
    this.#rows.set(id, row)
    if (this.#rows.size <= ROWS) return
    for (const oldest of this.#rows.keys()) {
      this.#rows.delete(oldest)
      break
    }
  }
}
