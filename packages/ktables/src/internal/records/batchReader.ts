import type { AbortedTransaction } from "../../KafkaClient.ts"

/** What is wrong with a record set, and where. */
export interface BatchProblem {
  readonly kind: "Corrupt" | "UnsupportedMagic" | "UnsupportedCompression" | "CompressionUnavailable" | "OffsetTooLarge"
  /** The batch's base offset. */
  readonly offset: number
  /** What is wrong and, where a person can do something, what. */
  readonly detail: string
}

/** What the headers of a record set say, without looking into any batch. */
export interface RecordSetSummary {
  /** One past the last offset of the last whole batch; -1 when there is no whole batch. */
  readonly nextOffset: number
  /** The leader epoch of the last whole batch; -1 when unknown. */
  readonly lastEpoch: number
  /** Bytes of whole batches. */
  readonly wholeBytes: number
  /** Size in bytes of the first batch when even that one is cut short, else 0. */
  readonly firstBatchNeeds: number
}

export declare const summarize: (records: Buffer) => RecordSetSummary

/**
 * Walks the data records of a record set: control batches, aborted transactions and records below `fromOffset` are
 * passed over. `next()` moves to the next record and fills the fields in place; it returns false at the end or at a
 * problem, which `problem` then holds. It may be left and resumed at any record, so a caller can work in slices.
 */
export declare class RecordCursor {
  constructor(options: {
    readonly records: Buffer
    readonly fromOffset: number
    /** The answer's list, ordered by first offset or not; undefined to see aborted records too (read_uncommitted). */
    readonly abortedTransactions: ReadonlyArray<AbortedTransaction> | undefined
  })
  /** Holds the current record's bytes: the record set itself, or a batch's decompressed records. */
  buffer: Buffer
  offset: number
  /** Milliseconds since the epoch. */
  timestamp: number
  keyStart: number
  /** Bytes; -1 for a null key. */
  keyLength: number
  valueStart: number
  /** Bytes; -1 for a null value (a tombstone). */
  valueLength: number
  /** Of the current batch; -1 when none: -1, -1. With the record's place in the batch they name its sequence. */
  producerId: number
  producerEpoch: number
  /** The current record's sequence; -1 without idempotence. */
  sequence: number
  leaderEpoch: number
  problem: BatchProblem | undefined
  /** One past the last offset of the batches walked so far, control batches and emptied ones included. */
  nextOffset: number
  next(): boolean
}
