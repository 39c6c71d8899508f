import type { Compression } from "./compression.ts"

export interface BatchRecord {
  /** Relative to the batch's base offset. */
  readonly offsetDelta: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | null }>
}

export interface BatchOptions {
  readonly baseOffset?: number
  readonly leaderEpoch?: number
  readonly compression?: Compression
  /** -1 without idempotence. */
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly isTransactional?: boolean
  readonly isControl?: boolean
  readonly isLogAppendTime?: boolean
  /** At least the last record's; larger where compaction removed the tail, and an empty batch keeps it. */
  readonly lastOffsetDelta?: number
}

export declare const encodeBatch: (records: ReadonlyArray<BatchRecord>, options?: BatchOptions) => Buffer
