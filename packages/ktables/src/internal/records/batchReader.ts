/**
 * Reads the record sets of fetch answers: record batches of format v2 (https://kafka.apache.org/documentation/#recordbatch)
 * and, through `legacyMessages`, what came before them. Every record of every table passes here, so the loop allocates
 * nothing: a cursor moves over the bytes and shows where the current record's parts lie.
 */
import type { AbortedTransaction } from "../../KafkaClient.ts"
import { AbortedTransactions } from "./abortedTransactions.ts"
import {
  ATTRIBUTES,
  BASE_SEQUENCE,
  BASE_TIMESTAMP,
  BATCH_LENGTH,
  COMPRESSION_MASK,
  CONTROL_ABORT,
  CONTROL_COMMIT,
  CONTROL_FLAG,
  CRC,
  LAST_OFFSET_DELTA,
  LEADER_EPOCH,
  LOG_APPEND_TIME_FLAG,
  LOG_OVERHEAD,
  MAGIC,
  MAX_TIMESTAMP,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  producerIdOf,
  readInt16,
  readInt32,
  readInt64,
  RECORD_COUNT,
  RECORDS,
  TRANSACTIONAL_FLAG
} from "./batchFormat.ts"
import { compressionOf, decompress, MAX_DECOMPRESSED } from "./compression.ts"
import { crc32c } from "./crc32c.ts"
import { readLegacyBatch } from "./legacyMessages.ts"
import type { RecordWalk } from "./recordWalk.ts"

