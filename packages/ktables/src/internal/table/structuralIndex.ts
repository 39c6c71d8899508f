/**
 * Finds what belongs to a key by `Equal` and `Hash` alone, which may be anybody's code.
 *
 * A key that is looked for is compared with all of its hash, each way round, and Effect remembers what came of it. So whoever
 * looks for a key that is there later, or in another index with the same keys, asks nobody again: what throws does so where a
 * key is looked for first.
 */
import * as Equal from "effect/Equal"
import * as Hash from "effect/Hash"

export class StructuralIndex<K, A extends {}> {
  readonly #entries = new Map<K, A>()
  readonly #byHash = new Map<number, Array<K>>()

  /** The key as it stands here. */
  keyOf(key: K): K | undefined {
    let found: K | undefined
    for (const other of this.#byHash.get(Hash.hash(key)) ?? []) {
      const isEqual = Equal.equals(key, other)
      Equal.equals(other, key)
      if (isEqual) found ??= other
    }
    return found
  }

  get(key: K): A | undefined {
    const found = this.keyOf(key)
    return found === undefined ? undefined : this.#entries.get(found)
  }

  set(key: K, value: A): void {
    const found = this.keyOf(key)
    if (found === undefined) {
      const hash = Hash.hash(key)
      const others = this.#byHash.get(hash)
      if (others === undefined) this.#byHash.set(hash, [key])
      else others.push(key)
    }
    this.#entries.set(found ?? key, value)
  }

  delete(key: K): void {
    const found = this.keyOf(key)
    if (found === undefined) return
    this.#entries.delete(found)
    const hash = Hash.hash(found)
    const others = this.#byHash.get(hash)!
    if (others.length === 1) this.#byHash.delete(hash)
    else others.splice(others.indexOf(found), 1)
  }

  /** Tolerates changes while it is walked: what is deleted before its turn is not visited, what is added may be. */
  [Symbol.iterator](): Iterator<readonly [K, A]> {
    return this.#entries[Symbol.iterator]()
  }
}
