/**
 * Finds the frames in a concatenation of lz4 or zstd frames by their headers. The decoders stop silently after the first
 * frame and some take a cut frame for a short one; with the frames' bounds known, every frame is decoded and a cut one is seen.
 */

export interface Frame {
  readonly start: number
  readonly end: number
}

export interface Lz4Frame extends Frame {
  /** The most bytes that it can decode to. */
  readonly maxOutput: number
}

const isSkippable = (magic: number): boolean => (magic & 0xfffffff0) >>> 0 === 0x184d2a50

/** Walks `bytes`; undefined when a frame is cut short or is none. `frameAt` returns undefined for the same reasons. */
const walk = <F extends Frame>(
  bytes: Buffer,
  magic: number,
  frameAt: (start: number) => F | undefined
): ReadonlyArray<F> | undefined => {
  const frames: Array<F> = []
  let p = 0
  while (p < bytes.length) {
    if (p + 8 > bytes.length) return undefined
    const found = bytes.readUInt32LE(p)
    if (isSkippable(found)) {
      p += 8 + bytes.readUInt32LE(p + 4)
      if (p > bytes.length) return undefined
    } else {
      const frame = found === magic ? frameAt(p) : undefined
      if (frame === undefined) return undefined
      frames.push(frame)
      p = frame.end
    }
  }
  return frames
}

/** https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md; no block decodes to more than 255 times its size. */
export const lz4Frames = (bytes: Buffer): ReadonlyArray<Lz4Frame> | undefined =>
  walk(bytes, 0x184d2204, (start) => {
    const flags = bytes[start + 4]!
    const blockMaximum = 1 << (8 + 2 * ((bytes[start + 5]! >>> 4) & 7))
    let p = start + 7 + (flags & 0x08 ? 8 : 0) + (flags & 0x01 ? 4 : 0)
    let maxOutput = 0
    for (;;) {
      if (p + 4 > bytes.length) return undefined
      const header = bytes.readUInt32LE(p)
      p += 4
      if (header === 0) break
      const size = header & 0x7fffffff
      maxOutput += header > 0x7fffffff ? size : Math.min(blockMaximum, size * 255)
      p += size + (flags & 0x10 ? 4 : 0)
    }
    const end = p + (flags & 0x04 ? 4 : 0)
    return end > bytes.length ? undefined : { start, end, maxOutput }
  })

/** RFC 8878, sections 3.1.1 and 3.1.2. */
export const zstdFrames = (bytes: Buffer): ReadonlyArray<Frame> | undefined =>
  walk(bytes, 0xfd2fb528, (start) => {
    const descriptor = bytes[start + 4]!
    const singleSegment = (descriptor & 0x20) !== 0
    const contentSize = descriptor >>> 6 === 0 ? (singleSegment ? 1 : 0) : 1 << (descriptor >>> 6)
    const dictionaryId = (descriptor & 3) === 3 ? 4 : descriptor & 3
    let p = start + 5 + (singleSegment ? 0 : 1) + dictionaryId + contentSize
    for (let last = false; !last;) {
      if (p + 3 > bytes.length) return undefined
      const header = bytes.readUIntLE(p, 3)
      last = (header & 1) !== 0
      const type = (header >>> 1) & 3
      p += 3 + (type === 1 ? 1 : header >>> 3)
    }
    const end = p + (descriptor & 0x04 ? 4 : 0)
    return end > bytes.length ? undefined : { start, end }
  })