/** What is wrong with a record set, and where. */
export interface BatchProblem {
  readonly kind:
    | "Corrupt"
    | "UnsupportedMagic"
    | "UnsupportedCompression"
    | "CompressionUnavailable"
    | "BatchTooLarge"
    | "OffsetTooLarge"
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

/**
 * Says where the next fetch goes on before any record is looked at. Headers are taken at their word here, so what it says
 * counts only once a cursor has walked the record set without a problem; it ends before a batch whose header cannot be true,
 * and where `until` is reached.
 */
export const summarize = (records: Buffer, until = Number.POSITIVE_INFINITY): RecordSetSummary => {
  let nextOffset = -1
  let lastEpoch = -1
  let p = 0
  while (p + MAGIC < records.length && nextOffset < until) {
    const end = p + LOG_OVERHEAD + readInt32(records, p + BATCH_LENGTH)
    const magic = records[p + MAGIC]!
    if (end > records.length || end <= p + MAGIC || magic > 2 || (magic === 2 && end < p + RECORDS)) break
    const baseOffset = readInt64(records, p)
    const last = magic === 2 ? baseOffset + readInt32(records, p + LAST_OFFSET_DELTA) : baseOffset
    if (baseOffset < 0 || baseOffset < nextOffset || last < baseOffset || last >= Number.MAX_SAFE_INTEGER) break
    nextOffset = last + 1
    lastEpoch = magic === 2 ? readInt32(records, p + LEADER_EPOCH) : -1
    p = end
  }
  return { nextOffset, lastEpoch, wholeBytes: p, firstBatchNeeds: p === 0 ? needs(records) : 0 }
}

/** Of a record set whose first batch is not whole: its size, at least a header's where not even that is there. */
const needs = (records: Buffer): number => {
  if (records.length === 0) return 0
  if (records.length < LOG_OVERHEAD) return RECORDS
  const size = LOG_OVERHEAD + readInt32(records, BATCH_LENGTH)
  return size > records.length ? size : 0
}

/** Learns of batches as they are entered. */
export interface BatchListener {
  /**
   * Of format v2: its offsets, its producer, and the times between which its records were written, any where that is
   * unknown. A producer id comes as its two halves, of which the upper one is negative without a producer.
   */
  readonly add: (
    first: number,
    last: number,
    producerHigh: number,
    producerLow: number,
    producerEpoch: number,
    baseSequence: number,
    earliest: number,
    latest: number
  ) => void
}

const MAX_INT32 = 0x7fffffff

/** A signed varint of up to 64 bits; NaN where it runs past `end` or is longer. Exact up to 2^53-1. */
const readVarlong = (bytes: Buffer, start: number, end: number): number => {
  let zigzag = 0
  let scale = 1
  for (let p = start; p < end && p < start + 7; p++) {
    const byte = bytes[p]!
    zigzag += (byte & 127) * scale
    if (byte < 128) return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2
    scale *= 128
  }
  let long = 0n
  for (let p = start; p < end && p < start + 10; p++) {
    const byte = bytes[p]!
    long |= BigInt(byte & 127) << BigInt(7 * (p - start))
    if (byte < 128) return Number(BigInt.asIntN(64, (long >> 1n) ^ -(long & 1n)))
  }
  return NaN
}

/** The place behind a varint, perhaps past `end`. */
const skipVarint = (bytes: Buffer, start: number, end: number): number => {
  let p = start
  while (p < end && bytes[p]! > 127) p++
  return p + 1
}

/** The type in the key of a control batch's first record, behind a version of two bytes; -1 where there is none. */
const readControlType = (bytes: Buffer, start: number, end: number): number => {
  let p = skipVarint(bytes, start, end) + 1
  p = skipVarint(bytes, p, end)
  p = skipVarint(bytes, p, end)
  if (p >= end || bytes[p]! > 127 || bytes[p]! >>> 1 < 4 || p + 5 > end) return -1
  return readInt16(bytes, p + 3)
}

/** Learns of the batches that a cursor has gone past, so that it is known what a log has no record of any more. */
export interface Passage {
  /** Offsets from here on are not read: their records are passed over. */
  readonly end: number
  /**
   * @param isWhole whether each of the batch's offsets has its record, be it one that is not to be seen
   * @param lastRead the offset of the last record that the cursor was at; -1 before the first
   */
  readonly passed: (firstOffset: number, lastOffset: number, isWhole: boolean, lastRead: number) => void
}

/**
 * Walks the data records of a record set: control batches, aborted transactions and records below `fromOffset` are
 * passed over. `next()` moves to the next record and fills the fields in place; it returns false at the end or at a
 * problem, which `problem` then holds. It may be left and resumed at any record, so a caller can work in slices.
 *
 * A batch that is cut short at the end of the set is not there yet: it ends the walk without a problem. The fields keep
 * the last record's values when `next()` returns false.
 */
export class RecordCursor implements RecordWalk {
  /** Holds the current record's bytes: the record set itself, or a batch's decompressed records. */
  buffer: Buffer
  offset = -1
  /** Milliseconds since the epoch. */
  timestamp = -1
  keyStart = 0
  /** Bytes; -1 for a null key. */
  keyLength = -1
  valueStart = 0
  /** Bytes; -1 for a null value (a tombstone). */
  valueLength = -1
  /** Of the current batch; -1 when none. */
  producerEpoch = -1
  leaderEpoch = -1
  problem: BatchProblem | undefined = undefined
  /**
   * One past the last offset of the batches walked so far, control batches and emptied ones included; at first the
   * offset asked for. A batch counts once `next()` has gone past its last record.
   */
  nextOffset: number
  /** The highest leader epoch of the batches that count towards `nextOffset`; -1 for none. */
  passedEpoch = -1

  private readonly set: Buffer
  private readonly setEnd: number
  private readonly fromOffset: number
  private readonly aborted: AbortedTransactions | undefined
  private readonly listener: BatchListener | undefined
  private passage: Passage | undefined
  private toOffset = Number.POSITIVE_INFINITY
  /** Where the next batch begins in the set. */
  private batchStart = 0
  // The batch being read. Its fields show only with its first record.
  private batch: Buffer
  private position = 0
  private end = 0
  private recordsLeft = 0
  private isFresh = false
  private baseOffset = 0
  private lastOffset = -1
  private lastOffsetDelta = 0
  private isWhole = false
  private lastEpoch = -1
  private baseTimestamp = 0
  private appendTimestamp = 0
  private isLogAppendTime = false
  private batchProducerHigh = -1
  private batchProducerLow = -1
  private batchProducerEpoch = -1
  private batchBaseSequence = -1
  private batchLeaderEpoch = -1
  // Of the current record, for its producer id and its sequence.
  private producerHigh = -1
  private producerLow = -1
  private baseSequence = -1
  private sequenceBase = 0

