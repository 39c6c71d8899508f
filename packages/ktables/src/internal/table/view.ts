/** A table's contents as a standard map that nobody can write to. */
import type { Contents } from "./contents.ts"

export class TableView<K, V> implements ReadonlyMap<K, V> {
  readonly #cell: { readonly contents: Contents<K, V> }

  constructor(cell: { readonly contents: Contents<K, V> }) {
    this.#cell = cell
  }

  get size(): number {
    return this.#cell.contents.size
  }
  get(key: K): V | undefined {
    return this.#cell.contents.get(key)
  }
  has(key: K): boolean {
    return this.#cell.contents.has(key)
  }
  forEach(f: (value: V, key: K, map: ReadonlyMap<K, V>) => void, thisArg?: unknown): void {
    for (const [key, value] of this) f.call(thisArg, value, key, this)
  }
  *keys(): Generator<K, undefined> {
    for (const [key] of this) yield key
    return undefined
  }
  *values(): Generator<V, undefined> {
    for (const [, value] of this) yield value
    return undefined
  }
  entries(): Generator<[K, V], undefined> {
    return this.#cell.contents[Symbol.iterator]()
  }
  [Symbol.iterator](): Generator<[K, V], undefined> {
    return this.entries()
  }
  get [Symbol.toStringTag](): string {
    return "TableView"
  }
}
