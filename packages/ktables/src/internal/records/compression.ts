/**
 * The compressions of record batches (https://kafka.apache.org/documentation/#recordbatch): gzip and zstd by Node,
 * snappy and lz4 by optional packages that are loaded when the first batch needs them.
 */
import * as zlib from "node:zlib"
import { type Frame, lz4Frames, zstdFrames } from "./compressedFrames.ts"
import { COMPRESSION_MASK } from "./batchFormat.ts"
import { type LoadPackage, loadPackage } from "./optionalPackage.ts"

export type Compression = "none" | "gzip" | "snappy" | "lz4" | "zstd"

/** Why bytes could not be compressed or decompressed. */
export interface CompressionProblem {
  readonly kind: "Corrupt" | "CompressionUnavailable" | "BatchTooLarge"
  /** What is wrong and, where a person can do something, what. */
  readonly detail: string
}

/** The most a batch may decompress to: far above what brokers let in, far below what ends a process. */
export const MAX_DECOMPRESSED = 256 * 1024 * 1024

const byCode: ReadonlyArray<Compression> = ["none", "gzip", "snappy", "lz4", "zstd"]

/** Undefined for a compression that the format does not know. */
export const compressionOf = (attributes: number): Compression | undefined => byCode[attributes & COMPRESSION_MASK]

/** The number of a compression in a batch's attributes. */
export const compressionCode = (kind: Compression): number => byCode.indexOf(kind)

/** Compresses and decompresses; the packages behind it are loaded once, when first needed. */
export interface Codecs {
  readonly decompress: (kind: Compression, bytes: Buffer, maxOutputLength: number) => Buffer | CompressionProblem
  readonly compress: (kind: Compression, bytes: Buffer) => Buffer | CompressionProblem
  /** What keeps a compression from being used here, for a writer to know before its first batch. */
  readonly unavailable: (kind: Compression) => CompressionProblem | undefined
}

interface Snappy {
  readonly compressSync: (bytes: Uint8Array) => Buffer
  readonly uncompressSync: (
    bytes: Uint8Array,
    options: { readonly asBuffer: true; readonly copyOutputData: true }
  ) => Buffer
}

interface Lz4 {
  readonly compressFrameSync: (bytes: Buffer) => Buffer
  readonly decompressFrameSync: (bytes: Buffer) => Buffer
}

type Zstd = Pick<typeof zlib, "zstdCompressSync" | "zstdDecompressSync">

