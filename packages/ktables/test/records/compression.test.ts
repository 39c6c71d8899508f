import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as zlib from "node:zlib"
import {
  compress,
  type Compression,
  type CompressionProblem,
  compressionCode,
  compressionOf,
  decompress,
  makeCodecs,
  unavailable
} from "../../src/internal/records/compression.ts"
import { loadPackage } from "../../src/internal/records/optionalPackage.ts"

const kinds: ReadonlyArray<Compression> = ["none", "gzip", "snappy", "lz4", "zstd"]
const compressing = kinds.filter((kind) => kind !== "none")
const limit = 1 << 24

const bytesOf = (result: Buffer | CompressionProblem): Buffer => {
  if (!Buffer.isBuffer(result)) throw new Error(`${result.kind}: ${result.detail}`)
  return result
}

const problemOf = (result: Buffer | CompressionProblem): CompressionProblem => {
  if (Buffer.isBuffer(result)) throw new Error(`expected a problem, got ${result.length} bytes`)
  return result
}

const text = Buffer.from("price lists, feature flags, registries; ".repeat(5000))

describe("compression", () => {
  it.effect("numbers the compressions as the attributes of a batch do", () =>
    Effect.sync(() => {
      assert.deepStrictEqual([0, 1, 2, 3, 4].map(compressionOf), [...kinds])
      assert.deepStrictEqual(kinds.map(compressionCode), [0, 1, 2, 3, 4])
      assert.deepStrictEqual([5, 6, 7].map(compressionOf), [undefined, undefined, undefined])
      assert.strictEqual(compressionOf(0x38 | 3), "lz4")
    })
  )

  for (const kind of kinds) {
    it.prop(`${kind} gives back what it was given`, [Schema.Uint8Array], ([bytes]) => {
      const repeated = Buffer.concat([bytes, bytes, bytes])
      assert.isTrue(bytesOf(decompress(kind, bytesOf(compress(kind, repeated)), limit)).equals(repeated))
    })
  }

  for (const kind of compressing) {
    it.effect(`${kind} makes repetitive bytes smaller and refuses an output above the limit`, () =>
      Effect.sync(() => {
        const compressed = bytesOf(compress(kind, text))
        assert.isBelow(compressed.length, text.length / 4)
        const problem = problemOf(decompress(kind, compressed, text.length - 1))
        assert.strictEqual(problem.kind, "BatchTooLarge")
        assert.include(problem.detail, String(text.length - 1))
      })
    )

    it.effect(`${kind} that is cut short at any byte is a problem, never fewer bytes and never a throw`, () =>
      Effect.sync(() => {
        const compressed = bytesOf(compress(kind, Buffer.from("the quick brown fox ".repeat(40))))
        // Without any byte at all there is no frame to miss: the count of records tells.
        for (let length = 1; length < compressed.length; length++) {
          // A cut right behind xerial's header leaves a stream of no blocks.
          if (kind === "snappy" && length === 16) continue
          assert.strictEqual(problemOf(decompress(kind, compressed.subarray(0, length), limit)).kind, "Corrupt")
        }
      })
    )

    it.prop(`${kind} of arbitrary bytes never throws`, [Schema.Uint8Array], ([bytes]) => {
      const result = decompress(kind, Buffer.from(bytes), limit)
      assert.isTrue(Buffer.isBuffer(result) || result.kind === "Corrupt" || result.kind === "BatchTooLarge")
    })

    it.effect(`${kind} frames that follow each other are all decoded`, () =>
      Effect.sync(() => {
        const first = bytesOf(compress(kind, Buffer.from("first,")))
        const second = bytesOf(compress(kind, text))
        const both = bytesOf(decompress(kind, Buffer.concat([first, second]), limit))
        assert.isTrue(both.equals(Buffer.concat([Buffer.from("first,"), text])))
        // The limit is on their sum.
        assert.strictEqual(
          problemOf(decompress(kind, Buffer.concat([second, second]), text.length * 2 - 1)).kind,
          "BatchTooLarge"
        )
        const one = bytesOf(compress(kind, Buffer.from("x")))
        assert.strictEqual(problemOf(decompress(kind, Buffer.concat([second, one]), text.length)).kind, "BatchTooLarge")
      })
    )
  }

  it.effect("a raw snappy block, as librdkafka writes it, is read without xerial's framing", () =>
    Effect.sync(() => {
      const snappy = loadPackage("snappy") as { readonly compressSync: (bytes: Buffer) => Buffer }
      assert.isTrue(bytesOf(decompress("snappy", snappy.compressSync(text), limit)).equals(text))
    })
  )

  it.effect("a snappy block that claims 4 GiB is refused before anything is allocated", () =>
    Effect.sync(() => {
      const claim = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2, 3])
      assert.strictEqual(problemOf(decompress("snappy", claim, limit)).kind, "BatchTooLarge")
    })
  )

  it.effect("skippable lz4 and zstd frames are passed over", () =>
    Effect.sync(() => {
      const skippable = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
      for (const kind of ["lz4", "zstd"] as const) {
        const bytes = Buffer.concat([skippable, bytesOf(compress(kind, text))])
        assert.isTrue(bytesOf(decompress(kind, bytes, limit)).equals(text))
      }
    })
  )

  it.effect("lz4 frames with checksums and zstd frames with checksums and known sizes are read", () =>
    Effect.sync(() => {
      const lz4 = loadPackage("lz4-napi") as { readonly compressFrameSync: (bytes: Buffer, options: object) => Buffer }
      const checked = lz4.compressFrameSync(text, { contentChecksum: true, blockChecksums: true })
      assert.isTrue(
        bytesOf(decompress("lz4", Buffer.concat([checked, checked]), limit)).equals(Buffer.concat([text, text]))
      )
      for (const pledgedSrcSize of [undefined, text.length]) {
        const frame = zlib.zstdCompressSync(text, {
          params: { [zlib.constants.ZSTD_c_checksumFlag]: 1 },
          ...(pledgedSrcSize === undefined ? {} : { pledgedSrcSize })
        })
        assert.isTrue(
          bytesOf(decompress("zstd", Buffer.concat([frame, frame]), limit)).equals(Buffer.concat([text, text]))
        )
      }
    })
  )

  it.effect("zstd frames of one repeated byte, whose blocks hold nothing else, are read", () =>
    Effect.sync(() => {
      const same = Buffer.alloc(1 << 20, 97)
      const frame = bytesOf(compress("zstd", same))
      assert.isTrue(
        bytesOf(decompress("zstd", Buffer.concat([frame, frame]), limit)).equals(Buffer.concat([same, same]))
      )
    })
  )

  it.effect("a package that is not installed is a problem that names what to install", () =>
    Effect.sync(() => {
      const codecs = makeCodecs((name) => {
        throw new Error(`Cannot find module '${name}'`)
      })
      for (const [kind, name] of [
        ["snappy", "snappy"],
        ["lz4", "lz4-napi"]
      ] as const) {
        const compressed = bytesOf(compress(kind, text))
        for (const problem of [
          problemOf(codecs.decompress(kind, compressed, limit)),
          problemOf(codecs.compress(kind, text)),
          codecs.unavailable(kind)!
        ]) {
          assert.strictEqual(problem.kind, "CompressionUnavailable")
          assert.include(problem.detail, `npm install ${name}`)
        }
        assert.isUndefined(unavailable(kind))
      }
      assert.isUndefined(codecs.unavailable("gzip"))
    })
  )

  it.effect("a Node without zstd is a problem that names the Node to use", () =>
    Effect.sync(() => {
      const codecs = makeCodecs(() => ({}))
      const problem = problemOf(codecs.decompress("zstd", bytesOf(compress("zstd", text)), limit))
      assert.strictEqual(problem.kind, "CompressionUnavailable")
      assert.include(problem.detail, "22.15")
      assert.deepStrictEqual(codecs.unavailable("zstd"), problem)
    })
  )
})
