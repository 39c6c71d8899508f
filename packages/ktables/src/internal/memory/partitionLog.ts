/**
 * The log of one partition as a Kafka leader keeps it: batches, offsets, leader epochs, producers and transactions.
 *
 * There are no followers: what is appended is at once below the high watermark.
 */
import type { AbortedTransaction, Isolation } from "../../KafkaClient.ts"
import { encodeControlBatch, patchBaseOffset } from "../records/batchWriter.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import {
  firstBatchSize,
  hasValidChecksum,
  isCommitMarker,
  isWholeBatch,
  readRecords,
  stampLogAppendTime,
  type StoredBatch,
  storedBatch
} from "./storedBatch.ts"
import { isCompacted, type TopicConfig } from "./topicConfig.ts"

/** An aborted transaction with the offset of its marker, as the transaction index holds it. */
export interface AbortedSpan extends AbortedTransaction {
  readonly lastOffset: number
}

interface Producer {
  epoch: number
  /** The last batches in log order: a broker remembers five. */
  recent: Array<{ readonly first: number; readonly last: number; readonly baseOffset: number }>
}

export interface Appended {
  readonly errorCode: number
  readonly errorMessage: string | undefined
  readonly baseOffset: number
  readonly logAppendTime: number
}

const REMEMBERED_BATCHES = 5
const MAX_SEQUENCE = 2147483647

/** Sequences run from 0 to 2^31-1 and then begin again. */
export const addSequence = (sequence: number, count: number): number => (sequence + count) % (MAX_SEQUENCE + 1)

export class PartitionLog {
  batches: Array<StoredBatch> = []
  startOffset = 0
  endOffset = 0
  /** Ascending; the last one is the current leader's. */
  epochs: Array<{ readonly epoch: number; readonly startOffset: number }> = [{ epoch: 0, startOffset: 0 }]
  /** In the order of their markers. */
  aborted: ReadonlyArray<AbortedSpan> = []
  /** First offsets of open transactions by producer, in that order. */
  readonly open = new Map<number, number>()
  private readonly producers = new Map<number, Producer>()

  get leaderEpoch(): number {
    return this.epochs.at(-1)!.epoch
  }

  get lastStableOffset(): number {
    for (const firstOffset of this.open.values()) return Math.max(firstOffset, this.startOffset)
    return this.endOffset
  }

  /** The end of what a reader may see. */
  endFor(isolation: Isolation): number {
    return isolation === "read_committed" ? this.lastStableOffset : this.endOffset
  }

  /** A producer's batch, checked as a leader checks it. */
  append(records: Uint8Array, config: TopicConfig, now: number): Appended {
    const bytes = Buffer.from(records)
    if (!isWholeBatch(bytes)) {
      return firstBatchSize(bytes) < bytes.length && isWholeBatch(bytes.subarray(0, firstBatchSize(bytes)))
        ? refused(ErrorCode.INVALID_RECORD, "more than one batch in a produce request")
        : refused(ErrorCode.CORRUPT_MESSAGE, "not a whole record batch of format 2")
    }
    if (bytes.length > Number(config.get("max.message.bytes"))) {
      return refused(ErrorCode.MESSAGE_TOO_LARGE, `a batch of ${bytes.length} bytes`)
    }
    if (!hasValidChecksum(bytes)) return refused(ErrorCode.CORRUPT_MESSAGE, "the checksum is wrong")
    const batch = storedBatch(bytes)
    const invalid = whyInvalid(batch, config)
    if (invalid !== undefined) return refused(ErrorCode.INVALID_RECORD, invalid)
    // The port names no transactional id, so no batch of it can belong to a transaction.
    if (batch.isTransactional) return refused(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, undefined)
    if (batch.producerId >= 0) {
      const duplicate = this.findDuplicate(batch)
      if (duplicate !== undefined) {
        return { errorCode: 0, errorMessage: undefined, baseOffset: duplicate, logAppendTime: -1 }
      }
      const code = this.checkSequence(batch)
      if (code !== 0) return refused(code, undefined)
    }
    const stamped = config.get("message.timestamp.type") === "LogAppendTime"
    if (stamped) stampLogAppendTime(bytes, now)
    const stored = this.place(bytes)
    return {
      errorCode: 0,
      errorMessage: undefined,
      baseOffset: stored.baseOffset,
      logAppendTime: stamped ? now : -1
    }
  }

  /** Puts a batch at the log's end as it is. The bytes are the log's from then on. */
  place(bytes: Buffer): StoredBatch {
    patchBaseOffset(bytes, this.endOffset, this.leaderEpoch)
    const batch = storedBatch(bytes)
    this.batches.push(batch)
    this.endOffset = batch.lastOffset + 1
    this.remember(batch)
    return batch
  }

  /** Ends a producer's transaction in this partition; without data of it, the marker stands alone. */
  mark(
    producer: { readonly producerId: number; readonly producerEpoch: number },
    type: "abort" | "commit",
    now: number
  ) {
    this.place(encodeControlBatch({ ...producer, baseOffset: 0, leaderEpoch: this.leaderEpoch, type, timestamp: now }))
  }

  /** The sequence with which a producer goes on here. */
  nextSequence(producerId: number, producerEpoch: number): number {
    const producer = this.producers.get(producerId)
    const last = producer?.epoch === producerEpoch ? producer.recent.at(-1)?.last : undefined
    return last === undefined ? 0 : addSequence(last, 1)
  }

