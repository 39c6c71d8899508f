/**
 * The log of one partition as a Kafka leader keeps it: offsets, leader epochs, producers and transactions, and each
 * broker's copy of the batches.
 *
 * No copy lags: what is appended is in all of them, and at once below the high watermark. They differ in what their
 * brokers' cleaners have left of them.
 */
import type { Isolation } from "../../KafkaClient.ts"
import { encodeControlBatch, patchBaseOffset } from "../records/batchWriter.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { Replica } from "./replica.ts"
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

interface Producer {
  epoch: number
  /** The last batches in log order: a broker remembers five. */
  recent: Array<{
    readonly first: number
    readonly last: number
    readonly baseOffset: number
    readonly timestamp: number
  }>
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
  /** By broker. */
  readonly replicas: ReadonlyMap<number, Replica>
  /** The leader's id; -1 without a leader. */
  leader: number
  startOffset = 0
  endOffset = 0
  leaderEpoch = 0
  /** First offsets of open transactions by producer, in that order. */
  readonly open = new Map<bigint, number>()
  private readonly producers = new Map<bigint, Producer>()
  /** The leader's copy; of the last leader where there is none. */
  private leading: Replica

  constructor(brokers: ReadonlyArray<number>, leader: number) {
    this.replicas = new Map(brokers.map((broker) => [broker, new Replica()]))
    this.leader = leader
    this.leading = this.replicas.get(leader)!
    this.leading.assign(0, 0)
  }

  get led(): Replica {
    return this.leading
  }

  get lastStableOffset(): number {
    for (const firstOffset of this.open.values()) return Math.max(firstOffset, this.startOffset)
    return this.endOffset
  }

  /** The end of what a reader may see. */
  endFor(isolation: Isolation): number {
    return isolation === "read_committed" ? this.lastStableOffset : this.endOffset
  }

  /** The first record that is stamped at a time or later, markers included, of those that a reader may see. */
  firstSince(time: number, isolation: Isolation): { readonly offset: number; readonly leaderEpoch: number } {
    for (const batch of this.leading.batches) {
      if (batch.maxTimestamp < time) continue
      for (const { offsetDelta, timestamp } of readRecords(batch)) {
        const offset = batch.baseOffset + offsetDelta
        if (timestamp < time || offset < this.startOffset) continue
        if (offset < this.endFor(isolation)) return { offset, leaderEpoch: batch.leaderEpoch }
        return { offset: -1, leaderEpoch: -1 }
      }
    }
    return { offset: -1, leaderEpoch: -1 }
  }