  constructor(options: {
    readonly records: Buffer
    /** Where the record set lies in `records`. Default: all of it. */
    readonly start?: number
    readonly end?: number
    readonly fromOffset: number
    /** The answer's list, ordered by first offset or not; undefined to see aborted records too (read_uncommitted). */
    readonly abortedTransactions: ReadonlyArray<AbortedTransaction> | undefined
    /** Learns of the batches that reach `fromOffset`, whatever is in them. */
    readonly listener?: BatchListener | undefined
  }) {
    this.set = options.records
    this.batchStart = options.start ?? 0
    this.setEnd = options.end ?? options.records.length
    this.batch = options.records
    this.buffer = options.records
    this.fromOffset = options.fromOffset
    this.nextOffset = options.fromOffset
    this.listener = options.listener
    this.aborted =
      options.abortedTransactions === undefined ? undefined : new AbortedTransactions(options.abortedTransactions)
  }

  /** To be called before the first record: the walk is reported, and shows no record at or above the passage's end. */
  report(passage: Passage): void {
    this.passage = passage
    this.toOffset = passage.end
  }

  /** Where the current record ends in `buffer`. Its headers lie between its value and this. */
  get recordEnd(): number {
    return this.position
  }

  /** Of the current batch; -1 when none. */
  get producerId(): bigint {
    return producerIdOf(this.producerHigh, this.producerLow)
  }

  /** The current record's sequence; -1 without idempotence. Sequences go round at 2^31 (KIP-98). */
  get sequence(): number {
    if (this.baseSequence < 0 || this.producerHigh < 0) return -1
    const sequence = this.baseSequence + (this.offset - this.sequenceBase)
    return sequence > MAX_INT32 ? sequence - MAX_INT32 - 1 : sequence
  }

  next(): boolean {
    for (;;) {
      if (this.recordsLeft === 0) {
        if (!this.nextBatch()) return false
        continue
      }
      const bytes = this.batch
      const end = this.end
      let p = this.position
      let byte = 0
      let value = 0
      let shift = 0

      // A varint is read a byte at a time, low bits first; each must end before the record does, within five bytes.
      do {
        if (p >= end || shift > 28) return this.corrupt("a record's length is no number")
        byte = bytes[p++]!
        value |= (byte & 127) << shift
        shift += 7
      } while (byte > 127)
      const length = (value >>> 1) ^ -(value & 1)
      const recordEnd = p + length
      if (length < 6 || recordEnd > end) return this.corrupt("a record runs past its batch")

      // Behind the record's attributes, which no version uses.
      const timestampStart = ++p
      value = 0
      shift = 0
      do {
        if (p >= recordEnd) return this.corrupt("a record's timestamp is no number")
        byte = bytes[p++]!
        if (shift < 28) value |= (byte & 127) << shift
        shift += 7
      } while (byte > 127)
      let timestampDelta = (value >>> 1) ^ -(value & 1)
      if (shift > 28) {
        timestampDelta = readVarlong(bytes, timestampStart, recordEnd)
        if (timestampDelta !== timestampDelta) return this.corrupt("a record's timestamp is no number")
      }

      value = 0
      shift = 0
      do {
        if (p >= recordEnd || shift > 28) return this.corrupt("a record's offset is no number")
        byte = bytes[p++]!
        value |= (byte & 127) << shift
        shift += 7
      } while (byte > 127)
      const offsetDelta = (value >>> 1) ^ -(value & 1)
      if (offsetDelta < 0 || offsetDelta > this.lastOffsetDelta) {
        return this.corrupt("a record's offset is outside its batch")
      }

      value = 0
      shift = 0
      do {
        if (p >= recordEnd || shift > 28) return this.corrupt("a key's length is no number")
        byte = bytes[p++]!
        value |= (byte & 127) << shift
        shift += 7
      } while (byte > 127)
      const keyLength = (value >>> 1) ^ -(value & 1)
      const keyStart = p
      if (keyLength > 0) p += keyLength
      if (keyLength < -1 || p >= recordEnd) return this.corrupt("a key runs past its record")

      value = 0
      shift = 0
      do {
        if (p >= recordEnd || shift > 28) return this.corrupt("a value's length is no number")
        byte = bytes[p++]!
        value |= (byte & 127) << shift
        shift += 7
      } while (byte > 127)
      const valueLength = (value >>> 1) ^ -(value & 1)
      const valueStart = p
      if (valueLength > 0) p += valueLength
      // At least the count of headers follows; the headers themselves are read where they are kept.
      if (valueLength < -1 || p >= recordEnd) return this.corrupt("a value runs past its record")

      this.position = recordEnd
      if (--this.recordsLeft === 0 && recordEnd !== end) {
        return this.corrupt("bytes follow the last record of a batch")
      }
      const offset = this.baseOffset + offsetDelta
      if (offset < this.fromOffset || offset >= this.toOffset) continue
      if (this.isFresh) this.showBatch()
      this.offset = offset
      this.timestamp = this.isLogAppendTime ? this.appendTimestamp : this.baseTimestamp + timestampDelta
      this.keyStart = keyStart
      this.keyLength = keyLength
      this.valueStart = valueStart
      this.valueLength = valueLength
      return true
    }
  }

