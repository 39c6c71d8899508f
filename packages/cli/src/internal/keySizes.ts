/**
 * How much of a log is alive, in a memory of fixed size: the size of each key's last record, of all keys while they are few, and of
 * a share of them, chosen by their hashes, where they are many.
 */

/** Keys that are kept at most. */
const KEPT = 65_536

const RANGE = 2 ** 32

/** FNV-1a, from a start that makes another hash of it. */
const hash = (bytes: Uint8Array, start: number): number => {
  let h = start
  for (const byte of bytes) h = Math.imul(h ^ byte, 0x01000193)
  // Its upper bits depend little on the last bytes.
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  return (h ^ (h >>> 13)) >>> 0
}

export class KeySizes {
  /** Two hashes in one number stand for a key: two keys of the same would only be an error of the estimate. */
  readonly #sizes = new Map<number, number>()
  #below = RANGE

  /** A tombstone has no size. */
  add(key: Uint8Array, size: number | undefined): void {
    const chosen = hash(key, 0x811c9dc5)
    if (chosen >= this.#below) return
    const id = chosen * 2 ** 21 + (hash(key, 0x1234567) & 0x1fffff)
    if (size === undefined) this.#sizes.delete(id)
    else this.#sizes.set(id, size)
    while (this.#sizes.size > KEPT) {
      this.#below /= 2
      for (const kept of this.#sizes.keys()) if (kept >= this.#below * 2 ** 21) this.#sizes.delete(kept)
    }
  }

  /** Exact where `isExact`, else an estimate. */
  get keys(): number {
    return Math.round((this.#sizes.size * RANGE) / this.#below)
  }

  get bytes(): number {
    let sum = 0
    for (const size of this.#sizes.values()) sum += size
    return Math.round((sum * RANGE) / this.#below)
  }

  get isExact(): boolean {
    return this.#below === RANGE
  }
}
