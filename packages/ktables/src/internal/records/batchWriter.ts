/** Writes record batches of format v2 (https://kafka.apache.org/documentation/#recordbatch). */
import type { Header } from "../../TableEntry.ts"
import {
  ATTRIBUTES,
  BASE_OFFSET,
  BASE_SEQUENCE,
  BASE_TIMESTAMP,
  BATCH_LENGTH,
  CONTROL_ABORT,
  CONTROL_COMMIT,
  CONTROL_FLAG,
  CRC,
  DELETE_HORIZON_FLAG,
  LAST_OFFSET_DELTA,
  LEADER_EPOCH,
  LOG_APPEND_TIME_FLAG,
  LOG_OVERHEAD,
  MAGIC,
  MAX_TIMESTAMP,
  PRODUCER_EPOCH,
  PRODUCER_ID,
  RECORD_COUNT,
  RECORDS,
  TRANSACTIONAL_FLAG,
  writeInt64
} from "./batchFormat.ts"
import { compress, type Compression, compressionCode } from "./compression.ts"
import { crc32c } from "./crc32c.ts"

export interface BatchRecord {
  /** Relative to the batch's base offset. */
  readonly offsetDelta: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: ReadonlyArray<Header> | undefined
}

export interface BatchOptions {
  readonly baseOffset?: number
  readonly leaderEpoch?: number
  readonly compression?: Compression
  /** -1 without idempotence. */
  readonly producerId?: bigint
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly isTransactional?: boolean
  readonly isControl?: boolean
  readonly isLogAppendTime?: boolean
  /** As a cleaner writes it into a batch with tombstones. */
  readonly deleteHorizon?: number | undefined
  /** At least the last record's; larger where compaction removed the tail, and an empty batch keeps it. */
  readonly lastOffsetDelta?: number
}

/** Size of a batch's header. */
export const BATCH_OVERHEAD = RECORDS

/** The most bytes that a record takes in an uncompressed batch. */
export const estimateRecordSize = (keyLength: number, valueLength: number, headers?: ReadonlyArray<Header>): number => {
  // Length, attributes, timestamp delta, offset delta, two lengths and the count of headers, each at its longest.
  const size = 5 + 1 + 10 + 5 + 5 + 5 + keyLength + valueLength
  return headers === undefined ? size + 1 : headers.reduce((sum, header) => sum + estimateHeaderSize(header), size + 5)
}

/** With its two lengths. */
const estimateHeaderSize = ({ key, value }: Header): number =>
  5 + Buffer.byteLength(key) + 5 + (value === null ? 0 : value.length)

// Sizes and positions are of signed ("zigzag") varints, https://kafka.apache.org/protocol.html#protocol_types.
const sizeOfVarint = (value: number): number => {
  const zigzag = (value << 1) ^ (value >> 31)
  return zigzag >>> 0 < 128 ? 1 : Math.ceil((32 - Math.clz32(zigzag)) / 7)
}

const writeVarint = (bytes: Buffer, value: number, at: number): number => {
  let zigzag = ((value << 1) ^ (value >> 31)) >>> 0
  let p = at
  while (zigzag > 127) {
    bytes[p++] = (zigzag & 127) | 128
    zigzag >>>= 7
  }
  bytes[p++] = zigzag
  return p
}

// Doubled, a delta this small is still an exact number.
const isExactDoubled = (value: number): boolean => value >= -4503599627370496 && value < 4503599627370496

const zigzag64 = (value: number): bigint => (value < 0 ? -2n * BigInt(value) - 1n : 2n * BigInt(value))

const sizeOfVarlong = (value: number): number => {
  if (value === value >> 0) return sizeOfVarint(value)
  if (isExactDoubled(value)) {
    let size = 1
    for (let rest = value < 0 ? -2 * value - 1 : 2 * value; rest > 127; rest = Math.floor(rest / 128)) size++
    return size
  }
  return Math.ceil(zigzag64(value).toString(2).length / 7)
}

const writeVarlong = (bytes: Buffer, value: number, at: number): number => {
  if (value === value >> 0) return writeVarint(bytes, value, at)
  let p = at
  if (isExactDoubled(value)) {
    let rest = value < 0 ? -2 * value - 1 : 2 * value
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes[p++] = (rest % 128) | 128
    bytes[p++] = rest
    return p
  }
  let rest = zigzag64(value)
  for (; rest > 127n; rest >>= 7n) bytes[p++] = Number(rest & 127n) | 128
  bytes[p++] = Number(rest)
  return p
}

const sizeOfBytes = (value: Uint8Array | null): number =>
  value === null ? 1 : sizeOfVarint(value.length) + value.length

const writeBytes = (bytes: Buffer, value: Uint8Array | null, at: number): number => {
  if (value === null) {
    bytes[at] = 1
    return at + 1
  }
  const p = writeVarint(bytes, value.length, at)
  bytes.set(value, p)
  return p + value.length
}

const sizeOfBody = (record: BatchRecord, baseTimestamp: number): number => {
  let size =
    1 +
    sizeOfVarlong(record.timestamp - baseTimestamp) +
    sizeOfVarint(record.offsetDelta) +
    sizeOfBytes(record.key) +
    sizeOfBytes(record.value)
  const headers = record.headers
  if (headers === undefined) return size + 1
  size += sizeOfVarint(headers.length)
  for (const header of headers) {
    const length = Buffer.byteLength(header.key)
    size += sizeOfVarint(length) + length + sizeOfBytes(header.value)
  }
  return size
}