  private showBatch(): void {
    this.isFresh = false
    this.buffer = this.batch
    this.producerHigh = this.batchProducerHigh
    this.producerLow = this.batchProducerLow
    this.producerEpoch = this.batchProducerEpoch
    this.leaderEpoch = this.batchLeaderEpoch
    this.baseSequence = this.batchBaseSequence
    this.sequenceBase = this.baseOffset
  }

  /** Ends the walk at the batch being read. */
  private corrupt(detail: string): false {
    return this.stop("Corrupt", this.baseOffset, detail)
  }

  private stop(kind: BatchProblem["kind"], offset: number, detail: string): false {
    this.problem = { kind, offset, detail }
    this.recordsLeft = 0
    this.batchStart = this.setEnd
    return false
  }

  /** Enters the next batch; false at the end of the set and at a problem. */
  private nextBatch(): boolean {
    if (this.problem !== undefined) return false
    if (this.lastOffset >= this.nextOffset) {
      this.passage?.passed(this.baseOffset, this.lastOffset, this.isWhole, this.offset)
      this.nextOffset = this.lastOffset + 1
    }
    if (this.lastEpoch > this.passedEpoch) this.passedEpoch = this.lastEpoch
    const set = this.set
    const start = this.batchStart
    if (start + MAGIC >= this.setEnd) return false
    const end = start + LOG_OVERHEAD + readInt32(set, start + BATCH_LENGTH)
    if (end > this.setEnd) return false
    const baseOffset = readInt64(set, start)
    if (end <= start + MAGIC) return this.stop("Corrupt", baseOffset, "a batch is shorter than its header")
    this.batchStart = end
    const magic = set[start + MAGIC]!
    if (magic === 2) return this.enterBatch(start, end, baseOffset)
    if (magic < 2) return this.enterLegacyBatch(start, end, baseOffset)
    return this.stop("UnsupportedMagic", baseOffset, `record format ${magic}: this version reads 0 to 2`)
  }

  private enterBatch(start: number, end: number, baseOffset: number): boolean {
    const set = this.set
    if (end < start + RECORDS) return this.stop("Corrupt", baseOffset, "a batch is shorter than its header")
    if (crc32c(set, start + ATTRIBUTES, end) !== readInt32(set, start + CRC) >>> 0) {
      return this.stop("Corrupt", baseOffset, "the checksum of a batch does not match")
    }
    const attributes = readInt16(set, start + ATTRIBUTES)
    const lastOffsetDelta = readInt32(set, start + LAST_OFFSET_DELTA)
    const count = readInt32(set, start + RECORD_COUNT)
    if (count < 0 || lastOffsetDelta < 0) return this.stop("Corrupt", baseOffset, "a batch counts below zero")
    if (!this.place(baseOffset, lastOffsetDelta)) return false
    this.isWhole = count === lastOffsetDelta + 1
    const producerHigh = readInt32(set, start + PRODUCER_ID)
    const producerLow = readInt32(set, start + PRODUCER_ID + 4)
    this.lastEpoch = readInt32(set, start + LEADER_EPOCH)
    if (this.listener !== undefined && this.lastOffset >= this.fromOffset) {
      this.announce(start, attributes, producerHigh, producerLow)
    }
    if (this.aborted !== undefined && producerHigh >= 0) {
      this.aborted.advance(this.lastOffset)
      if ((attributes & CONTROL_FLAG) !== 0) {
        // Compaction may have taken the marker and left its batch.
        const type = count === 0 ? CONTROL_COMMIT : readControlType(set, start + RECORDS, end)
        if (type < 0) return this.corrupt("a control record has no type")
        if (type === CONTROL_ABORT) this.aborted.end(producerIdOf(producerHigh, producerLow))
      } else if (
        this.aborted.isAnyAborting &&
        (attributes & TRANSACTIONAL_FLAG) !== 0 &&
        this.aborted.isAborting(producerIdOf(producerHigh, producerLow))
      ) {
        return true
      }
    }
    if (count === 0 || (attributes & CONTROL_FLAG) !== 0 || this.lastOffset < this.fromOffset) return true

    if ((attributes & COMPRESSION_MASK) === 0) {
      this.batch = set
      this.position = start + RECORDS
      this.end = end
    } else {
      const records = this.inflate(start, end, attributes)
      if (records === undefined) return false
      this.batch = records
      this.position = 0
      this.end = records.length
    }
    this.isFresh = true
    this.recordsLeft = count
    this.isLogAppendTime = (attributes & LOG_APPEND_TIME_FLAG) !== 0
    this.baseTimestamp = readInt64(set, start + BASE_TIMESTAMP)
    this.appendTimestamp = readInt64(set, start + MAX_TIMESTAMP)
    this.batchProducerHigh = producerHigh
    this.batchProducerLow = producerLow
    this.batchProducerEpoch = readInt16(set, start + PRODUCER_EPOCH)
    this.batchBaseSequence = readInt32(set, start + BASE_SEQUENCE)
    this.batchLeaderEpoch = this.lastEpoch
    return true
  }

