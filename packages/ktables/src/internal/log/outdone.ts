/**
 * Records that were passed over, since their key's own partition has one: writers that did not know yet that the topic had
 * grown wrote them. Whoever waits for such a write would wait for something that is never to be read.
 */

/** Offsets before the newest of a partition for which it is remembered. */
const WINDOW = 16_384

interface Passed {
  /** The partition that counts, by offset. */
  readonly owners: Map<number, number>
  newest: number
  /** How many there may be until those that are too old are dropped. */
  limit: number
}

export class Outdone {
  readonly #passed = new Map<number, Passed>()

  /** The record at this place does not count: that of partition `owner` does. */
  add(partition: number, offset: number, owner: number): void {
    let passed = this.#passed.get(partition)
    if (passed === undefined) {
      this.#passed.set(partition, (passed = { owners: new Map(), newest: offset, limit: WINDOW }))
    }
    if (offset > passed.newest) passed.newest = offset
    const oldest = passed.newest - WINDOW
    if (offset < oldest) return
    passed.owners.set(offset, owner)
    if (passed.owners.size < passed.limit) return
    for (const known of passed.owners.keys()) if (known < oldest) passed.owners.delete(known)
    passed.limit = passed.owners.size + WINDOW
  }

  /** It counts after all. */
  remove(partition: number, offset: number): void {
    this.#passed.get(partition)?.owners.delete(offset)
  }

  /** The partition whose record counts instead; undefined where that is not known of the record. */
  ownerOf(partition: number, offset: number): number | undefined {
    return this.#passed.get(partition)?.owners.get(offset)
  }

  clear(): void {
    this.#passed.clear()
  }
}
