/**
 * Where the fields of a record batch lie (format v2, https://kafka.apache.org/documentation/#recordbatch). The first 17
 * bytes are laid out alike in all formats: an offset, the length of what follows it, and the magic byte at 16.
 */
export const BASE_OFFSET = 0
export const BATCH_LENGTH = 8
export const LEADER_EPOCH = 12
export const MAGIC = 16
export const CRC = 17
/** The checksum covers everything from here to the batch's end. */
export const ATTRIBUTES = 21
export const LAST_OFFSET_DELTA = 23
export const BASE_TIMESTAMP = 27
export const MAX_TIMESTAMP = 35
export const PRODUCER_ID = 43
export const PRODUCER_EPOCH = 51
export const BASE_SEQUENCE = 53
export const RECORD_COUNT = 57
/** Size of a batch's header, and so the place of its first record. */
export const RECORDS = 61
/** Bytes of a batch that its length field does not count. */
export const LOG_OVERHEAD = 12

export const COMPRESSION_MASK = 0x07
export const LOG_APPEND_TIME_FLAG = 0x08
export const TRANSACTIONAL_FLAG = 0x10
export const CONTROL_FLAG = 0x20
/** The base timestamp is then the time from which on a cleaner drops the batch's tombstones (KIP-534). */
export const DELETE_HORIZON_FLAG = 0x40

/** The type in a control record's key, behind its version. */
export const CONTROL_ABORT = 0
export const CONTROL_COMMIT = 1

/** As Buffer's method, without its checks: the caller knows that the bytes are there, and a small batch is mostly header. */
export const readInt32 = (bytes: Buffer, at: number): number =>
  (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!

export const readInt16 = (bytes: Buffer, at: number): number => ((bytes[at]! << 24) >> 16) | bytes[at + 1]!

/** A signed 64-bit integer; exact up to 2^53-1, beyond that the nearest number. */
export const readInt64 = (bytes: Buffer, at: number): number =>
  readInt32(bytes, at) * 4294967296 + (readInt32(bytes, at + 4) >>> 0)

/** A producer id of its two halves: 64 bits that say nothing, of which any 63 may be set; negative where there is none. */
export const producerIdOf = (high: number, low: number): bigint => (BigInt(high) << 32n) | BigInt(low >>> 0)

/** Of a safe integer. */
export const writeInt64 = (bytes: Buffer, value: number, at: number): void => {
  const high = Math.floor(value / 4294967296)
  bytes.writeInt32BE(high, at)
  bytes.writeUInt32BE(value - high * 4294967296, at + 4)
}
