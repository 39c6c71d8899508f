/**
 * The headers of a record, which follow its value (https://kafka.apache.org/documentation/#recordheader). The loop over
 * records passes them over: they are read where somebody keeps them.
 */
import type { Header } from "../../TableEntry.ts"

export const noHeaders: ReadonlyArray<Header> = Object.freeze([])

/** The least that a header takes: two lengths. */
const LEAST = 2

/**
 * The headers that lie in `bytes` from `start` to `end`, copied; undefined where they are none. Keys that are not UTF-8 are
 * read as Java's clients do, with a sign in place of what is wrong.
 */
export const readHeaders = (bytes: Buffer, start: number, end: number): ReadonlyArray<Header> | undefined => {
  if (end === start + 1 && bytes[start] === 0) return noHeaders
  let at = start
  /** A signed varint of 32 bits; NaN where it runs past the end, or is longer. */
  const varint = (): number => {
    let zigzag = 0
    for (let shift = 0; shift <= 28 && at < end; shift += 7) {
      const byte = bytes[at++]!
      zigzag |= (byte & 127) << shift
      if (byte < 128) return (zigzag >>> 1) ^ -(zigzag & 1)
    }
    return NaN
  }
  const count = varint()
  if (!(count >= 0 && count * LEAST <= end - at)) return undefined
  const headers: Array<Header> = []
  for (let i = 0; i < count; i++) {
    const keyLength = varint()
    const keyEnd = at + keyLength
    if (!(keyLength >= 0 && keyEnd < end)) return undefined
    const key = bytes.toString("utf8", at, keyEnd)
    at = keyEnd
    const length = varint()
    if (!(length >= -1 && at + length <= end)) return undefined
    if (length < 0) headers.push({ key, value: null })
    else {
      headers.push({ key, value: new Uint8Array(bytes.subarray(at, at + length)) })
      at += length
    }
  }
  return at === end ? headers : undefined
}
