/**
 * CRC32C (Castagnoli), the checksum of record batches: by the processor's instruction through `@node-rs/crc32` where
 * that loads, else by tables.
 */
import { type LoadPackage, loadPackage } from "./optionalPackage.ts"

/** The checksum of `bytes` from `start` up to `end`, as an unsigned number. */
export type Crc32c = (bytes: Buffer, start: number, end: number) => number

const makeTables = (): Int32Array => {
  const tables = new Int32Array(8 * 256)
  for (let n = 0; n < 256; n++) {
    let crc = n
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    tables[n] = crc
  }
  for (let n = 256; n < tables.length; n++) {
    const previous = tables[n - 256]!
    tables[n] = (previous >>> 8) ^ tables[previous & 255]!
  }
  return tables
}

const T = makeTables()

/** Eight bytes a step ("slicing-by-8"), without any native code. */
export const crc32cPortable: Crc32c = (bytes, start, end) => {
  let crc = -1
  let p = start
  for (const last = end - 8; p <= last; p += 8) {
    crc ^= bytes[p]! | (bytes[p + 1]! << 8) | (bytes[p + 2]! << 16) | (bytes[p + 3]! << 24)
    crc =
      T[1792 + (crc & 255)]! ^
      T[1536 + ((crc >>> 8) & 255)]! ^
      T[1280 + ((crc >>> 16) & 255)]! ^
      T[1024 + (crc >>> 24)]! ^
      T[768 + bytes[p + 4]!]! ^
      T[512 + bytes[p + 5]!]! ^
      T[256 + bytes[p + 6]!]! ^
      T[bytes[p + 7]!]!
  }
  for (; p < end; p++) crc = (crc >>> 8) ^ T[(crc ^ bytes[p]!) & 255]!
  return ~crc >>> 0
}

/** Below this many bytes the call into native code costs more than the tables do. */
const NATIVE_FROM = 144

/** The fastest form that loads here; it is looked for when the first checksum of a large batch is wanted. */
export const makeCrc32c = (load: LoadPackage): Crc32c => {
  let whole: ((bytes: Uint8Array) => number) | undefined
  const find = (): ((bytes: Uint8Array) => number) => {
    try {
      return (load("@node-rs/crc32") as { readonly crc32c: (bytes: Uint8Array) => number }).crc32c
    } catch {
      return (bytes) => crc32cPortable(bytes as Buffer, 0, bytes.length)
    }
  }
  return (bytes, start, end) =>
    end - start < NATIVE_FROM ? crc32cPortable(bytes, start, end) : (whole ??= find())(bytes.subarray(start, end))
}

export const crc32c: Crc32c = makeCrc32c(loadPackage)

/** Loads what the first checksum would: for a moment in which there is nothing to do but wait. */
export const prepareCrc32c = (): void => {
  crc32c(Buffer.alloc(NATIVE_FROM), 0, NATIVE_FROM)
}