const writeRecord = (bytes: Buffer, record: BatchRecord, baseTimestamp: number, at: number): number => {
  let p = writeVarint(bytes, sizeOfBody(record, baseTimestamp), at)
  bytes[p++] = 0
  p = writeVarlong(bytes, record.timestamp - baseTimestamp, p)
  p = writeVarint(bytes, record.offsetDelta, p)
  p = writeBytes(bytes, record.key, p)
  p = writeBytes(bytes, record.value, p)
  const headers = record.headers
  if (headers === undefined) {
    bytes[p] = 0
    return p + 1
  }
  p = writeVarint(bytes, headers.length, p)
  for (const header of headers) {
    const length = Buffer.byteLength(header.key)
    p = writeVarint(bytes, length, p)
    p += bytes.write(header.key, p)
    p = writeBytes(bytes, header.value, p)
  }
  return p
}

const sizeOfRecords = (records: ReadonlyArray<BatchRecord>, baseTimestamp: number): number => {
  let size = 0
  for (const record of records) {
    const body = sizeOfBody(record, baseTimestamp)
    size += sizeOfVarint(body) + body
  }
  return size
}

const writeRecords = (bytes: Buffer, records: ReadonlyArray<BatchRecord>, baseTimestamp: number, at: number): void => {
  let p = at
  for (const record of records) p = writeRecord(bytes, record, baseTimestamp, p)
}

/** The records of a batch without its header. */
export const encodeRecords = (records: ReadonlyArray<BatchRecord>, baseTimestamp: number): Buffer => {
  const bytes = Buffer.allocUnsafe(sizeOfRecords(records, baseTimestamp))
  writeRecords(bytes, records, baseTimestamp, 0)
  return bytes
}

/**
 * One whole batch. Throws when the compression is not available here, which `unavailable` of the compressions tells
 * beforehand.
 */
export const encodeBatch = (records: ReadonlyArray<BatchRecord>, options: BatchOptions = {}): Buffer => {
  const baseTimestamp = options.deleteHorizon ?? records[0]?.timestamp ?? -1
  let maxTimestamp = -1
  for (const record of records) if (record.timestamp > maxTimestamp) maxTimestamp = record.timestamp
  const compression = records.length === 0 ? "none" : (options.compression ?? "none")
  let batch: Buffer
  if (compression === "none") {
    batch = Buffer.allocUnsafe(RECORDS + sizeOfRecords(records, baseTimestamp))
    writeRecords(batch, records, baseTimestamp, RECORDS)
  } else {
    const compressed = compress(compression, encodeRecords(records, baseTimestamp))
    if (!Buffer.isBuffer(compressed)) throw new Error(`cannot write ${compression} batches: ${compressed.detail}`)
    batch = Buffer.allocUnsafe(RECORDS + compressed.length)
    batch.set(compressed, RECORDS)
  }
  writeInt64(batch, options.baseOffset ?? 0, BASE_OFFSET)
  batch.writeInt32BE(batch.length - LOG_OVERHEAD, BATCH_LENGTH)
  batch.writeInt32BE(options.leaderEpoch ?? -1, LEADER_EPOCH)
  batch[MAGIC] = 2
  batch.writeInt16BE(
    compressionCode(compression) |
      (options.isLogAppendTime === true ? LOG_APPEND_TIME_FLAG : 0) |
      (options.isTransactional === true ? TRANSACTIONAL_FLAG : 0) |
      (options.isControl === true ? CONTROL_FLAG : 0) |
      (options.deleteHorizon === undefined ? 0 : DELETE_HORIZON_FLAG),
    ATTRIBUTES
  )
  batch.writeInt32BE(options.lastOffsetDelta ?? records.at(-1)?.offsetDelta ?? 0, LAST_OFFSET_DELTA)
  writeInt64(batch, baseTimestamp, BASE_TIMESTAMP)
  writeInt64(batch, maxTimestamp, MAX_TIMESTAMP)
  batch.writeBigInt64BE(options.producerId ?? -1n, PRODUCER_ID)
  batch.writeInt16BE(options.producerEpoch ?? -1, PRODUCER_EPOCH)
  batch.writeInt32BE(options.baseSequence ?? -1, BASE_SEQUENCE)
  batch.writeInt32BE(records.length, RECORD_COUNT)
  batch.writeUInt32BE(crc32c(batch, ATTRIBUTES, batch.length), CRC)
  return batch
}

/** The batch with which a broker ends a transaction: one record, whose key holds a version and the type. */
export const encodeControlBatch = (options: {
  readonly baseOffset: number
  readonly leaderEpoch: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly type: "abort" | "commit"
  readonly timestamp: number
  readonly coordinatorEpoch?: number
}): Buffer => {
  const key = Buffer.alloc(4)
  key.writeInt16BE(options.type === "abort" ? CONTROL_ABORT : CONTROL_COMMIT, 2)
  const value = Buffer.alloc(6)
  value.writeInt32BE(options.coordinatorEpoch ?? 0, 2)
  return encodeBatch([{ offsetDelta: 0, timestamp: options.timestamp, key, value }], {
    baseOffset: options.baseOffset,
    leaderEpoch: options.leaderEpoch,
    producerId: options.producerId,
    producerEpoch: options.producerEpoch,
    isTransactional: true,
    isControl: true
  })
}

/** Gives a batch its place in the log, in the batch itself: these fields lie outside the checksum. */
export const patchBaseOffset = (batch: Buffer, baseOffset: number, leaderEpoch: number): void => {
  writeInt64(batch, baseOffset, BASE_OFFSET)
  batch.writeInt32BE(leaderEpoch, LEADER_EPOCH)
}
