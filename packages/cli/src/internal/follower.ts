/**
 * What a watcher has been shown, so that a fresh snapshot reaches it as the difference: no line is missing and none is said
 * twice, however slowly it reads.
 */
import type { TableChange } from "effect-ktables/TableChange"
import { HashMap } from "effect"
import { byKey, type Entry, idOf } from "./entries.ts"

export type Change =
  | { readonly _tag: "Entry"; readonly entry: Entry }
  | { readonly _tag: "Complete"; readonly entries: number }
  | { readonly _tag: "Set"; readonly entry: Entry }
  | { readonly _tag: "Deleted"; readonly key: Uint8Array }

const isSame = (a: Entry, b: Entry): boolean => a.offset === b.offset && a.partition === b.partition

export class Follower {
  readonly #keys: ReadonlySet<string> | undefined
  /** Undefined before the first snapshot. */
  #shown: Map<string, Entry> | undefined

  /** Follows all keys where none are named. */
  constructor(keys: ReadonlyArray<Uint8Array>) {
    this.#keys = keys.length === 0 ? undefined : new Set(keys.map(idOf))
  }

  get size(): number {
    return this.#shown?.size ?? 0
  }

  get entries(): Iterable<Entry> {
    return this.#shown?.values() ?? []
  }

  /** What there is to show of a change. */
  apply(change: TableChange<Uint8Array, Entry>): ReadonlyArray<Change> {
    if (change._tag === "Snapshot") return this.#replace(HashMap.values(change.entries))
    const id = idOf(change.key)
    if (this.#shown === undefined || !this.#follows(id)) return []
    if (change._tag === "Deleted") {
      this.#shown.delete(id)
      return [{ _tag: "Deleted", key: change.key }]
    }
    this.#shown.set(id, change.value)
    return [{ _tag: "Set", entry: change.value }]
  }

  #follows(id: string): boolean {
    return this.#keys === undefined || this.#keys.has(id)
  }

  #replace(entries: Iterable<Entry>): ReadonlyArray<Change> {
    const before = this.#shown
    const next = new Map<string, Entry>()
    for (const entry of entries) {
      const id = idOf(entry.key)
      if (this.#follows(id)) next.set(id, entry)
    }
    this.#shown = next
    const sorted = [...next].sort(([, a], [, b]) => byKey(a, b))
    if (before === undefined) {
      const shown = sorted.map(([, entry]): Change => ({ _tag: "Entry", entry }))
      return [...shown, { _tag: "Complete", entries: next.size }]
    }
    const changes: Array<Change> = []
    for (const [id, { key }] of before) if (!next.has(id)) changes.push({ _tag: "Deleted", key })
    for (const [id, entry] of sorted) {
      const old = before.get(id)
      if (old === undefined || !isSame(old, entry)) changes.push({ _tag: "Set", entry })
    }
    return changes
  }
}
