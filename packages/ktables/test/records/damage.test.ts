import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { summarize } from "../../src/internal/records/batchReader.ts"
import { encodeBatch, encodeControlBatch } from "../../src/internal/records/batchWriter.ts"
import { crc32c } from "../../src/internal/records/crc32c.ts"
import { chance } from "../support/chance.ts"
import { cursorOf, walk } from "./walk.ts"

const kinds = ["none", "gzip", "snappy", "lz4", "zstd"] as const

const batch = (baseOffset: number, compression: (typeof kinds)[number] = "none"): Buffer =>
  encodeBatch(
    Array.from({ length: 4 }, (_, i) => ({
      offsetDelta: i,
      timestamp: 1_700_000_000_000 + i,
      key: Buffer.from(`key-${i}`),
      value: i === 2 ? null : Buffer.from(`{"value":${i}}`)
    })),
    { baseOffset, compression, producerId: 1n, producerEpoch: 0, baseSequence: 0, isTransactional: true }
  )

/** The bytes of a batch that its checksum does not cover: the base offset and the leader epoch. */
const isUnchecked = (at: number): boolean => at < 8 || (at >= 12 && at < 16)

describe("a damaged record set", () => {
  for (const kind of kinds) {
    it.effect(`never shows a wrong record when any bit of a ${kind} batch is flipped`, () =>
      Effect.sync(() => {
        const first = batch(0, kind)
        const set = Buffer.concat([first, batch(4)])
        const truth = walk(cursorOf(set))
        assert.strictEqual(truth.length, 8)
        for (let at = 0; at < first.length; at++) {
          for (let bit = 0; bit < 8; bit++) {
            if (isUnchecked(at)) continue
            const damaged = Buffer.from(set)
            damaged[at]! ^= 1 << bit
            const cursor = cursorOf(damaged)
            // A longer length cuts the batch short; everything else is a problem.
            assert.deepStrictEqual(walk(cursor), [], `byte ${at}, bit ${bit}`)
            assert.isTrue(cursor.problem !== undefined || (at >= 8 && at < 12), `byte ${at}, bit ${bit}`)
            assert.strictEqual(cursor.nextOffset, 0)
          }
        }
      })
    )
  }

  it.effect("reads whatever precedes random damage, or nothing, and never throws", () =>
    Effect.sync(() => {
      const start = Date.now() % 1_000_000
      for (let seed = start; seed < start + 3000; seed++) {
        const random = chance(seed).below
        const marker = encodeControlBatch({
          baseOffset: 8,
          leaderEpoch: 0,
          producerId: 1n,
          producerEpoch: 0,
          type: "commit",
          timestamp: 1
        })
        const set = Buffer.concat([batch(0, kinds[random(5)]!), batch(4, kinds[random(5)]!), marker, batch(9)])
        const truth = new Set(walk(cursorOf(set)).map((record) => JSON.stringify(record)))
        const whole = Buffer.from(set)
        let damages = 1 + random(4)
        while (damages > 0) {
          const at = random(set.length)
          // Offsets outside the checksum cannot be told from others; the length and everything else can.
          const inBatch = summarizedAt(whole, at)
          if (isUnchecked(inBatch)) continue
          set[at] = random(256)
          damages--
        }
        const cursor = cursorOf(set)
        for (const record of walk(cursor)) assert.isTrue(truth.has(JSON.stringify(record)), `seed ${seed}`)
        assert.isAtMost(summarize(set).wholeBytes, set.length)
      }
    })
  )

  it.effect("ends on random bytes without a throw or a record, with and without a header that looks right", () =>
    Effect.sync(() => {
      const start = Date.now() % 1_000_000
      for (let seed = start; seed < start + 5000; seed++) {
        const random = chance(seed).below
        const bytes = Buffer.from(Array.from({ length: random(300) }, () => random(256)))
        if (bytes.length > 16 && random(2) === 0) {
          bytes[16] = random(3)
          bytes.writeInt32BE(random(bytes.length), 8)
        }
        const cursor = cursorOf(bytes, random(2), [{ producerId: BigInt(random(9)), firstOffset: random(9) }])
        assert.isFalse(cursor.next(), `seed ${seed}`)
        const summary = summarize(bytes)
        assert.isTrue(summary.wholeBytes <= bytes.length && summary.nextOffset >= -1, `seed ${seed}`)
      }
    })
  )

  it.effect("stays inside a batch whose signed records are random", () =>
    Effect.sync(() => {
      const start = Date.now() % 1_000_000
      const neighbour = batch(5000)
      let problems = 0
      for (let seed = start; seed < start + 20_000; seed++) {
        const random = chance(seed).below
        // Small bytes make plausible lengths.
        const range = random(2) === 0 ? 256 : 24
        const records = Buffer.from(Array.from({ length: random(60) }, () => random(range)))
        const liar = Buffer.concat([encodeBatch([], { baseOffset: 10, lastOffsetDelta: random(100) }), records])
        liar.writeInt32BE(liar.length - 12, 8)
        liar.writeInt32BE(random(6), 57)
        if (random(4) === 0) liar.writeInt16BE(random(5), 21)
        liar.writeUInt32BE(crc32c(liar, 21, liar.length), 17)
        const cursor = cursorOf(Buffer.concat([liar, neighbour]))
        let count = 0
        while (cursor.next()) {
          if (cursor.offset >= 5000) break
          count++
          assert.isAtMost(count, 6, `seed ${seed}`)
          assert.isTrue(cursor.keyStart >= 0 && cursor.keyLength >= -1 && cursor.valueLength >= -1, `seed ${seed}`)
          const end = Math.max(cursor.keyStart + cursor.keyLength, cursor.valueStart + cursor.valueLength)
          if (cursor.buffer.length > liar.length) assert.isAtMost(end, liar.length, `seed ${seed}`)
          assert.isAtMost(cursor.offset, 110, `seed ${seed}`)
        }
        if (cursor.problem !== undefined) {
          problems++
          assert.strictEqual(cursor.problem.offset, 10, `seed ${seed}`)
        }
      }
      assert.isAbove(problems, 1000)
    })
  )
})

/** How far into its batch a byte of a whole set lies. */
const summarizedAt = (set: Buffer, at: number): number => {
  let start = 0
  for (;;) {
    const end = start + 12 + set.readInt32BE(start + 8)
    if (at < end || end <= start || end >= set.length) return at - start
    start = end
  }
}
