/** Where the entries of a source lie in the contents that are made of them, so that their keys need not be looked up again. */
import { grown } from "../bySlot.ts"
import type { Contents } from "../table/contents.ts"
import { type Absent, absent } from "./guarded.ts"
import { isSame } from "./isSame.ts"

/** Writes what a key comes to where it lies, or that nothing does; hands back where it lies then, and -1 for nowhere. */
export const writeAt = <K, V>(
  contents: Contents<K, V>,
  place: number,
  key: K,
  output: V | Absent,
  same: (a: V, b: V) => boolean = isSame
): number => {
  if (output === absent) {
    if (place >= 0) contents.deleteAt(place, key)
    return -1
  }
  if (place < 0) return contents.add(key, output)
  contents.updateAt(place, key, output, same)
  return place
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
  put<K, V>(contents: Contents<K, V>, slot: number, key: K, output: V | Absent, same?: (a: V, b: V) => boolean): void {
    const before = this.of(slot)
    const place = writeAt(contents, before, key, output, same)
    if (place !== before) this.set(slot, place)
  }

  /** @param place -1 where nothing is made of the entry any more. */
  set(slot: number, place: number): void {
    if (slot >= this.#slots.length) this.#slots = grown(this.#slots, slot + 1)
    this.#slots[slot] = place + 1
  }
  delete(slot: number): void {
    if (slot < this.#slots.length) this.#slots[slot] = 0
  }
}
