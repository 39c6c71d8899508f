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

/** The next frame of a partition's entries, from one of them on; worth nothing where it has none. */
export const entriesFrame = (
  survivors: Survivors,
  from: number
): { readonly frame: Buffer; readonly count: number; readonly to: number } => {
  const { bytes, count, to } = spanFrom(survivors, from)
  const frame = allocateFrame(Kind.entries, survivors.partition, COUNT + count * NUMBERS + bytes)
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

/** Walks the entries of a frame. */
export class EntriesCursor implements RecordWalk {
  readonly problem = undefined
  readonly buffer: Buffer
  offset = -1
  timestamp = -1
  keyStart = 0
  keyLength = -1
  valueStart = 0
  valueLength = -1
  recordEnd: number

  private readonly count: number
  private readonly doubles: Float64Array
  private readonly numbers: Int32Array
  private at = 0

  constructor(frame: Buffer) {
    this.buffer = frame
    const start = frame.byteOffset + FRAME
    const count = new Float64Array(frame.buffer, start, 1)[0]!
    this.count = count
    this.doubles = new Float64Array(frame.buffer, start + COUNT, 2 * count)
    this.numbers = new Int32Array(frame.buffer, start + COUNT + 16 * count, 3 * count)
    this.recordEnd = FRAME + COUNT + count * NUMBERS
  }

  next(): boolean {
    const { at, count, doubles, numbers } = this
    if (at === count) return false
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
    return true
  }
}
