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

/** Bytes that are read at once. */
const STEP = 1 << 22

/**
 * Bytes of memory that are asked for at once, unless a frame is larger. For each that is asked for the garbage collector may
 * look through all there is: with some of this size it does so a few times, with one for each step all the time.
 */
const BLOCK = 1 << 28

/** Where the frames with records of each partition lie: of each, where it begins, how long it is, the checksum before it. */
export type Places = Map<number, Array<number>>

export const enterPlace = (places: Places, partition: number, at: number, length: number, before: number): void => {
  const known = places.get(partition)
  if (known === undefined) places.set(partition, [at, length, before])
  else known.push(at, length, before)
}

const isOfEntries = (frame: Buffer): boolean => readHead(frame, 0).kind === Kind.entries

/** The answers of frames, one after another. */
const walkAnswers = function* (frames: ReadonlyArray<Buffer>): Iterable<RecordWalk> {
  for (const frame of frames) {
    for (const { aborted, end, fromOffset, start } of readAnswers(frame, readHead(frame, 0).length)) {
      yield new RecordCursor({ records: frame, start, end, fromOffset, abortedTransactions: aborted })
    }
  }
}

/** The records of one frame. */
export const walkFrame = (frame: Buffer): Iterable<RecordWalk> =>
  isOfEntries(frame) ? [new EntriesCursor([frame])] : walkAnswers([frame])

/** What is held of a partition, up to its mark. */
export interface Recorded {
  /** Frames of entries, for `EntriesCursor`: of each raw key the last record as of the base. */
  readonly base: ReadonlyArray<Buffer>
  /**
   * What was read after it: a walk after another, in the order in which they are to be taken. One that ends with a problem
   * makes all of it worthless.
   */
  readonly answers: Iterable<RecordWalk>
}

/** What is in a checkpoint. */
export interface Saved extends Marks {
  readonly identity: Identity
  /** Up to and with its last marks. */
  readonly bytes: number
  /**
   * What is recorded of a partition. Can be asked for once, after which nothing here holds it.
   *
   * @param memory of whoever keeps bytes where they are
   */
  readonly recordedOf: (partition: number, memory: AnswerMemory) => Recorded
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

/** Memory that a part of the file is read to, and where that part begins in the file. */
interface Block {
  readonly at: number
  readonly bytes: Buffer
}

/** Where frames lie that are whole, by what their heads say, in so many bytes. */
const framesIn = (
  bytes: Buffer,
  from: number,
  length: number
): ReadonlyArray<readonly [start: number, end: number]> => {
  const frames: Array<readonly [number, number]> = []
  for (let start = from; start + FRAME <= length;) {
    const end = start + frameLength(readHead(bytes, start).length)
    if (end > length) break
    frames.push([start, end])
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

  /** Memory for what begins at `at`, of which at least so many bytes are needed in one piece. */
  const blockAt = (at: number, least: number): Block => ({
    at,
    bytes: Buffer.allocUnsafeSlow(Math.min(Math.max(BLOCK, least), size - at))
  })
  /** Reads a step further; hands back how far the block is filled. */
  const readOn = ({ at, bytes }: Block, filled: number): Effect.Effect<number, CheckpointError> =>
    filled === bytes.length
      ? Effect.succeed(filled)
      : Effect.map(checkpoint.read(at + filled, bytes.subarray(filled, filled + STEP)), (more) => filled + more)

  let block = blockAt(0, 0)
  let filled = yield* readOn(block, 0)
  const refusal = refusalOf(block.bytes.subarray(0, Math.min(PREAMBLE, filled)))
  if (refusal !== undefined) return { unusable: refusal }
  let crc = seedOf(block.bytes.subarray(0, PREAMBLE))
  let looked = PREAMBLE
  let identity: Identity | undefined

  const held = new Map<number, Array<Buffer>>()
  const places: Places = new Map()
  /** Those since the last marks, which count with the next. */
  let open: Array<readonly [frame: Buffer, at: number, before: number]> = []
  let last: (Marks & { readonly end: number; readonly crc: number }) | undefined
  let baseEnd = 0

  const admit = (): void => {
    for (const [frame, at, before] of open) {
      const { partition } = readHead(frame, 0)
      enterPlace(places, partition, at, frame.length, before)
      if (!holds) continue
      const others = held.get(partition)
      if (others === undefined) held.set(partition, [frame])
      else others.push(frame)
    }
    open = []
  }
  /** False at a frame that is not as it was written. */
  const enter = (frame: Buffer, at: number): boolean => {
    const { crc: stored, kind, length } = readHead(frame, 0)
    const before = crc
    const isFirst = identity === undefined
    if (isFirst !== (kind === Kind.header) || checksum(frame, before) !== stored) return false
    crc = stored
    if (kind === Kind.header) identity = readHeader(frame, length)
    else if (kind === Kind.marks) {
      admit()
      last = { ...readMarks(frame, length), end: at + frame.length, crc }
      if (baseEnd === 0) baseEnd = last.end
    } else if (kind === Kind.entries || kind === Kind.answers) open.push([frame, at, before])
    else return false
    return true
  }

  for (let isWhole = true; isWhole;) {
    const { at, bytes } = block
    const frames = framesIn(bytes, looked, filled)
    looked = frames.at(-1)?.[1] ?? looked
    const before = filled
    // More is read while this is looked at.
    const [now, areWhole] = yield* Effect.all(
      [
        readOn(block, filled),
        Effect.sync(() => frames.every(([start, end]) => enter(bytes.subarray(start, end), at + start)))
      ],
      { concurrency: 2 }
    )
    filled = now
    isWhole = areWhole
    if (filled > before || !isWhole) continue
    // The block is full, and ends within a frame; or all has been read, and this is the end.
    const least = looked + FRAME <= filled ? frameLength(readHead(bytes, looked).length) : FRAME
    if (filled < bytes.length || at + looked + least > size) break
    block = blockAt(at + looked, least)
    filled = looked = 0
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
      recordedOf: (partition, memory) => {
        const frames = held.get(partition) ?? []
        held.delete(partition)
        // A table may let go of some frames and not of others; the memory goes with the last.
        for (const frame of frames) memory.divide(frame)
        return {
          base: frames.filter(isOfEntries),
          answers: walkAnswers(frames.filter((frame) => !isOfEntries(frame)))
        }
      }
    }
  }
})
