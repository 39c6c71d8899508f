/** Where absent keys were deleted: the last so many of them. */
import type { Place } from "./logContents.ts"
import { KeyIndex } from "../table/keyIndex.ts"

export class Graves<K> {
  #young = new KeyIndex<K, Place>()
  /** What was young before; given up as a whole once there are as many young ones again. */
  #old: KeyIndex<K, Place> | undefined
  #dug = 0
  #dugBefore = 0

  /** How many there are at most. */
  get size(): number {
    return this.#dug + this.#dugBefore
  }

  get(key: K): Place | undefined {
    return this.#young.get(key) ?? this.#old?.get(key)
  }

  /** @param most that are kept with certainty; up to twice as many are. */
  set(key: K, place: Place, most: number): void {
    if (this.#dug >= most) {
      this.#old = this.#young
      this.#dugBefore = this.#dug
      this.#young = new KeyIndex()
      this.#dug = 0
    }
    this.#dug++
    this.#young.set(key, place)
  }

  delete(key: K): void {
    this.#young.delete(key)
    this.#old?.delete(key)
  }
}