/** Ends a decompression from within the codecs; never leaves this module. */
class Refused extends Error {
  readonly problem: CompressionProblem
  constructor(kind: CompressionProblem["kind"], detail: string) {
    super(detail)
    this.problem = { kind, detail }
  }
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const tooLarge = (limit: number) => new Refused("BatchTooLarge", `decompresses to more than ${limit} bytes`)

// xerial's framing, which Java writes: this magic and two int32 versions, then blocks behind their int32 lengths.
const XERIAL_MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const XERIAL_HEADER = 16

const isXerial = (bytes: Buffer, at: number): boolean =>
  bytes.length >= at + XERIAL_HEADER && bytes.compare(XERIAL_MAGIC, 0, 8, at, at + 8) === 0

/** A raw block begins with its decoded length as a varint, which bounds what the decoder allocates. */
const snappyLength = (block: Buffer): number => {
  let length = 0
  let scale = 1
  for (let i = 0; i < 5 && i < block.length; i++) {
    const byte = block[i]!
    length += (byte & 127) * scale
    if (byte < 128) return length
    scale *= 128
  }
  throw new Refused("Corrupt", "snappy: a block without a length")
}

const unsnap = (snappy: Snappy, bytes: Buffer, limit: number): Buffer => {
  const block = (from: number, to: number, left: number): Buffer => {
    const view = bytes.subarray(from, to)
    if (snappyLength(view) > left) throw tooLarge(limit)
    // Copied into Node's memory the output costs a fifth: every one of its own buffers is fresh pages.
    return snappy.uncompressSync(view, { asBuffer: true, copyOutputData: true })
  }
  if (!isXerial(bytes, 0)) return block(0, bytes.length, limit)
  const blocks: Array<Buffer> = []
  let left = limit
  let p = 0
  while (p < bytes.length) {
    // Streams may be concatenated: a header can stand wherever a block can.
    if (isXerial(bytes, p)) {
      p += XERIAL_HEADER
      continue
    }
    const from = p + 4
    const size = from <= bytes.length ? bytes.readInt32BE(p) : -1
    if (size < 0 || from + size > bytes.length) throw new Refused("Corrupt", "snappy: a block runs past the end")
    const decoded = block(from, from + size, left)
    blocks.push(decoded)
    left -= decoded.length
    p = from + size
  }
  return blocks.length === 1 ? blocks[0]! : Buffer.concat(blocks)
}

const eachFrame = (
  name: string,
  bytes: Buffer,
  frames: ReadonlyArray<Frame> | undefined,
  decode: (frame: Buffer) => Buffer
): Buffer => {
  if (frames === undefined) throw new Refused("Corrupt", `${name}: a frame is cut short or malformed`)
  const decoded = frames.map((frame) => decode(bytes.subarray(frame.start, frame.end)))
  return decoded.length === 1 ? decoded[0]! : Buffer.concat(decoded)
}

const guarded = <A>(kind: Compression, limit: number, run: () => A): A | CompressionProblem => {
  try {
    return run()
  } catch (cause) {
    if (cause instanceof Refused) return cause.problem
    if ((cause as { readonly code?: unknown } | undefined)?.code === "ERR_BUFFER_TOO_LARGE")
      return tooLarge(limit).problem
    return { kind: "Corrupt", detail: `${kind}: ${messageOf(cause)}` }
  }
}

/** Codecs on the packages that `load` finds. */
export const makeCodecs = (load: LoadPackage): Codecs => {
  const once = <A>(name: string): (() => A) => {
    let loaded: A | undefined
    return () => {
      if (loaded === undefined) {
        try {
          loaded = load(name) as A
        } catch (cause) {
          throw new Refused(
            "CompressionUnavailable",
            `needs the optional package ${name}: npm install ${name} (${messageOf(cause)})`
          )
        }
      }
      return loaded
    }
  }
  const snappy = once<Snappy>("snappy")
  const lz4 = once<Lz4>("lz4-napi")
  const zstd = (): Zstd => {
    const node = load("node:zlib") as Partial<Zstd>
    if (node.zstdCompressSync === undefined || node.zstdDecompressSync === undefined) {
      throw new Refused("CompressionUnavailable", `zstd needs Node 22.15 or newer, this is ${process.version}`)
    }
    return node as Zstd
  }

  const inflate = (kind: Compression, bytes: Buffer, limit: number): Buffer => {
    switch (kind) {
      case "none":
        return bytes
      case "gzip":
        return zlib.gunzipSync(bytes, { maxOutputLength: limit })
      case "snappy":
        return unsnap(snappy(), bytes, limit)
      case "lz4": {
        const { decompressFrameSync } = lz4()
        const frames = lz4Frames(bytes)
        // The decoder has no limit of its own; its output is bounded by what the blocks can hold at most.
        if (frames !== undefined && frames.reduce((sum, frame) => sum + frame.maxOutput, 0) > limit)
          throw tooLarge(limit)
        return eachFrame("lz4", bytes, frames, (frame) => decompressFrameSync(frame))
      }
      case "zstd": {
        const { zstdDecompressSync } = zstd()
        let left = limit
        return eachFrame("zstd", bytes, zstdFrames(bytes), (frame) => {
          // Node refuses a limit of 0; the sum is checked instead.
          const decoded = zstdDecompressSync(frame, { maxOutputLength: Math.max(left, 1) })
          left -= decoded.length
          if (left < 0) throw tooLarge(limit)
          return decoded
        })
      }
    }
  }

  const deflate = (kind: Compression, bytes: Buffer): Buffer => {
    switch (kind) {
      case "none":
        return bytes
      case "gzip":
        return zlib.gzipSync(bytes)
      case "snappy": {
        // Framed, as Java's clients write it; every client reads both forms.
        const block = snappy().compressSync(bytes)
        const framed = Buffer.allocUnsafe(XERIAL_HEADER + 4 + block.length)
        XERIAL_MAGIC.copy(framed)
        framed.writeInt32BE(1, 8)
        framed.writeInt32BE(1, 12)
        framed.writeInt32BE(block.length, XERIAL_HEADER)
        block.copy(framed, XERIAL_HEADER + 4)
        return framed
      }
      case "lz4":
        return lz4().compressFrameSync(bytes)
      case "zstd":
        return zstd().zstdCompressSync(bytes)
    }
  }

  return {
    decompress: (kind, bytes, maxOutputLength) =>
      guarded(kind, maxOutputLength, () => inflate(kind, bytes, maxOutputLength)),
    compress: (kind, bytes) => guarded(kind, MAX_DECOMPRESSED, () => deflate(kind, bytes)),
    unavailable: (kind) => {
      const result = guarded(kind, 0, () => {
        if (kind === "snappy") snappy()
        else if (kind === "lz4") lz4()
        else if (kind === "zstd") zstd()
      })
      return result ?? undefined
    }
  }
}

export const { compress, decompress, unavailable }: Codecs = makeCodecs(loadPackage)
