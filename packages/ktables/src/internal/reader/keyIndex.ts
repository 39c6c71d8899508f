/** What a table finds its entries by: a key's number, by the key's identity where the language can tell, or by its structure. */
import { MutableHashMap, Option } from "effect"

/**
 * V8 refuses a `Map` of more than 2 ** 24 entries, and counts deleted ones among them until they are half: no more than
 * this many are always safe.
 */
const MOST = 2 ** 23

export class KeyIndex<K, A extends {}> {
  readonly #most: number
  /** Takes new keys. */
  #newest = new Map<K, A>()
  /** Full maps, which only lose keys. */
  #older: ReadonlyArray<Map<K, A>> = []
  #structural: MutableHashMap.MutableHashMap<K, A> | undefined

  /** @param most entries of a map. */
  constructor(most = MOST) {
    this.#most = most
  }

  get(key: K): A | undefined {
    if (typeof key === "object" && key !== null) {
      return this.#structural && Option.getOrUndefined(MutableHashMap.get(this.#structural, key))
    }
    const found = this.#newest.get(key)
    return found !== undefined || this.#older.length === 0 ? found : this.#olderOf(key)?.get(key)
  }

  set(key: K, value: A): void {
    if (typeof key === "object" && key !== null) {
      MutableHashMap.set((this.#structural ??= MutableHashMap.empty<K, A>()), key, value)
      return
    }
    const older = this.#olderOf(key)
    if (older !== undefined) {
      older.set(key, value)
      return
    }
    if (this.#newest.size >= this.#most && !this.#newest.has(key)) {
      this.#older = [...this.#older, this.#newest]
      this.#newest = new Map()
    }
    this.#newest.set(key, value)
  }

  delete(key: K): void {
    if (typeof key === "object" && key !== null) {
      if (this.#structural !== undefined) MutableHashMap.remove(this.#structural, key)
      return
    }
    if (this.#newest.delete(key)) return
    const older = this.#olderOf(key)
    if (older === undefined) return
    older.delete(key)
    if (older.size === 0) this.#older = this.#older.filter((map) => map !== older)
  }

  #olderOf(key: K): Map<K, A> | undefined {
    for (const map of this.#older) if (map.has(key)) return map
    return undefined
  }

  /** Tolerates changes while it is walked: what is deleted before its turn is not visited, what is added may be. */
  *[Symbol.iterator](): Iterator<readonly [K, A]> {
    // Taken now: maps come and go, but no key goes from one to another.
    for (const map of [...this.#older, this.#newest]) yield* map
    if (this.#structural !== undefined) yield* this.#structural
  }
}