  /** A producer's batch, checked as a leader checks it. */
  append(records: Uint8Array, config: TopicConfig, now: number): Appended {
    const bytes = Buffer.from(records)
    if (!isWholeBatch(bytes)) {
      return firstBatchSize(bytes) < bytes.length && isWholeBatch(bytes.subarray(0, firstBatchSize(bytes)))
        ? refused(ErrorCode.INVALID_RECORD, "more than one batch in a produce request")
        : refused(ErrorCode.CORRUPT_MESSAGE, "not a whole record batch of format 2")
    }
    const batch = storedBatch(bytes)
    // The port names no transactional id, so no batch of it can belong to a transaction.
    if (batch.isTransactional) return refused(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, undefined)
    // In a broker's order: the place, the size, the bytes, the records.
    if (batch.baseOffset !== 0) {
      return refused(ErrorCode.INVALID_RECORD, `the base offset is ${batch.baseOffset}, not 0`)
    }
    if (bytes.length > Number(config.get("max.message.bytes"))) {
      return refused(ErrorCode.MESSAGE_TOO_LARGE, undefined)
    }
    if (!hasValidChecksum(bytes)) return refused(ErrorCode.CORRUPT_MESSAGE, undefined)
    const invalid = whyInvalid(batch, config)
    if (invalid !== undefined) return refused(ErrorCode.INVALID_RECORD, invalid)
    if (batch.producerId >= 0n) {
      const duplicate = this.findDuplicate(batch)
      if (duplicate !== undefined) {
        // A broker gives the time of the batch it has, also on topics whose records are not stamped.
        const { baseOffset, timestamp } = duplicate
        return { errorCode: 0, errorMessage: undefined, baseOffset, logAppendTime: timestamp }
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
    for (const replica of this.replicas.values()) {
      replica.batches.push(batch)
      replica.assign(batch.leaderEpoch, batch.baseOffset)
    }
    this.endOffset = batch.lastOffset + 1
    const firstOffset = this.remember(batch)
    if (firstOffset !== undefined && !isCommitMarker(batch)) {
      const span = { producerId: batch.producerId, firstOffset, lastOffset: batch.lastOffset }
      for (const replica of this.replicas.values()) replica.aborted = [...replica.aborted, span]
    }
    return batch
  }

  /** Ends a producer's transaction in this partition; without data of it, the marker stands alone. */
  mark(
    producer: { readonly producerId: bigint; readonly producerEpoch: number },
    type: "abort" | "commit",
    now: number
  ) {
    this.place(encodeControlBatch({ ...producer, baseOffset: 0, leaderEpoch: this.leaderEpoch, type, timestamp: now }))
  }

  /** The sequence with which a producer goes on here. */
  nextSequence(producerId: bigint, producerEpoch: number): number {
    const producer = this.producers.get(producerId)
    const last = producer?.epoch === producerEpoch ? producer.recent.at(-1)?.last : undefined
    return last === undefined ? 0 : addSequence(last, 1)
  }

  /** Another term begins at the log's end, led by a broker or by none. */
  elect(epoch: number, leader: number = this.leader): void {
    this.leaderEpoch = epoch
    this.leader = leader
    const elected = this.replicas.get(leader)
    if (elected !== undefined) this.leading = elected
    for (const replica of this.replicas.values())
      replica.assign(replica === elected ? epoch : undefined, this.endOffset)
  }

  /** Moves the start of the log; batches go as a whole. */
  deleteBefore(offset: number): void {
    this.startOffset = offset
    for (const replica of this.replicas.values()) replica.deleteBefore(offset)
  }

  /** Loses the batches that reach to an offset or beyond, as an unclean election does. */
  truncateTo(offset: number, newEpoch: number): void {
    let end = Math.min(offset, this.endOffset)
    for (const replica of this.replicas.values()) end = Math.min(end, replica.truncateTo(offset) ?? end)
    this.endOffset = end
    this.startOffset = Math.min(this.startOffset, this.endOffset)
    this.open.clear()
    this.producers.clear()
    for (const batch of this.leading.batches) this.remember(batch)
    this.elect(newEpoch)
  }

  private findDuplicate(batch: StoredBatch): Producer["recent"][number] | undefined {
    const producer = this.producers.get(batch.producerId)
    if (producer?.epoch !== batch.producerEpoch) return undefined
    const last = addSequence(batch.baseSequence, batch.count - 1)
    return producer.recent.find((known) => known.first === batch.baseSequence && known.last === last)
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

  /** Takes note of a producer's batch, and gives the first offset of the transaction that it ends, if it ends one. */
  private remember(batch: StoredBatch): number | undefined {
    if (batch.producerId < 0n) return undefined
    let producer = this.producers.get(batch.producerId)
    if (producer === undefined || producer.epoch !== batch.producerEpoch) {
      producer = { epoch: batch.producerEpoch, recent: [] }
      this.producers.set(batch.producerId, producer)
    }
    if (batch.isControl) {
      const firstOffset = this.open.get(batch.producerId)
      this.open.delete(batch.producerId)
      return firstOffset
    }
    const last = addSequence(batch.baseSequence, batch.lastOffset - batch.baseOffset)
    producer.recent.push({
      first: batch.baseSequence,
      last,
      baseOffset: batch.baseOffset,
      timestamp: batch.maxTimestamp
    })
    if (producer.recent.length > REMEMBERED_BATCHES) producer.recent.shift()
    if (batch.isTransactional && !this.open.has(batch.producerId)) this.open.set(batch.producerId, batch.baseOffset)
    return undefined
  }
}

const refused = (errorCode: number, errorMessage: string | undefined): Appended => ({
  errorCode,
  errorMessage,
  baseOffset: -1,
  logAppendTime: -1
})

/** Whether a broker that refuses a batch so tells where its log begins: only where it has looked at what the batch says. */
export const tellsLogStart = (errorCode: number): boolean =>
  errorCode === 0 ||
  errorCode === ErrorCode.INVALID_RECORD ||
  errorCode === ErrorCode.INVALID_PRODUCER_EPOCH ||
  errorCode === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER

/** What a leader's validation of a producer's batch finds wrong. */
const whyInvalid = (batch: StoredBatch, config: TopicConfig): string | undefined => {
  if (batch.isControl) return "clients are not allowed to write control records"
  if (batch.count <= 0 || batch.lastOffset !== batch.count - 1) return "the count of records is not that of offsets"
  if (batch.producerId >= 0n && batch.baseSequence < 0) return "the batch has a producer and no sequence"
  if (!isCompacted(config)) return undefined
  try {
    return readRecords(batch).some((record) => record.key === null)
      ? "a compacted topic cannot accept a record without a key"
      : undefined
  } catch (cause) {
    return `the records cannot be read: ${String(cause)}`
  }
}
