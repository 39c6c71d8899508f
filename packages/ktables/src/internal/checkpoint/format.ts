/**
 * The bytes of a checkpoint: a preamble, then frames, each a multiple of eight bytes long, so that numbers in them can be
 * read through typed arrays. Their order is that in which they were written:
 *
 * - *header*: what the checkpoint is of;
 * - *entries*: the last records of some raw keys of one partition, without tombstones;
 * - *answers*: what a broker answered to fetches of one partition, as it came;
 * - *marks*: how far each partition is recorded. All that comes before is then whole.
 *
 * The checksum of a frame goes on from that of the frame before it, and so covers all that was written until then: a torn
 * write, a page that is lost in the middle and the frames of a second process are seen, and reading ends there.
 */
import { crc32 } from "node:zlib"
import type { AbortedTransaction, Isolation } from "../../KafkaClient.ts"

/** What a checkpoint is of. Another one's is not used. */
export interface Identity {
  readonly clusterId: string
  readonly topic: string
  /** 32 lower-case hex digits. */
  readonly topicId: string
  /** How many partitions the topic has: they tell where keys belong. */
  readonly partitions: number
  readonly isolation: Isolation
  /** Whether the headers of records are in it. */
  readonly headers: boolean
}

/** How far a partition is recorded. */
export interface Mark {
  readonly partition: number
  /** One past the last offset recorded. */
  readonly position: number
  /** Of the last batch below the position; -1 for none. */
  readonly epoch: number
  /** When its log was last seen to end at the position at most: milliseconds since the epoch. */
  readonly seen: number
  /** The lowest `delete.retention.ms` observed since `seen`, in milliseconds; infinite where none was. */
  readonly retention: number
}

/** The marks of all partitions, of one moment. */
export interface Marks {
  /** Milliseconds since the epoch. */
  readonly savedAt: number
  readonly marks: ReadonlyArray<Mark>
}

const VERSION = 1
const MAGIC = Buffer.from("ktables\n", "latin1")
/** Numbers are in the order of the machine: which one that was. */
const ORDER = 0x01020304

export const PREAMBLE = 16
/** Checksum, length of what follows, kind, partition. */
export const FRAME = 16
const LENGTH = 4
const KIND = 8
const PARTITION = 12
/** Bytes that a frame's length may say: what Node holds in one piece. */
const MOST = 2 ** 32 - 1

export const Kind = { header: 0x48, entries: 0x45, answers: 0x41, marks: 0x4d } as const

export const padded = (length: number): number => Math.ceil(length / 8) * 8

export const preamble = (): Buffer => {
  const bytes = Buffer.alloc(PREAMBLE)
  MAGIC.copy(bytes)
  bytes.writeUInt32LE(VERSION, 8)
  new Uint32Array(bytes.buffer, bytes.byteOffset, PREAMBLE / 4)[3] = ORDER
  return bytes
}

/** Why the bytes that a file begins with are no preamble of this format; undefined where they are. */
export const refusalOf = (bytes: Buffer): string | undefined => {
  if (bytes.length < PREAMBLE) return "it is cut short"
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return "it is no checkpoint"
  const version = bytes.readUInt32LE(8)
  if (version !== VERSION) return `its format is version ${version}, and this version of the library reads ${VERSION}`
  const isOrdered = bytes.subarray(12).equals(preamble().subarray(12))
  return isOrdered ? undefined : "it was written by a machine of another byte order"
}

/** Whether a file that begins with these bytes may be replaced: it is a checkpoint of any version, or nothing at all. */
export const isReplaceable = (bytes: Buffer): boolean => {
  const magic = bytes.subarray(0, MAGIC.length)
  return magic.equals(MAGIC) || magic.every((byte) => byte === 0)
}

/** Where the chain of checksums begins. */
export const seedOf = (bytes: Buffer): number => crc32(bytes)

/** What the head of a frame says. */
export interface Head {
  readonly crc: number
  /** Of the payload, without what pads it. */
  readonly length: number
  readonly kind: number
  readonly partition: number
}

export const readHead = (bytes: Buffer, at: number): Head => ({
  crc: bytes.readUInt32LE(at),
  length: bytes.readUInt32LE(at + LENGTH),
  kind: bytes.readUInt32LE(at + KIND),
  partition: bytes.readUInt32LE(at + PARTITION)
})

/** Bytes of a whole frame with so much payload. */
export const frameLength = (payload: number): number => FRAME + padded(payload)

/** The checksum of a whole frame, after that of the frame before it. */
export const checksum = (frame: Buffer, before: number): number => crc32(frame.subarray(LENGTH), before)

/**
 * Room for a whole frame, of which the payload begins at `FRAME`.
 *
 * @param room is taken where it is large enough; it begins where its memory does.
 */
