/** Finds what belongs to a key: by its identity where the language can tell, else by its structure. */
import { keyText } from "./keyText.ts"
import { StructuralIndex } from "./structuralIndex.ts"

/**
 * V8 refuses a `Map` of more than 2 ** 24 entries, and counts deleted ones among them until they are half: no more than
 * this many are always safe.
 */
const MOST = 2 ** 23

export class KeyIndex<K, A extends {}> {
  readonly #most: number
  /** Takes new keys. */
  #newest = new Map<K, A>()
  /** Maps that were full once, and only lose keys. */
  #older: ReadonlyArray<Map<K, A>> = []
  /** Keys that are objects, by their texts. */
  #texts: KeyIndex<string, readonly [K, A]> | undefined
  /** Keys that are objects without a text. */
  #structural: StructuralIndex<K, A> | undefined

  /** @param most entries of a map. */
  constructor(most = MOST) {
    this.#most = most
  }

  get(key: K): A | undefined {
    if (typeof key === "object" && key !== null) {
      const text = keyText(key)
      if (text !== undefined) return this.#texts?.get(text)?.[1]
      return this.#structural?.get(key)
    }
    const found = this.#newest.get(key)
    return found !== undefined || this.#older.length === 0 ? found : this.#olderOf(key)?.get(key)
  }

  set(key: K, value: A): void {
    if (typeof key === "object" && key !== null) {
      const text = keyText(key)
      if (text === undefined) (this.#structural ??= new StructuralIndex()).set(key, value)
      else (this.#texts ??= new KeyIndex(this.#most)).set(text, [key, value])
      return
    }
    const older = this.#olderOf(key)
    if (older !== undefined) {
      older.set(key, value)
      return
    }
    if (this.#newest.size >= this.#most && !this.#newest.has(key)) {
      // A few keys that stay must not keep a map each.
      const roomy = this.#older.find(({ size }) => 2 * size <= this.#most)
      this.#older = [...this.#older.filter((map) => map !== roomy), this.#newest]
      this.#newest = roomy ?? new Map()
    }
    this.#newest.set(key, value)
  }

  delete(key: K): void {
    if (typeof key === "object" && key !== null) {
      const text = keyText(key)
      if (text !== undefined) this.#texts?.delete(text)
      else this.#structural?.delete(key)
      return
    }
    if (this.#newest.delete(key)) return
    const older = this.#olderOf(key)
    if (older === undefined) return
    older.delete(key)
    if (older.size === 0) this.#older = this.#older.filter((map) => map !== older)
  }

  /**
   * As the key stands in the index, where others may have to compare it again: it was compared with those beside it. A key
   * that is equal to it by identity or by its text may stand for it.
   */
  keyOf(key: K): K {
    if (this.#structural === undefined || typeof key !== "object" || key === null) return key
    return keyText(key) === undefined ? (this.#structural.keyOf(key) ?? key) : key
  }

  /** How many maps a look-up asks at worst. */
  get maps(): number {
    return this.#older.length + 1
  }

  #olderOf(key: K): Map<K, A> | undefined {
    for (const map of this.#older) if (map.has(key)) return map
    return undefined
  }

  /** Tolerates changes while it is walked: what is deleted before its turn is not visited, what is added may be. */
  *[Symbol.iterator](): Iterator<readonly [K, A]> {
    // Taken at the first step: maps come and go, but no key goes from one to another.
    for (const map of [...this.#older, this.#newest]) yield* map
    if (this.#texts !== undefined) for (const [, entry] of this.#texts) yield entry
    if (this.#structural !== undefined) yield* this.#structural
  }
}
