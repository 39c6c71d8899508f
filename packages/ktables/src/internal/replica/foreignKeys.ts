/** Tells a topic whose producers hash otherwise from one that has grown, by where its keys lie. */
import { hashOf } from "../records/partitioner.ts"
import type { Source } from "./source.ts"

/** Keys of a partition that are looked at. */
const SAMPLE = 64
/** With fewer such keys in it a topic is small, and chance too large. */
const LEAST = 32
/** The share of such keys by which a topic is taken for one of other producers; where all are, it is a fourth or more. */
const SHARE = 1 / 16

/**
 * Keys that lie outside their partitions. Partitions that were added explain each that lies where it belonged when there
 * were fewer. No former number explains a key of a producer that hashes otherwise, but by chance: of all keys some three in
 * eight are without an explanation then.
 */
export class ForeignKeys {
  readonly #partitions: number
  readonly #seen: Int32Array
  readonly #unexplained: Int32Array

  constructor(partitions: number) {
    this.#partitions = partitions
    this.#seen = new Int32Array(partitions)
    this.#unexplained = new Int32Array(partitions)
  }

  add({ keyBuffer, keyLength, keyStart, partition }: Source): void {
    if (this.#seen[partition]!++ >= SAMPLE) return
    const hash = hashOf(keyBuffer, keyStart, keyStart + keyLength)
    for (let partitions = partition + 1; partitions < this.#partitions; partitions++) {
      if (hash % partitions === partition) return
    }
    this.#unexplained[partition]!++
  }

  /** Whether the topic's producers hash otherwise, as far as so many keys can tell. */
  areMany(keys: number): boolean {
    let unexplained = 0
    for (let partition = 0; partition < this.#partitions; partition++) {
      const seen = this.#seen[partition]!
      if (seen > 0) unexplained += (seen * this.#unexplained[partition]!) / Math.min(seen, SAMPLE)
    }
    return unexplained >= LEAST && unexplained >= SHARE * keys
  }
}
