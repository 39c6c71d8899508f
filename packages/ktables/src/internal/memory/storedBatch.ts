/** A record batch in a partition's log: its bytes, and what its header says. */
import {
  ATTRIBUTES,
  BASE_OFFSET,
  BASE_SEQUENCE,
  BASE_TIMESTAMP,
  BATCH_LENGTH,
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
  readInt64,
  RECORD_COUNT,
  RECORDS,
  TRANSACTIONAL_FLAG,
  writeInt64
} from "../records/batchFormat.ts"
import type { BatchRecord } from "../records/batchWriter.ts"
import { type Compression, compressionOf, decompress, MAX_DECOMPRESSED } from "../records/compression.ts"
import { crc32c } from "../records/crc32c.ts"

export interface StoredBatch {
  readonly bytes: Buffer
  readonly baseOffset: number
  readonly lastOffset: number
  readonly leaderEpoch: number
  readonly compression: Compression
  readonly isLogAppendTime: boolean
  readonly isTransactional: boolean
  readonly isControl: boolean
  /** Until when the batch's tombstones stay, once a cleaner has seen them (KIP-534). */
  readonly deleteHorizon: number | undefined
  readonly maxTimestamp: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly count: number
}

/** Reads the header. The bytes are kept as they are, not copied. */
export const storedBatch = (bytes: Buffer): StoredBatch => {
  const attributes = bytes.readInt16BE(ATTRIBUTES)
  const baseOffset = readInt64(bytes, BASE_OFFSET)
  return {
    bytes,
    baseOffset,
    lastOffset: baseOffset + bytes.readInt32BE(LAST_OFFSET_DELTA),
    leaderEpoch: bytes.readInt32BE(LEADER_EPOCH),
    compression: compressionOf(attributes) ?? "none",
    isLogAppendTime: (attributes & LOG_APPEND_TIME_FLAG) !== 0,
    isTransactional: (attributes & TRANSACTIONAL_FLAG) !== 0,
    isControl: (attributes & CONTROL_FLAG) !== 0,
    deleteHorizon: (attributes & DELETE_HORIZON_FLAG) !== 0 ? readInt64(bytes, BASE_TIMESTAMP) : undefined,
    maxTimestamp: readInt64(bytes, MAX_TIMESTAMP),
    producerId: bytes.readBigInt64BE(PRODUCER_ID),
    producerEpoch: bytes.readInt16BE(PRODUCER_EPOCH),
    baseSequence: bytes.readInt32BE(BASE_SEQUENCE),
    count: bytes.readInt32BE(RECORD_COUNT)
  }
}

/** Whether the bytes are one whole batch of format v2 with a compression that the format knows. */
export const isWholeBatch = (bytes: Buffer): boolean =>
  bytes.length >= RECORDS &&
  bytes[MAGIC] === 2 &&
  bytes.readInt32BE(BATCH_LENGTH) + LOG_OVERHEAD === bytes.length &&
  compressionOf(bytes.readInt16BE(ATTRIBUTES)) !== undefined

/** Size of the first batch of `bytes`, by its own length field; 0 when even that is cut off. */
export const firstBatchSize = (bytes: Buffer): number =>
  bytes.length < LOG_OVERHEAD ? 0 : bytes.readInt32BE(BATCH_LENGTH) + LOG_OVERHEAD

export const hasValidChecksum = (bytes: Buffer): boolean =>
  crc32c(bytes, ATTRIBUTES, bytes.length) === bytes.readUInt32BE(CRC)

/** Stamps a batch as the broker of a `LogAppendTime` topic does: the header's maximum is then every record's time. */
export const stampLogAppendTime = (bytes: Buffer, timestamp: number): void => {
  bytes.writeInt16BE(bytes.readInt16BE(ATTRIBUTES) | LOG_APPEND_TIME_FLAG, ATTRIBUTES)
  writeInt64(bytes, timestamp, MAX_TIMESTAMP)
  bytes.writeUInt32BE(crc32c(bytes, ATTRIBUTES, bytes.length), CRC)
}

export const isCommitMarker = (batch: StoredBatch): boolean =>
  batch.isControl && readRecords(batch).some((record) => record.key?.[3] === CONTROL_COMMIT)

/**
 * The records of a batch, control records included. It shares no code with the engine's reader, so that what it finds
 * can be held against what a table holds. Throws on bytes that are no records.
 */
export const readRecords = (batch: StoredBatch): ReadonlyArray<BatchRecord> => {
  const plain = decompress(batch.compression, batch.bytes.subarray(RECORDS), MAX_DECOMPRESSED)
  if (!Buffer.isBuffer(plain)) throw new Error(plain.detail)
  const baseTimestamp = readInt64(batch.bytes, BASE_TIMESTAMP)
  const records: Array<BatchRecord> = []
  let at = 0
  // Signed ("zigzag") varints, https://kafka.apache.org/protocol.html#protocol_types.
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = plain.readUInt8(at++)
      value += (byte & 127) * scale
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
  }
  const bytes = (): Buffer | null => {
    const length = varint()
    if (length < 0) return null
    if (at + length > plain.length) throw new Error(`a field of ${length} bytes runs past the batch's end`)
    at += length
    return plain.subarray(at - length, at)
  }
  for (let i = 0; i < batch.count; i++) {
    const length = varint()
    const end = at + length
    at += 1
    const timestamp = varint() + baseTimestamp
    const offsetDelta = varint()
    const key = bytes()
    const value = bytes()
    const headers = Array.from({ length: varint() }, () => ({ key: String(bytes()), value: bytes() }))
    if (at !== end) throw new Error(`record ${i} has ${length} bytes by its length, and other ones by its fields`)
    records.push({
      offsetDelta,
      timestamp: batch.isLogAppendTime ? batch.maxTimestamp : timestamp,
      key,
      value,
      ...(headers.length > 0 ? { headers } : undefined)
    })
  }
  return records
}