  private announce(start: number, attributes: number, producerHigh: number, producerLow: number): void {
    const set = this.set
    // Once compaction has taken records out of a batch, its times no longer say when the rest was written.
    const isWhole = readInt32(set, start + RECORD_COUNT) === this.lastOffsetDelta + 1
    const isStamped = (attributes & LOG_APPEND_TIME_FLAG) !== 0
    this.listener!.add(
      this.baseOffset,
      this.lastOffset,
      producerHigh,
      producerLow,
      readInt16(set, start + PRODUCER_EPOCH),
      readInt32(set, start + BASE_SEQUENCE),
      isWhole ? readInt64(set, start + (isStamped ? MAX_TIMESTAMP : BASE_TIMESTAMP)) : Number.NEGATIVE_INFINITY,
      isWhole ? readInt64(set, start + MAX_TIMESTAMP) : Number.POSITIVE_INFINITY
    )
  }

  private enterLegacyBatch(start: number, end: number, offset: number): boolean {
    const batch = readLegacyBatch(this.set, start, end)
    if ("kind" in batch) return this.stop(batch.kind, offset, batch.detail)
    if (!this.place(batch.baseOffset, batch.lastOffsetDelta)) return false
    this.isWhole = batch.recordCount === batch.lastOffsetDelta + 1
    this.lastEpoch = -1
    this.batch = batch.records
    this.position = 0
    this.end = batch.records.length
    this.isFresh = true
    this.recordsLeft = batch.recordCount
    this.isLogAppendTime = false
    this.baseTimestamp = batch.baseTimestamp
    this.batchProducerHigh = -1
    this.batchProducerLow = -1
    this.batchProducerEpoch = -1
    this.batchBaseSequence = -1
    this.batchLeaderEpoch = -1
    return true
  }

  /** Takes a batch's offsets, unless they are none or go back: a log's offsets only grow. */
  private place(baseOffset: number, lastOffsetDelta: number): boolean {
    const lastOffset = baseOffset + lastOffsetDelta
    if (lastOffset >= Number.MAX_SAFE_INTEGER) {
      return this.stop("OffsetTooLarge", baseOffset, "offsets above 2^53-1 are not supported")
    }
    if (baseOffset < 0 || baseOffset <= this.lastOffset) {
      return this.stop("Corrupt", baseOffset, "a batch begins at or below the one before it")
    }
    this.baseOffset = baseOffset
    this.lastOffset = lastOffset
    this.lastOffsetDelta = lastOffsetDelta
    return true
  }

  private inflate(start: number, end: number, attributes: number): Buffer | undefined {
    const kind = compressionOf(attributes)
    if (kind === undefined) {
      this.stop("UnsupportedCompression", this.baseOffset, `compression ${attributes & COMPRESSION_MASK} is not known`)
      return undefined
    }
    const records = decompress(kind, this.set.subarray(start + RECORDS, end), MAX_DECOMPRESSED)
    if (Buffer.isBuffer(records)) return records
    this.stop(records.kind, this.baseOffset, records.detail)
    return undefined
  }
}
