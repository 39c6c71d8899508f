/**
 * Frames of entries: the last records of raw keys. Their numbers lie in columns, one after another, so that all are read
 * through typed arrays; then the bytes of each, its key, its value and its headers.
 */
import type { RecordWalk } from "../records/recordWalk.ts"
import type { Survivors } from "../records/survivors.ts"
import { allocateFrame, FRAME, Kind } from "./format.ts"

/** The count, with what fills it up to eight bytes; and of each entry two doubles and three numbers of 32 bits. */
const COUNT = 8
const NUMBERS = 2 * 8 + 3 * 4

/** Bytes of a usual frame: large enough that the work per frame does not count, small enough for a slice. */
const FRAME_BYTES = 1 << 19

/** Entries that are looked at for a frame: there may be ever so many tombstones among them. */
const MOST_LOOKED_AT = 1 << 15

interface Span {
  /** The entry after the last. */
  readonly to: number
  /** Those that are no tombstones, and the bytes of their records. */
  readonly count: number
  readonly bytes: number
}

/** Which entries make a frame. */
const spanFrom = (survivors: Survivors, from: number): Span => {
  const end = Math.min(survivors.size, from + MOST_LOOKED_AT)
  let to = from
  let count = 0
  let bytes = 0
  for (; to < end && COUNT + count * NUMBERS + bytes < FRAME_BYTES; to++) {
    if (survivors.valueLength(to) < 0) continue
    count++
    bytes += survivors.keyLength(to) + survivors.headersEnd(to) - survivors.valueStart(to)
  }
  return { to, count, bytes }
}

/**
 * The next frame of a partition's entries, from one of them on; worth nothing where it has none.
 *
 * @param room memory that may be filled.
 */
export const entriesFrame = (
  survivors: Survivors,
  from: number,
  room?: Buffer
): { readonly frame: Buffer; readonly count: number; readonly to: number } => {
  const { bytes, count, to } = spanFrom(survivors, from)
  const frame = allocateFrame(Kind.entries, survivors.partition, COUNT + count * NUMBERS + bytes, room)
  const { buffer, byteOffset } = frame
  const start = byteOffset + FRAME
  new Float64Array(buffer, start, 1)[0] = count
  const doubles = new Float64Array(buffer, start + COUNT, 2 * count)
  const numbers = new Int32Array(buffer, start + COUNT + 16 * count, 3 * count)
  let i = 0
  let at = FRAME + COUNT + count * NUMBERS
  for (let entry = from; entry < to; entry++) {
    const valueLength = survivors.valueLength(entry)
    if (valueLength < 0) continue
    const keyLength = survivors.keyLength(entry)
    const keyStart = survivors.keyStart(entry)
    const valueStart = survivors.valueStart(entry)
    const end = survivors.headersEnd(entry)
    doubles[i] = survivors.offsetOf(entry)
    doubles[count + i] = survivors.timestampOf(entry)
    numbers[i] = keyLength
    numbers[count + i] = valueLength
    numbers[2 * count + i] = end - valueStart - valueLength
    survivors.keyBuffer(entry).copy(frame, at, keyStart, keyStart + keyLength)
    at += keyLength
    survivors.valueBuffer(entry).copy(frame, at, valueStart, end)
    at += end - valueStart
    i++
  }
  return { frame, count, to }
}

const noFrame = Buffer.alloc(0)
const noDoubles = new Float64Array(0)
const noNumbers = new Int32Array(0)

/** Walks the entries of frames, in each of which a key comes once, and in no two of them. */
export class EntriesCursor implements RecordWalk {
  readonly problem = undefined
  buffer: Buffer = noFrame
  offset = -1
  timestamp = -1
  keyStart = 0
  keyLength = -1
  valueStart = 0
  valueLength = -1
  recordEnd = 0

  private readonly frames: ReadonlyArray<Buffer>
  private readonly newer: Survivors | undefined
  private frame = 0
  private count = 0
  private doubles: Float64Array = noDoubles
  private numbers: Int32Array = noNumbers
  private at = 0

  /** @param newer what has a record of these keys is passed over. */
  constructor(frames: ReadonlyArray<Buffer>, newer?: Survivors) {
    this.frames = frames
    this.newer = newer
  }

  next(): boolean {
    const { newer } = this
    for (;;) {
      if (this.at === this.count && !this.nextFrame()) return false
      const { at, count, doubles, numbers } = this
      this.at = at + 1
      this.offset = doubles[at]!
      this.timestamp = doubles[count + at]!
      const keyLength = numbers[at]!
      const valueLength = numbers[count + at]!
      this.keyStart = this.recordEnd
      this.keyLength = keyLength
      this.valueStart = this.keyStart + keyLength
      this.valueLength = valueLength
      this.recordEnd = this.valueStart + valueLength + numbers[2 * count + at]!
      if (newer === undefined || newer.find(this.buffer, this.keyStart, keyLength) < 0) return true
    }
  }

  /** The entry that it is at comes again. */
  back(): void {
    this.at--
    this.recordEnd = this.keyStart
  }

  private nextFrame(): boolean {
    const frame = this.frames[this.frame++]
    if (frame === undefined) return false
    const start = frame.byteOffset + FRAME
    const count = new Float64Array(frame.buffer, start, 1)[0]!
    this.buffer = frame
    this.count = count
    this.doubles = new Float64Array(frame.buffer, start + COUNT, 2 * count)
    this.numbers = new Int32Array(frame.buffer, start + COUNT + 16 * count, 3 * count)
    this.recordEnd = FRAME + COUNT + count * NUMBERS
    this.at = 0
    // One is not written without entries.
    return true
  }
}
