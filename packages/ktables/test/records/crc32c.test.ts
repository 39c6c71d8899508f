import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { crc32c, crc32cPortable, makeCrc32c } from "../../src/internal/records/crc32c.ts"
import { loadPackage } from "../../src/internal/records/optionalPackage.ts"

const native = (loadPackage("@node-rs/crc32") as { readonly crc32c: (bytes: Uint8Array) => number }).crc32c

// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
const vectors: ReadonlyArray<readonly [string, Buffer, number]> = [
  ["32 zeros", Buffer.alloc(32), 0x8a9136aa],
  ["32 ones", Buffer.alloc(32, 0xff), 0x62a8ab43],
  ["32 ascending bytes", Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ["32 descending bytes", Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
  ["the digits 1 to 9", Buffer.from("123456789"), 0xe3069283],
  ["nothing", Buffer.alloc(0), 0]
]

describe("crc32c", () => {
  it.effect.each(vectors)("agrees with the published value of %s", ([, bytes, expected]) =>
    Effect.sync(() => {
      assert.strictEqual(crc32c(bytes, 0, bytes.length), expected)
      assert.strictEqual(crc32cPortable(bytes, 0, bytes.length), expected)
      assert.strictEqual(native(bytes), expected)
    })
  )

  it.prop(
    "the table-driven form agrees with the native one on any part of any bytes",
    [Schema.Uint8Array, Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))],
    ([bytes, start]) => {
      const padded = Buffer.concat([Buffer.alloc(40), bytes, Buffer.alloc(500, 7)])
      for (const end of [start, start + 1, start + 9, padded.length]) {
        assert.strictEqual(crc32cPortable(padded, start, end), native(padded.subarray(start, end)))
        assert.strictEqual(crc32c(padded, start, end), native(padded.subarray(start, end)))
      }
    }
  )

  it.effect("falls back to the tables where the native package does not load", () =>
    Effect.sync(() => {
      let asked = 0
      const fallback = makeCrc32c(() => {
        asked++
        throw new Error("Cannot find module '@node-rs/crc32'")
      })
      assert.strictEqual(asked, 0)
      const bytes = Buffer.from(Array.from({ length: 1000 }, (_, i) => (i * 31) & 255))
      for (let time = 0; time < 3; time++) {
        assert.strictEqual(fallback(bytes, 7, 990), crc32cPortable(bytes, 7, 990))
        assert.strictEqual(fallback(bytes, 7, 20), crc32cPortable(bytes, 7, 20))
      }
      assert.strictEqual(asked, 1)
    })
  )
})
