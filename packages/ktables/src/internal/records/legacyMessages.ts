/**
 * Messages of the formats before record batches, magic 0 and 1 (https://kafka.apache.org/documentation/#messageset): what
 * an upgraded cluster still holds from old writers. They are written again as the records of a batch of format v2, so
 * that the loop over records knows one format only; such logs are rare and small.
 */
import { crc32 } from "node:zlib"
import { LOG_OVERHEAD, MAGIC, readInt64 } from "./batchFormat.ts"
import { compressionOf, decompress, MAX_DECOMPRESSED } from "./compression.ts"
import { type BatchRecord, encodeRecords } from "./batchWriter.ts"

/** A message, or a compressed wrapper and the messages inside it, as the records of a batch. */
export interface LegacyBatch {
  readonly baseOffset: number
  readonly baseTimestamp: number
  readonly recordCount: number
  readonly lastOffsetDelta: number
  /** Records of format v2, uncompressed. */
  readonly records: Buffer
}

/** Why a message could not be read. */
export interface LegacyProblem {
  readonly kind: "Corrupt" | "UnsupportedCompression" | "CompressionUnavailable" | "BatchTooLarge" | "OffsetTooLarge"
  readonly detail: string
}

interface Message {
  readonly offset: number
  readonly magic: number
  readonly attributes: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
}

/** The smallest message: checksum, magic, attributes and two lengths. */
const MINIMUM = 14
const CHECKSUM = 12
const CONTENT = 16
const LOG_APPEND_TIME = 0x08

const corrupt = (detail: string): LegacyProblem => ({ kind: "Corrupt", detail })

/** The message whose entry spans `start` to `end`. */
const readMessage = (bytes: Buffer, start: number, end: number): Message | LegacyProblem => {
  if (end - start < LOG_OVERHEAD + MINIMUM) return corrupt("a message is shorter than its fields")
  if (crc32(bytes.subarray(start + CONTENT, end)) !== bytes.readUInt32BE(start + CHECKSUM)) {
    return corrupt("the checksum of a message does not match")
  }
  const offset = readInt64(bytes, start)
  if (offset > Number.MAX_SAFE_INTEGER)
    return { kind: "OffsetTooLarge", detail: "offsets above 2^53-1 are not supported" }
  const magic = bytes[start + MAGIC]!
  const keyAt = start + MAGIC + (magic === 0 ? 2 : 10)
  const timestamp = magic === 0 ? -1 : readInt64(bytes, start + MAGIC + 2)
  if (keyAt + 8 > end) return corrupt("a message is shorter than its fields")
  const keyLength = bytes.readInt32BE(keyAt)
  const valueAt = keyAt + 4 + Math.max(0, keyLength)
  if (keyLength < -1 || valueAt + 4 > end) return corrupt("a key runs past its message")
  const valueLength = bytes.readInt32BE(valueAt)
  if (valueLength < -1 || valueAt + 4 + Math.max(0, valueLength) !== end) {
    return corrupt("a value does not end with its message")
  }
  return {
    offset,
    magic,
    attributes: bytes[start + MAGIC + 1]!,
    timestamp,
    key: keyLength === -1 ? null : bytes.subarray(keyAt + 4, valueAt),
    value: valueLength === -1 ? null : bytes.subarray(valueAt + 4, end)
  }
}

const readInner = (wrapper: Message): ReadonlyArray<Message> | LegacyProblem => {
  const kind = compressionOf(wrapper.attributes)
  if (kind === undefined) return { kind: "UnsupportedCompression", detail: `compression ${wrapper.attributes & 7}` }
  if (wrapper.value === null) return corrupt("a compressed message has no value")
  const bytes = decompress(kind, wrapper.value, MAX_DECOMPRESSED)
  if (!Buffer.isBuffer(bytes)) {
    // Clients that wrote magic 0 computed the frame's header checksum wrongly (KAFKA-3160), and the decoder refuses it.
    return kind === "lz4" && wrapper.magic === 0 && bytes.kind === "Corrupt"
      ? { kind: "UnsupportedCompression", detail: "lz4 in a message of magic 0: rewrite the topic with a newer client" }
      : bytes
  }
  const messages: Array<Message> = []
  for (let p = 0; p < bytes.length;) {
    if (p + LOG_OVERHEAD + MINIMUM > bytes.length) return corrupt("a compressed message is cut short")
    const end = p + LOG_OVERHEAD + bytes.readInt32BE(p + 8)
    if (end <= p || end > bytes.length) return corrupt("a compressed message runs past its wrapper")
    const message = readMessage(bytes, p, end)
    if ("kind" in message) return message
    if (message.magic !== wrapper.magic) return corrupt("a message and its wrapper differ in format")
    if ((message.attributes & 7) !== 0) return corrupt("a compressed message inside a compressed message")
    messages.push(message)
    p = end
  }
  return messages
}

/** The entry that spans `start` to `end`, of magic 0 or 1. */
export const readLegacyBatch = (bytes: Buffer, start: number, end: number): LegacyBatch | LegacyProblem => {
  const outer = readMessage(bytes, start, end)
  if ("kind" in outer) return outer
  let messages: ReadonlyArray<Message> = [outer]
  let shift = 0
  if ((outer.attributes & 7) !== 0) {
    const inner = readInner(outer)
    if ("kind" in inner) return inner
    if (inner.length === 0) return corrupt("a compressed message holds no messages")
    messages = inner
    // Magic 1 numbers its messages relatively, and the wrapper bears the offset of the last one (KIP-31).
    if (outer.magic === 1) shift = outer.offset - inner.at(-1)!.offset
  }
  const baseOffset = messages[0]!.offset + shift
  const lastOffset = messages.at(-1)!.offset + shift
  if (baseOffset < 0 || lastOffset !== outer.offset || lastOffset - baseOffset > 0x7fffffff) {
    return corrupt("the offsets of a message set do not fit together")
  }
  const isLogAppendTime = outer.magic === 1 && (outer.attributes & LOG_APPEND_TIME) !== 0
  const baseTimestamp = isLogAppendTime ? outer.timestamp : messages[0]!.timestamp
  const records: Array<BatchRecord> = []
  for (const message of messages) {
    const offsetDelta = message.offset + shift - baseOffset
    if (offsetDelta < 0 || offsetDelta > lastOffset - baseOffset) {
      return corrupt("the offsets of a message set do not fit together")
    }
    records.push({
      offsetDelta,
      timestamp: isLogAppendTime ? baseTimestamp : message.timestamp,
      key: message.key,
      value: message.value
    })
  }
  return {
    baseOffset,
    baseTimestamp,
    recordCount: records.length,
    lastOffsetDelta: lastOffset - baseOffset,
    records: encodeRecords(records, baseTimestamp)
  }
}
