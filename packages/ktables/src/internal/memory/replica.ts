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
  /**
   * Ascending. A leader has an entry from its election on; a follower has those of the batches it has, and so none of an
   * epoch in which nothing was written.
   */
  epochs: ReadonlyArray<{ readonly epoch: number; readonly startOffset: number }> = []
  /** Where segments begin, but for the first one. */
  private segments: ReadonlyArray<number> = []

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
   * Batches of one segment from an offset up to a limit of bytes, the last one possibly cut short. `wholeFirst` returns the
   * first batch however large it is (KIP-74); without it, a first batch over the limit is left out.
   */
  read(options: {
    readonly from: number
    readonly to: number
    readonly maxBytes: number
    readonly wholeFirst: boolean
  }): { readonly slices: ReadonlyArray<Buffer>; readonly size: number } {
    const slices: Array<Buffer> = []
    let size = 0
    const end = this.segmentEnd(options.from)
    for (let i = this.indexOf(options.from); i < this.batches.length; i++) {
      const batch = this.batches[i]!
      const left = options.maxBytes - size
      // Deleted records may leave the last stable offset inside a batch, which is then not stable as a whole.
      if (batch.lastOffset >= options.to || batch.baseOffset >= end || (slices.length > 0 && left <= 0)) break
      const whole = batch.bytes.length <= left || (slices.length === 0 && options.wholeFirst)
      if (!whole && slices.length === 0) break
      const slice = whole ? batch.bytes : batch.bytes.subarray(0, left)
      slices.push(slice)
      size += slice.length
    }
    return { slices, size }
  }

  /** The aborted transactions that a reader from this offset may meet in one segment. */
  abortedFrom(offset: number): ReadonlyArray<AbortedTransaction> {
    const end = this.segmentEnd(offset)
    return this.aborted
      .filter((span) => span.lastOffset >= offset && span.firstOffset < end)
      .map(({ producerId, firstOffset }) => ({ producerId, firstOffset }))
  }

  /** Notes that an epoch begins at the end of the log, or that there is none there. */
  assign(epoch: number | undefined, startOffset: number): void {
    if (epoch === this.epochs.at(-1)?.epoch) return
    this.epochs = this.epochs.filter((entry) => entry.startOffset < startOffset)
    if (epoch !== undefined) this.epochs = [...this.epochs, { epoch, startOffset }]
  }

  /** KIP-101 and KIP-320: where the largest epoch that is not above the one asked for ends. */
  endOfEpoch(epoch: number, logEnd: number): { readonly epoch: number; readonly endOffset: number } {
    if (epoch >= 0 && epoch === this.epochs.at(-1)?.epoch) return { epoch, endOffset: logEnd }
    const higher = this.epochs.findIndex((entry) => entry.epoch > epoch)
    if (epoch < 0 || higher < 0) return { epoch: -1, endOffset: -1 }
    return { epoch: this.epochs[higher - 1]?.epoch ?? epoch, endOffset: this.epochs[higher]!.startOffset }
  }

  /** Begins another segment. */
  roll(offset: number): void {
    if (offset > (this.segments.at(-1) ?? 0)) this.segments = [...this.segments, offset]
  }

  /** Takes what a cleaner has left, up to an offset, as one segment. */
  join(offset: number): void {
    this.segments = this.segments.filter((base) => base >= offset)
  }

  /** Where the segment ends that holds the first batch which a reader from this offset gets. */
  private segmentEnd(offset: number): number {
    const first = this.batches[this.indexOf(offset)]?.baseOffset ?? offset
    return this.segments.find((base) => base > first) ?? Number.POSITIVE_INFINITY
  }

  /** Drops what lies below an offset, by whole batches: the one that holds the offset stays. */
  deleteBefore(offset: number): void {
    this.batches = this.batches.slice(this.indexOf(offset))
    this.aborted = this.aborted.filter((span) => span.lastOffset >= offset)
    const first = this.epochs.findLastIndex((entry) => entry.startOffset <= offset)
    this.epochs = this.epochs
      .slice(Math.max(first, 0))
      .map((entry) => ({ ...entry, startOffset: Math.max(entry.startOffset, offset) }))
  }

  /** Drops the batches that reach to an offset or beyond, and says where the first one of them began. */
  truncateTo(offset: number): number | undefined {
    const kept = this.batches.filter((batch) => batch.lastOffset < offset)
    const dropped = this.batches[kept.length]?.baseOffset
    this.batches = kept
    this.aborted = this.aborted.filter((span) => span.lastOffset < offset)
    this.segments = this.segments.filter((base) => base <= offset)
    this.epochs = this.epochs.filter(({ startOffset }) => startOffset < (dropped ?? offset))
    return dropped
  }
}