export const allocateFrame = (kind: number, partition: number, payload: number, room?: Buffer): Buffer => {
  if (payload > MOST) throw new RangeError(`${payload} bytes are more than a frame can hold`)
  const length = frameLength(payload)
  const frame = room !== undefined && room.length >= length ? room.subarray(0, length) : Buffer.allocUnsafeSlow(length)
  frame.fill(0, FRAME + payload)
  frame.writeUInt32LE(payload, LENGTH)
  frame.writeUInt32LE(kind, KIND)
  frame.writeUInt32LE(partition, PARTITION)
  return frame
}

/** Puts a frame's checksum into it, and hands it back. */
export const seal = (frame: Buffer, before: number): number => {
  const crc = checksum(frame, before)
  frame.writeUInt32LE(crc, 0)
  return crc
}

/** @param generation tells this checkpoint from every other, so that no frame of one continues another. */
export const headerFrame = (identity: Identity, generation: string): Buffer => {
  const payload = Buffer.from(JSON.stringify({ ...identity, generation }))
  const frame = allocateFrame(Kind.header, 0, payload.length)
  payload.copy(frame, FRAME)
  return frame
}

/** @param length of the payload. */
export const readHeader = (frame: Buffer, length: number): Identity => {
  const { generation: _, ...identity } = JSON.parse(frame.toString("utf8", FRAME, FRAME + length))
  return identity
}

const MARK = 5

export const marksFrame = ({ marks, savedAt }: Marks): Buffer => {
  const frame = allocateFrame(Kind.marks, 0, 8 * (1 + MARK * marks.length))
  const numbers = new Float64Array(frame.buffer, frame.byteOffset + FRAME, 1 + MARK * marks.length)
  let at = 0
  numbers[at++] = savedAt
  for (const { epoch, partition, position, retention, seen } of marks) {
    numbers[at++] = partition
    numbers[at++] = position
    numbers[at++] = epoch
    numbers[at++] = seen
    numbers[at++] = retention
  }
  return frame
}

/** @param length of the payload. */
export const readMarks = (frame: Buffer, length: number): Marks => {
  const numbers = new Float64Array(frame.buffer, frame.byteOffset + FRAME, length / 8)
  const marks: Array<Mark> = []
  for (let at = 1; at < numbers.length; at += MARK) {
    const [partition, position, epoch, seen, retention] = numbers.subarray(at, at + MARK)
    marks.push({ partition: partition!, position: position!, epoch: epoch!, seen: seen!, retention: retention! })
  }
  return { savedAt: numbers[0]!, marks }
}

/** What a broker answered to a fetch of a partition. */
export interface Answer {
  /** Where the fetch began: records below are not part of it. */
  readonly fromOffset: number
  /** Whole batches, the last one possibly cut short. */
  readonly records: Buffer
  readonly aborted: ReadonlyArray<AbortedTransaction>
}

/** Of an answer: from where, how many bytes of records, how many aborted transactions; then these, two numbers each. */
const ANSWER = 3

export const answersFrame = (partition: number, answers: ReadonlyArray<Answer>): Buffer => {
  let payload = 0
  for (const { aborted, records } of answers) payload += 8 * (ANSWER + 2 * aborted.length) + padded(records.length)
  const frame = allocateFrame(Kind.answers, partition, payload)
  const numbers = new Float64Array(frame.buffer, frame.byteOffset, frame.length / 8)
  const longs = new BigInt64Array(frame.buffer, frame.byteOffset, frame.length / 8)
  let at = FRAME / 8
  for (const { aborted, fromOffset, records } of answers) {
    numbers[at++] = fromOffset
    numbers[at++] = records.length
    numbers[at++] = aborted.length
    for (const { firstOffset, producerId } of aborted) {
      longs[at++] = producerId
      numbers[at++] = firstOffset
    }
    records.copy(frame, 8 * at)
    frame.fill(0, 8 * at + records.length, 8 * at + padded(records.length))
    at += padded(records.length) / 8
  }
  return frame
}

/** An answer in the memory of its frame. */
export interface AnswerPlace {
  readonly fromOffset: number
  readonly start: number
  readonly end: number
  readonly aborted: ReadonlyArray<AbortedTransaction>
}

/** @param length of the payload. */
export const readAnswers = (frame: Buffer, length: number): ReadonlyArray<AnswerPlace> => {
  const numbers = new Float64Array(frame.buffer, frame.byteOffset, frame.length / 8)
  const longs = new BigInt64Array(frame.buffer, frame.byteOffset, numbers.length)
  const answers: Array<AnswerPlace> = []
  let at = FRAME / 8
  const end = (FRAME + length) / 8
  while (at < end) {
    const fromOffset = numbers[at++]!
    const size = numbers[at++]!
    const count = numbers[at++]!
    const aborted: Array<AbortedTransaction> = []
    for (let i = 0; i < count; i++) aborted.push({ producerId: longs[at++]!, firstOffset: numbers[at++]! })
    answers.push({ fromOffset, start: 8 * at, end: 8 * at + size, aborted })
    at += padded(size) / 8
  }
  return answers
}