  /** The place in `batches` of the first one that ends at or behind an offset. */
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

  /** KIP-101 and KIP-320: where the largest epoch that is not above the one asked for ends. */
  endOfEpoch(epoch: number): { readonly epoch: number; readonly endOffset: number } {
    if (epoch === this.leaderEpoch) return { epoch, endOffset: this.endOffset }
    const higher = this.epochs.findIndex((entry) => entry.epoch > epoch)
    if (epoch < 0 || higher < 0) return { epoch: -1, endOffset: -1 }
    return { epoch: this.epochs[higher - 1]?.epoch ?? epoch, endOffset: this.epochs[higher]!.startOffset }
  }

  /** A new leader begins at the log's end. */
  elect(epoch: number): void {
    // An epoch in which nothing was written leaves no entry.
    this.epochs = this.epochs.filter((entry) => entry.startOffset < this.endOffset)
    this.epochs.push({ epoch, startOffset: this.endOffset })
  }

  /** Drops what lies below an offset, by whole batches: the one that holds the new start stays. */
  deleteBefore(offset: number): void {
    this.startOffset = offset
    this.batches = this.batches.slice(this.indexOf(offset))
    const first = this.epochs.findLastIndex((entry) => entry.startOffset <= offset)
    this.epochs = this.epochs
      .slice(Math.max(first, 0))
      .map((entry) => ({ ...entry, startOffset: Math.max(entry.startOffset, offset) }))
    this.aborted = this.aborted.filter((span) => span.lastOffset >= offset)
  }

  /** Loses the batches that reach to an offset or beyond, as an unclean election does. */
  truncateTo(offset: number, newEpoch: number): void {
    const kept = this.batches.filter((batch) => batch.lastOffset < offset)
    this.endOffset = Math.min(offset, this.endOffset, this.batches[kept.length]?.baseOffset ?? this.endOffset)
    this.startOffset = Math.min(this.startOffset, this.endOffset)
    const aborted = this.aborted.filter((span) => span.lastOffset < offset)
    this.batches = kept
    this.open.clear()
    this.producers.clear()
    for (const batch of kept) this.remember(batch)
    this.aborted = aborted
    this.elect(newEpoch)
  }

  /** Takes over what compaction left. */
  replace(batches: Array<StoredBatch>, aborted: ReadonlyArray<AbortedSpan>): void {
    this.batches = batches
    this.aborted = aborted
  }

  private findDuplicate(batch: StoredBatch): number | undefined {
    const producer = this.producers.get(batch.producerId)
    if (producer?.epoch !== batch.producerEpoch) return undefined
    const last = addSequence(batch.baseSequence, batch.count - 1)
    return producer.recent.find((known) => known.first === batch.baseSequence && known.last === last)?.baseOffset
  }

  private checkSequence(batch: StoredBatch): number {
    const producer = this.producers.get(batch.producerId)
    // A broker that knows nothing of a producer takes any first sequence: its batches may have been deleted.
    if (producer === undefined) return 0
    if (batch.producerEpoch < producer.epoch) return ErrorCode.INVALID_PRODUCER_EPOCH
    return batch.baseSequence === this.nextSequence(batch.producerId, batch.producerEpoch)
      ? 0
      : ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
  }

  private remember(batch: StoredBatch): void {
    if (batch.producerId < 0) return
    let producer = this.producers.get(batch.producerId)
    if (producer === undefined || producer.epoch !== batch.producerEpoch) {
      producer = { epoch: batch.producerEpoch, recent: [] }
      this.producers.set(batch.producerId, producer)
    }
    if (batch.isControl) {
      const firstOffset = this.open.get(batch.producerId)
      this.open.delete(batch.producerId)
      if (firstOffset !== undefined && !isCommitMarker(batch)) {
        this.aborted = [...this.aborted, { producerId: batch.producerId, firstOffset, lastOffset: batch.lastOffset }]
      }
      return
    }
    const last = addSequence(batch.baseSequence, batch.lastOffset - batch.baseOffset)
    producer.recent.push({ first: batch.baseSequence, last, baseOffset: batch.baseOffset })
    if (producer.recent.length > REMEMBERED_BATCHES) producer.recent.shift()
    if (batch.isTransactional && !this.open.has(batch.producerId)) this.open.set(batch.producerId, batch.baseOffset)
  }
}

const refused = (errorCode: number, errorMessage: string | undefined): Appended => ({
  errorCode,
  errorMessage,
  baseOffset: -1,
  logAppendTime: -1
})

/** What a leader's validation of a producer's batch finds wrong. */
const whyInvalid = (batch: StoredBatch, config: TopicConfig): string | undefined => {
  if (batch.baseOffset !== 0) return `the base offset is ${batch.baseOffset}, not 0`
  if (batch.isControl) return "clients are not allowed to write control records"
  if (batch.count <= 0 || batch.lastOffset !== batch.count - 1) return "the count of records is not that of offsets"
  if (batch.producerId >= 0 && batch.baseSequence < 0) return "the batch has a producer and no sequence"
  if (!isCompacted(config)) return undefined
  try {
    return readRecords(batch).some((record) => record.key === null)
      ? "a compacted topic cannot accept a record without a key"
      : undefined
  } catch (cause) {
    return `the records cannot be read: ${String(cause)}`
  }
}
