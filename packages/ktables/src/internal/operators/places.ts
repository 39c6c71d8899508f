/** Where the entries of a source lie in the contents that are made of them, so that their keys need not be looked up again. */
import type { Contents } from "../table/contents.ts"
import { type Absent, absent } from "./guarded.ts"
import { isSame } from "./isSame.ts"

const doubled = (slots: Int32Array, least: number) => {
  const next = new Int32Array(Math.max(2 * slots.length, least))
  next.set(slots)
  return next
}

/** By the slots of the source's entries: most of what an operator is asked about is in it, and it is small. */
export class Places {
  /** One above the place; 0 where there is none. */
  #slots = new Int32Array(16)

  /** The slot of what was made of the entry; -1 where nothing was. */
  of(slot: number): number {
    return slot < this.#slots.length ? this.#slots[slot]! - 1 : -1
  }
  /** Writes what comes of the source's entry, or that nothing does. */
  put<K, V>(
    contents: Contents<K, V>,
    slot: number,
    key: K,
    output: V | Absent,
    same: (a: V, b: V) => boolean = isSame
  ): void {
    const place = this.of(slot)
    if (output !== absent) {
      if (place >= 0) contents.updateAt(place, key, output, same)
      else this.set(slot, contents.add(key, output))
    } else if (place >= 0) {
      contents.deleteAt(place, key)
      this.delete(slot)
    }
  }

  set(slot: number, place: number): void {
    if (slot >= this.#slots.length) this.#slots = doubled(this.#slots, slot + 1)
    this.#slots[slot] = place + 1
  }
  delete(slot: number): void {
    if (slot < this.#slots.length) this.#slots[slot] = 0
  }
}
