/**
 * Record batches of format v2 (https://kafka.apache.org/documentation/#recordbatch), written and read without any code
 * of the library, so that a contract test does not hold the library's bytes against themselves.
 */
import * as zlib from "node:zlib"

/** A record to write; a string stands for its UTF-8. */
export interface ContractRecord {
  readonly key: string | Uint8Array | null
  readonly value: string | Uint8Array | null
  readonly timestamp?: number
  readonly headers?: ReadonlyArray<{ readonly key: string; readonly value: string | null }>
}

export interface ContractBatchOptions {
  readonly baseOffset?: number
  readonly compression?: Compression
  readonly producerId?: bigint
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly isTransactional?: boolean
  readonly isControl?: boolean
}

export interface ReadRecord {
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: ReadonlyArray<{ readonly key: string; readonly value: string | null }>
}

export interface ReadBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly leaderEpoch: number
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly isTransactional: boolean
  readonly isControl: boolean
  readonly isLogAppendTime: boolean
  /** Whether a cleaner has written into the batch until when its tombstones stay (KIP-534). */
  readonly hasDeleteHorizon: boolean
  readonly records: ReadonlyArray<ReadRecord>
}

export const compressions = ["none", "gzip", "snappy", "lz4", "zstd"] as const
export type Compression = (typeof compressions)[number]

const HEADER = 61

const crcTable = Array.from({ length: 256 }, (_, n) => {
  let crc = n
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  return crc
})

const crc32c = (bytes: Buffer): number => {
  let crc = -1
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 255]!
  return ~crc >>> 0
}

const varint = (value: number): Buffer => {
  const bytes: Array<number> = []
  let rest = value < 0 ? -2n * BigInt(value) - 1n : 2n * BigInt(value)
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}

const field = (value: string | Uint8Array | null): Buffer => {
  if (value === null) return varint(-1)
  const bytes = typeof value === "string" ? Buffer.from(value) : value
  return Buffer.concat([varint(bytes.length), bytes])
}

/** One literal: valid snappy, which brokers take without any framing (https://github.com/google/snappy). */
const snappy = (bytes: Buffer): Buffer => {
  const length: Array<number> = []
  let rest = bytes.length
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128)
  const tag = Buffer.from([62 << 2, 0, 0, 0])
  tag.writeUIntLE(bytes.length - 1, 1, 3)
  return Buffer.concat([Buffer.from([...length, rest]), tag, bytes])
}

/** One frame of stored blocks of 64 KiB at most (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md). */
const lz4 = (bytes: Buffer): Buffer => {
  const parts: Array<Uint8Array> = [Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82])]
  for (let at = 0; at < bytes.length; at += 65536) {
    const block = bytes.subarray(at, at + 65536)
    const size = Buffer.alloc(4)
    size.writeUInt32LE((block.length | 0x80000000) >>> 0)
    parts.push(size, block)
  }
  return Buffer.concat([...parts, Buffer.alloc(4)])
}

const compress: Readonly<Record<Compression, (bytes: Buffer) => Buffer>> = {
  none: (bytes) => bytes,
  gzip: (bytes) => zlib.gzipSync(bytes),
  snappy,
  lz4,
  zstd: (bytes) => zlib.zstdCompressSync(bytes)
}

const encodeRecord = (record: ContractRecord, offsetDelta: number, baseTimestamp: number): Buffer => {
  const headers = record.headers ?? []
  const body = Buffer.concat([
    Buffer.alloc(1),
    varint((record.timestamp ?? baseTimestamp) - baseTimestamp),
    varint(offsetDelta),
    field(record.key),
    field(record.value),
    varint(headers.length),
    ...headers.flatMap(({ key, value }) => [field(key), field(value)])
  ])
  return Buffer.concat([varint(body.length), body])
}

export const encodeBatch = (records: ReadonlyArray<ContractRecord>, options: ContractBatchOptions = {}): Buffer => {
  const baseTimestamp = records[0]?.timestamp ?? Date.now()
  const compression = options.compression ?? "none"
  const body = compress[compression](Buffer.concat(records.map((one, i) => encodeRecord(one, i, baseTimestamp))))
  const batch = Buffer.alloc(HEADER + body.length)
  batch.writeBigInt64BE(BigInt(options.baseOffset ?? 0), 0)
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(-1, 12)
  batch[16] = 2
  batch.writeInt16BE(
    compressions.indexOf(compression) | (options.isTransactional ? 0x10 : 0) | (options.isControl ? 0x20 : 0),
    21
  )
  batch.writeInt32BE(records.length - 1, 23)
  batch.writeBigInt64BE(BigInt(baseTimestamp), 27)
  batch.writeBigInt64BE(BigInt(Math.max(...records.map(({ timestamp }) => timestamp ?? baseTimestamp))), 35)
  batch.writeBigInt64BE(options.producerId ?? -1n, 43)
  batch.writeInt16BE(options.producerEpoch ?? -1, 51)
  batch.writeInt32BE(options.baseSequence ?? -1, 53)
  batch.writeInt32BE(records.length, 57)
  body.copy(batch, HEADER)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

/** The whole batches of a record set; a last one that is cut short is left out. Records of compressed batches are not read. */
export const readBatches = (records: Buffer): ReadonlyArray<ReadBatch> => {
  const batches: Array<ReadBatch> = []
  for (let at = 0; at + HEADER <= records.length;) {
    const size = records.readInt32BE(at + 8) + 12
    if (at + size > records.length) break
    batches.push(readBatch(records.subarray(at, at + size)))
    at += size
  }
  return batches
}

const readBatch = (bytes: Buffer): ReadBatch => {
  if (bytes.readUInt32BE(17) !== crc32c(bytes.subarray(21))) throw new Error("a fetched batch has a wrong checksum")
  const attributes = bytes.readInt16BE(21)
  const baseOffset = Number(bytes.readBigInt64BE(0))
  const baseTimestamp = Number(bytes.readBigInt64BE(27))
  const maxTimestamp = Number(bytes.readBigInt64BE(35))
  const isLogAppendTime = (attributes & 0x08) !== 0
  let at = HEADER
  const number = (): number => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes.readUInt8(at++)
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return Number(value & 1n ? -(value >> 1n) - 1n : value >> 1n)
    }
  }
  const text = (): string | null => {
    const length = number()
    if (length < 0) return null
    at += length
    return bytes.toString("utf8", at - length, at)
  }
  const readRecord = (): ReadRecord => {
    number()
    at++
    const timestamp = number() + baseTimestamp
    const offset = number() + baseOffset
    const key = text()
    const value = text()
    const headers = Array.from({ length: number() }, () => ({ key: text() ?? "", value: text() }))
    return { offset, timestamp: isLogAppendTime ? maxTimestamp : timestamp, key, value, headers }
  }
  return {
    baseOffset,
    lastOffset: baseOffset + bytes.readInt32BE(23),
    leaderEpoch: bytes.readInt32BE(12),
    producerId: bytes.readBigInt64BE(43),
    producerEpoch: bytes.readInt16BE(51),
    baseSequence: bytes.readInt32BE(53),
    isTransactional: (attributes & 0x10) !== 0,
    isControl: (attributes & 0x20) !== 0,
    isLogAppendTime,
    hasDeleteHorizon: (attributes & 0x40) !== 0,
    records: (attributes & 7) === 0 ? Array.from({ length: bytes.readInt32BE(57) }, readRecord) : []
  }
}
