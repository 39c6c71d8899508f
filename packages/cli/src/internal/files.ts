/**
 * Files of lines: gzip where the name ends in `.gz`, and `-` for standard input and output.
 */
import { Effect, type Scope } from "effect"
import * as fs from "node:fs"
import * as path from "node:path"
import { pipeline } from "node:stream/promises"
import { Readable } from "node:stream"
import { promisify } from "node:util"
import * as zlib from "node:zlib"
import { type CommandFailed, failed } from "./failure.ts"
import { chunks, writeLines } from "./output.ts"

const STANDARD = "-"

const isCompressed = (file: string): boolean => file.endsWith(".gz")

const why = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const unreadable = (file: string) => (error: unknown) => failed("usage", `${file} cannot be read: ${why(error)}`)

const unwritable = (file: string) => (error: unknown) => failed("failed", `${file} cannot be written: ${why(error)}`)

const standardInput = async (): Promise<Buffer> => {
  const chunks: Array<Uint8Array> = []
  for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}

const gunzip = promisify(zlib.gunzip)

/** A whole file, decompressed. */
export const readFile = (file: string): Effect.Effect<Buffer, CommandFailed> =>
  file === STANDARD
    ? Effect.tryPromise({ try: standardInput, catch: unreadable("standard input") })
    : Effect.tryPromise({
        try: async () => {
          const bytes = await fs.promises.readFile(file)
          return isCompressed(file) ? gunzip(bytes) : bytes
        },
        catch: unreadable(file)
      })

/** Lines of bytes, without their ends; the last one may have none. */
export function* linesOf(bytes: Buffer): Iterable<Buffer> {
  for (let start = 0; start < bytes.length;) {
    const found = bytes.indexOf(10, start)
    const end = found < 0 ? bytes.length : found
    yield bytes.subarray(start, end)
    start = end + 1
  }
}

/** Where lines are written to. */
export interface Sink {
  readonly write: (lines: Iterable<string>) => Effect.Effect<void, CommandFailed>
}

/**
 * A place for lines, of which a file has all or none: they are written beside it, and take its name once they are whole. What is
 * beside it goes with the scope.
 */
export const sink = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Sink, CommandFailed, Scope.Scope> {
  if (file === STANDARD) return { write: writeLines }
  const beside = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}`)
  const opened = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => fs.promises.open(beside, "wx"), catch: unwritable(file) }),
    (handle) =>
      Effect.promise(async () => {
        await handle.close().catch(() => {})
        await fs.promises.rm(beside, { force: true })
      })
  )
  return {
    write: (lines) =>
      Effect.tryPromise({
        try: async (signal) => {
          const source = Readable.from(chunks(lines))
          const target = opened.createWriteStream()
          if (isCompressed(file)) await pipeline(source, zlib.createGzip(), target, { signal })
          else await pipeline(source, target, { signal })
          await fs.promises.rename(beside, file)
        },
        catch: unwritable(file)
      })
  }
})
