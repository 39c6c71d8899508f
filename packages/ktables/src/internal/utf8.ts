/**
 * Exact UTF-8: invalid bytes and lone surrogates are refused rather than replaced, and a byte order mark is kept.
 */
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** `Buffer.prototype.utf8Slice` spares `toString`'s argument checks; it is undocumented, so it may be missing. */
const utf8Slice: (this: Buffer, start: number, end: number) => string =
  (Buffer.prototype as unknown as { utf8Slice?: (start: number, end: number) => string }).utf8Slice ??
  function (this: Buffer, start, end) {
    return this.toString("utf8", start, end)
  }

/** The text of `buffer` from `start` to `end`; undefined when the bytes are not UTF-8. */
export const decodeUtf8 = (buffer: Buffer, start: number, end: number): string | undefined => {
  const text = utf8Slice.call(buffer, start, end)
  // The fast decoder writes U+FFFD for invalid bytes; only a text that has one needs the strict decoder's word.
  if (!text.includes("\ufffd")) return text
  try {
    return strict.decode(buffer.subarray(start, end))
  } catch {
    return undefined
  }
}

/** The UTF-8 bytes of `text`; undefined when it has a lone surrogate. */
export const encodeUtf8 = (text: string): Buffer | undefined =>
  text.isWellFormed() ? Buffer.from(text, "utf8") : undefined
