/**
 * Exact UTF-8: invalid bytes and lone surrogates are refused rather than replaced, and a byte order mark is kept.
 */
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const encoder = new TextEncoder()

/** Where the bytes are Node's, they have a decoder that is quicker for short texts; it is undocumented, and may be missing. */
interface Bytes extends Uint8Array {
  readonly utf8Slice?: (start: number, end: number) => string
}

/** The text of `bytes` from `start` to `end`; undefined when they are not UTF-8. */
export const decodeUtf8 = (bytes: Bytes, start: number, end: number): string | undefined => {
  if (bytes.utf8Slice !== undefined) {
    const text = bytes.utf8Slice(start, end)
    // The fast decoder writes U+FFFD for invalid bytes; only a text that has one needs the strict decoder's word.
    if (!text.includes("\ufffd")) return text
  }
  try {
    return strict.decode(bytes.subarray(start, end))
  } catch {
    return undefined
  }
}

/** Short texts share memory, as those of Node's `Buffer` do: an array of its own costs several times the encoding. */
const SLAB = 16_384
const LONGEST_SHARED = 4096
let slab = new Uint8Array(SLAB)
let slabUsed = 0

/** The UTF-8 bytes of `text`; undefined when it has a lone surrogate. */
export const encodeUtf8 = (text: string): Uint8Array | undefined => {
  if (!text.isWellFormed()) return undefined
  // No unit of UTF-16 takes more than three bytes.
  const most = text.length * 3
  if (most > LONGEST_SHARED) return encoder.encode(text)
  if (slabUsed + most > SLAB) {
    slab = new Uint8Array(SLAB)
    slabUsed = 0
  }
  const start = slabUsed
  const { written } = encoder.encodeInto(text, slab.subarray(start))
  slabUsed += written
  return new Uint8Array(slab.buffer, start, written)
}
