/** A set of keys as `Equal` compares them: few in an array, since most such sets are small, and many in an index. */
import * as Equal from "effect/Equal"
import { KeyIndex } from "../table/keyIndex.ts"

/** Keys that are looked through one by one. */
const FEW = 8

export class KeySet<K> {
  #few: Array<K> | undefined = []
  #many: KeyIndex<K, true> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Of a key that is not in it. */
  add(key: K): void {
    this.#size++
    if (this.#few !== undefined) {
      this.#few.push(key)
      if (this.#few.length <= FEW) return
      this.#many = new KeyIndex()
      for (const one of this.#few) this.#many.set(one, true)
      this.#few = undefined
    } else this.#many!.set(key, true)
  }

  /** Of a key that is in it. */
  delete(key: K): void {
    this.#size--
    if (this.#few === undefined) return this.#many!.delete(key)
    const at = this.#few.findIndex((one) => Equal.equals(one, key))
    const last = this.#few.pop()!
    if (at < this.#few.length) this.#few[at] = last
  }

  /** It must not change meanwhile. */
  forEach(f: (key: K) => void): void {
    if (this.#few !== undefined) this.#few.forEach((key) => f(key))
    else for (const [key] of this.#many!) f(key)
  }
}
