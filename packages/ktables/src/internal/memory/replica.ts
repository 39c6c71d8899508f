/**
 * One broker's copy of a partition's log. What is appended reaches every copy; what the cleaner leaves of it differs, since
 * each broker compacts on its own.
 */
import type { AbortedTransaction } from "../../KafkaClient.ts"
import type { StoredBatch } from "./storedBatch.ts"

/** An aborted transaction with the offset of its marker, as the transaction index holds it. */
export interface AbortedSpan extends AbortedTransaction {
  readonly lastOffset: number
}

export class Replica {
  batches: Array<StoredBatch> = []
  /** In the order of their markers. */
  aborted: ReadonlyArray<AbortedSpan> = []

  /** The place in `batches` of the first one that ends at an offset or after it. */
  indexOf(offset: number): number {
    let low = 0
    let high = this.batches.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.batches[middle]!.lastOffset < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  /**
   * Batches from an offset up to a limit of bytes, the last one possibly cut short. `wholeFirst` returns the first batch
   * however large it is (KIP-74); without it, a first batch over the limit is left out.
   */
  read(options: {
    readonly from: number
    readonly to: number
    readonly maxBytes: number
    readonly wholeFirst: boolean
  }): { readonly slices: ReadonlyArray<Buffer>; readonly size: number } {
    const slices: Array<Buffer> = []
    let size = 0
    for (let i = this.indexOf(options.from); i < this.batches.length; i++) {
      const batch = this.batches[i]!
      const left = options.maxBytes - size
      // Deleted records may leave the last stable offset inside a batch, which is then not stable as a whole.
      if (batch.lastOffset >= options.to || (slices.length > 0 && left <= 0)) break
      const whole = batch.bytes.length <= left || (slices.length === 0 && options.wholeFirst)
      if (!whole && slices.length === 0) break
      const slice = whole ? batch.bytes : batch.bytes.subarray(0, left)
      slices.push(slice)
      size += slice.length
    }
    return { slices, size }
  }

  /** The aborted transactions that a reader from this offset may meet. */
  abortedFrom(offset: number): ReadonlyArray<AbortedTransaction> {
    return this.aborted
      .filter((span) => span.lastOffset >= offset)
      .map(({ producerId, firstOffset }) => ({ producerId, firstOffset }))
  }

  /** Drops what lies below an offset, by whole batches: the one that holds the offset stays. */
  deleteBefore(offset: number): void {
    this.batches = this.batches.slice(this.indexOf(offset))
    this.aborted = this.aborted.filter((span) => span.lastOffset >= offset)
  }

  /** Drops the batches that reach to an offset or beyond, and says where the first one of them began. */
  truncateTo(offset: number): number | undefined {
    const kept = this.batches.filter((batch) => batch.lastOffset < offset)
    const dropped = this.batches[kept.length]?.baseOffset
    this.batches = kept
    this.aborted = this.aborted.filter((span) => span.lastOffset < offset)
    return dropped
  }
}
