/** Who wrote the newest records of a partition, so that an acknowledged record can be told from another at its offset. */
import type { WriteAck } from "../../WriteAck.ts"
import { producerIdOf } from "../records/batchFormat.ts"
import type { BatchListener } from "../records/batchReader.ts"

/** An acknowledgement that says where its record lies. */
export type PlacedAck = WriteAck & { readonly offset: number }

/** The most runs that are remembered, and the fewest that there is room for once there is one. */
const KEPT = 256
const FIRST_ROOM = 4

/** Numbers for each run: its first and last offset, the halves of its producer id, and two that `add` explains. */
const WIDTH = 6
const FIRST = 0
const LAST = 1
const PRODUCER_HIGH = 2
const PRODUCER_LOW = 3
const EPOCH_OR_EARLIEST = 4
const SEQUENCE_OR_LATEST = 5

/** Sequences go round to 0 after 2^31-1 (KIP-98). */
const SEQUENCES = 2147483648

/**
 * Batches that one producer wrote one after another are one run, so a partition with a single writer needs one. Memory is
 * taken as it is needed: most partitions of most tables are quiet.
 */
export class RecentBatches implements BatchListener {
  #runs: Float64Array | undefined
  /** Runs that were begun, and the oldest of them that is still there. */
  #count = 0
  #oldest = 0

  /** Where in `#runs` the run lies that was begun as the `nth`. */
  #at(nth: number): number {
    return (nth % KEPT) * WIDTH
  }

  /**
   * Takes a batch that follows those before it, or one that was read again. With a producer id, a run goes by epoch and by
   * the sequence of its first record; without, a batch is known by the times between which its records were written.
   */
  add(
    first: number,
    last: number,
    producerHigh: number,
    producerLow: number,
    producerEpoch: number,
    sequence: number,
    earliest: number,
    latest: number
  ): void {
    this.#forget(first)
    if (this.#count > this.#oldest && producerHigh >= 0) {
      const runs = this.#runs!
      const at = this.#at(this.#count - 1)
      if (
        runs[at + PRODUCER_LOW] === producerLow &&
        runs[at + PRODUCER_HIGH] === producerHigh &&
        runs[at + EPOCH_OR_EARLIEST] === producerEpoch &&
        runs[at + LAST]! + 1 === first &&
        (runs[at + SEQUENCE_OR_LATEST]! + first - runs[at + FIRST]!) % SEQUENCES === sequence
      ) {
        runs[at + LAST] = last
        return
      }
    }
    const runs = this.#roomFor(this.#count)
    const at = this.#at(this.#count++)
    this.#oldest = Math.max(this.#oldest, this.#count - KEPT)
    runs[at + FIRST] = first
    runs[at + LAST] = last
    runs[at + PRODUCER_HIGH] = producerHigh
    runs[at + PRODUCER_LOW] = producerLow
    runs[at + EPOCH_OR_EARLIEST] = producerHigh >= 0 ? producerEpoch : earliest
    runs[at + SEQUENCE_OR_LATEST] = producerHigh >= 0 ? sequence : latest
  }

  /** What was known from an offset on: it is being read again. */
  #forget(from: number): void {
    const runs = this.#runs
    while (this.#count > this.#oldest && runs !== undefined) {
      const at = this.#at(this.#count - 1)
      if (runs[at + LAST]! < from) return
      if (runs[at + FIRST]! < from) {
        runs[at + LAST] = from - 1
        return
      }
      this.#count--
    }
  }

  #roomFor(nth: number): Float64Array {
    const needed = Math.min(nth + 1, KEPT) * WIDTH
    const runs = this.#runs
    if (runs !== undefined && runs.length >= needed) return runs
    const next = new Float64Array(Math.min(KEPT * WIDTH, Math.max(FIRST_ROOM * WIDTH, needed * 2)))
    if (runs !== undefined) next.set(runs)
    this.#runs = next
    return next
  }

  /** Whether the acknowledged record lies at its offset; undefined where that was not read or is not remembered. */
  holds({ offset, producerEpoch, producerId, sequence, timestamp }: PlacedAck): boolean | undefined {
    const runs = this.#runs
    if (runs === undefined) return undefined
    for (let i = this.#count - 1; i >= this.#oldest; i--) {
      const at = this.#at(i)
      if (runs[at + LAST]! < offset) return undefined
      const first = runs[at + FIRST]!
      if (first > offset) continue
      const high = runs[at + PRODUCER_HIGH]!
      if (producerIdOf(high, runs[at + PRODUCER_LOW]!) !== BigInt(producerId ?? -1)) return false
      if (high < 0) {
        return runs[at + EPOCH_OR_EARLIEST]! <= timestamp && timestamp <= runs[at + SEQUENCE_OR_LATEST]!
      }
      return (
        runs[at + EPOCH_OR_EARLIEST] === producerEpoch &&
        (runs[at + SEQUENCE_OR_LATEST]! + (offset - first)) % SEQUENCES === sequence
      )
    }
    return undefined
  }

  /** Whether another run would drop the oldest. */
  get isFull(): boolean {
    return this.#count - this.#oldest >= KEPT
  }

  clear(): void {
    this.#runs = undefined
    this.#count = 0
    this.#oldest = 0
  }
}
