/** Reads a checkpoint up to its last whole marks, and holds what is recorded there where it was read to. */
import { Effect } from "effect"
import type { AnswerMemory } from "../records/answerMemory.ts"
import { RecordCursor } from "../records/batchReader.ts"
import type { RecordWalk } from "../records/recordWalk.ts"
import { EntriesCursor } from "./entries.ts"
import {
  checksum,
  FRAME,
  frameLength,
  type Head,
  type Identity,
  Kind,
  type Marks,
  PREAMBLE,
  readAnswers,
  readHead,
  readHeader,
  readMarks,
  refusalOf,
  seedOf
} from "./format.ts"
import type { Checkpoint, CheckpointError } from "./store.ts"

/** Bytes that are read at once, unless a frame is larger. */
const CHUNK = 1 << 22

/** Where the frames with records of each partition lie: of each, where it begins, how long it is, the checksum before it. */
export type Places = Map<number, Array<number>>

export const enterPlace = (places: Places, partition: number, at: number, length: number, before: number): void => {
  const known = places.get(partition)
  if (known === undefined) places.set(partition, [at, length, before])
  else known.push(at, length, before)
}

/** What is held of a frame. */
interface Held {
  readonly chunk: Chunk
  readonly kind: number
  /** Where its payload begins in the chunk, and how long it is. */
  readonly start: number
  readonly length: number
}

/** Memory that was read to, and how many partitions have something in it. */
interface Chunk {
  readonly bytes: Buffer
  readonly partitions: Set<number>
}

/** The records of a partition, recorded one after another. */
const walk = function* (frames: ReadonlyArray<Held>, memory: AnswerMemory): Iterable<RecordWalk> {
  for (const { chunk, kind, length, start } of frames) {
    const { bytes } = chunk
    memory.receive(Array.from(chunk.partitions, () => bytes))
    if (kind === Kind.entries) yield new EntriesCursor(bytes, start)
    else {
      for (const { aborted, end, fromOffset, start: from } of readAnswers(bytes, start, length)) {
        yield new RecordCursor({ records: bytes, start: from, end, fromOffset, abortedTransactions: aborted })
      }
    }
  }
}

/** The records of one frame, in memory of its own. */
export const walkFrame = (bytes: Buffer, memory: AnswerMemory): Iterable<RecordWalk> => {
  const { kind, length } = readHead(bytes, 0)
  return walk([{ chunk: { bytes, partitions: new Set([0]) }, kind, start: FRAME, length }], memory)
}

/** What is in a checkpoint. */
export interface Saved extends Marks {
  readonly identity: Identity
  /** Up to and with its last marks. */
  readonly bytes: number
  /**
   * The records of a partition up to its mark: a walk after another, in the order in which they are to be taken. A walk
   * that ends with a problem makes the partition's worthless. Can be asked for once, after which nothing here holds them.
   *
   * @param memory of whoever keeps bytes where they are
   */
  readonly walksOf: (partition: number, memory: AnswerMemory) => Iterable<RecordWalk>
}

/** What is needed to go on writing behind the last marks. */
export interface Scanned {
  readonly saved: Saved
  /** The checksum of the last marks. */
  readonly crc: number
  /** Where the first marks end. */
  readonly baseEnd: number
  readonly places: Places
}

/** As a scan ends that finds nothing to use: why. */
export interface Unusable {
  readonly unusable: string
}

interface Frame extends Head {
  readonly start: number
  readonly end: number
}

/** The frames that are whole in so many bytes, by what their heads say. */
const framesIn = (bytes: Buffer, from: number, length: number): ReadonlyArray<Frame> => {
  const frames: Array<Frame> = []
  for (let start = from; start + FRAME <= length;) {
    const head = readHead(bytes, start)
    const end = start + frameLength(head.length)
    if (end > length) break
    frames.push({ ...head, start, end })
    start = end
  }
  return frames
}

/** @param holds whether the records are wanted, too. */
export const scan = Effect.fnUntraced(function* (
  checkpoint: Checkpoint,
  holds: boolean
): Effect.fn.Return<Scanned | Unusable | undefined, CheckpointError> {
  const size = yield* checkpoint.size
  if (size === 0) return undefined

  const readFrom = Effect.fnUntraced(function* (at: number, least: number) {
    const bytes = Buffer.allocUnsafeSlow(Math.min(Math.max(CHUNK, least), size - at))
    const length = yield* checkpoint.read(at, bytes)
    return { at, bytes, length }
  })
  let current = yield* readFrom(0, 0)
  const refusal = refusalOf(current.bytes.subarray(0, Math.min(PREAMBLE, current.length)))
  if (refusal !== undefined) return { unusable: refusal }
  let crc = seedOf(current.bytes.subarray(0, PREAMBLE))
  let from = PREAMBLE
  let identity: Identity | undefined

  const held = new Map<number, Array<Held>>()
  const places: Places = new Map()
  /** Those since the last marks, which count with the next. */
  let open: Array<readonly [frame: Frame, at: number, before: number, chunk: Chunk]> = []
  let last: (Marks & { readonly end: number; readonly crc: number }) | undefined
  let baseEnd = 0

  const admit = (): void => {
    for (const [{ end, kind, length, partition, start }, at, before, chunk] of open) {
      enterPlace(places, partition, at, end - start, before)
      if (!holds) continue
      chunk.partitions.add(partition)
      const frame: Held = { chunk, kind, start: start + FRAME, length }
      const others = held.get(partition)
      if (others === undefined) held.set(partition, [frame])
      else others.push(frame)
    }
    open = []
  }
  /** False at a frame that is not as it was written. */
  const enter = (frame: Frame, chunk: Chunk, at: number): boolean => {
    const { end, kind, length, start } = frame
    const before = crc
    const isFirst = identity === undefined
    if (isFirst !== (kind === Kind.header) || checksum(chunk.bytes, start, end, before) !== frame.crc) return false
    crc = frame.crc
    if (kind === Kind.header) identity = readHeader(chunk.bytes, start + FRAME, length)
    else if (kind === Kind.marks) {
      admit()
      last = { ...readMarks(chunk.bytes, start + FRAME, length), end: at + end, crc }
      if (baseEnd === 0) baseEnd = last.end
    } else if (kind === Kind.entries || kind === Kind.answers) open.push([frame, at + start, before, chunk])
    else return false
    return true
  }

  for (;;) {
    const { at, bytes, length } = current
    const frames = framesIn(bytes, from, length)
    const end = frames.at(-1)?.end ?? from
    const next = at + end
    // What the next frame takes, where that is larger than what is read at once.
    const least = end + FRAME <= length ? frameLength(readHead(bytes, end).length) : FRAME
    const chunk: Chunk = { bytes, partitions: new Set() }
    const enterAll = Effect.sync(() => frames.every((frame) => enter(frame, chunk, at)))
    // A frame that cannot be whole ends it.
    if (next + least > size) {
      yield* enterAll
      break
    }
    // It is read while this is looked at.
    const [following, areWhole] = yield* Effect.all([readFrom(next, least), enterAll], { concurrency: 2 })
    if (!areWhole || following.length < least) break
    current = following
    from = 0
  }
  if (last === undefined || identity === undefined)
    return { unusable: "it is cut short or damaged before its first marks" }
  const { end, marks, savedAt } = last
  return {
    crc: last.crc,
    baseEnd,
    places,
    saved: {
      identity,
      marks,
      savedAt,
      bytes: end,
      walksOf: (partition, memory) => {
        const frames = held.get(partition) ?? []
        held.delete(partition)
        return walk(frames, memory)
      }
    }
  }
})
