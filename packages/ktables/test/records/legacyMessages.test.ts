import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { crc32, deflateSync } from "node:zlib"
import { summarize } from "../../src/internal/records/batchReader.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { compress, type Compression, compressionCode } from "../../src/internal/records/compression.ts"
import { chance } from "../support/chance.ts"
import { cursorOf, offsets, walk } from "./walk.ts"

const field = (bytes: Buffer | string | null): Buffer => {
  if (bytes === null) return Buffer.from([255, 255, 255, 255])
  const length = Buffer.alloc(4)
  length.writeInt32BE(bytes.length)
  return Buffer.concat([length, Buffer.from(bytes)])
}

/** A message by the layout of https://kafka.apache.org/documentation/#messageset. */
const message = (
  magic: 0 | 1,
  offset: number,
  key: string | null,
  value: Buffer | string | null,
  attributes = 0,
  timestamp = 1000 + offset
): Buffer => {
  const time = Buffer.alloc(magic === 0 ? 0 : 8)
  if (magic === 1) time.writeBigInt64BE(BigInt(timestamp))
  const content = Buffer.concat([Buffer.from([magic, attributes]), time, field(key), field(value)])
  const head = Buffer.alloc(16)
  head.writeBigInt64BE(BigInt(offset))
  head.writeInt32BE(content.length + 4, 8)
  head.writeUInt32BE(crc32(content), 12)
  return Buffer.concat([head, content])
}

const wrapper = (
  magic: 0 | 1,
  offset: number,
  kind: Compression,
  inner: ReadonlyArray<Buffer>,
  attributes = 0,
  timestamp = 5000
): Buffer => {
  const compressed = compress(kind, Buffer.concat(inner))
  if (!Buffer.isBuffer(compressed)) throw new Error(compressed.detail)
  return message(magic, offset, null, compressed, compressionCode(kind) | attributes, timestamp)
}

describe("messages of the old formats", () => {
  it.effect("magic 0 and 1 are read one by one, and before batches of the new format", () =>
    Effect.sync(() => {
      const set = Buffer.concat([
        message(0, 3, "a", "1"),
        message(1, 5, null, ""),
        message(1, 6, "b", null),
        encodeBatch([{ offsetDelta: 0, timestamp: 7, key: Buffer.from("c"), value: null }], {
          baseOffset: 9,
          producerId: 4n,
          producerEpoch: 1,
          leaderEpoch: 2
        })
      ])
      const cursor = cursorOf(set)
      assert.deepStrictEqual(walk(cursor), [
        { offset: 3, timestamp: -1, key: "a", value: "1" },
        { offset: 5, timestamp: 1005, key: null, value: "" },
        { offset: 6, timestamp: 1006, key: "b", value: null },
        { offset: 9, timestamp: 7, key: "c", value: null }
      ])
      assert.isUndefined(cursor.problem)
      assert.strictEqual(cursor.nextOffset, 10)
      assert.deepStrictEqual(summarize(set), {
        nextOffset: 10,
        lastEpoch: 2,
        wholeBytes: set.length,
        firstBatchNeeds: 0
      })
      assert.strictEqual(summarize(message(1, 5, null, "")).lastEpoch, -1)
    })
  )

  it.effect("have no producer, epoch, sequence nor append time, also behind a batch that has them", () =>
    Effect.sync(() => {
      const one = { offsetDelta: 0, timestamp: 7, key: null, value: null }
      const batch = encodeBatch([one], {
        producerId: 4n,
        producerEpoch: 1,
        baseSequence: 3,
        leaderEpoch: 2,
        isLogAppendTime: true
      })
      const cursor = cursorOf(Buffer.concat([batch, message(1, 1, "a", "1")]))
      assert.isTrue(cursor.next() && cursor.next())
      assert.deepStrictEqual(
        [cursor.producerId, cursor.producerEpoch, cursor.sequence, cursor.leaderEpoch],
        [-1n, -1, -1, -1]
      )
      assert.strictEqual(cursor.timestamp, 1001)
    })
  )

  it.effect("a wrapper of magic 1 numbers its messages relative to its own offset, holes included", () =>
    Effect.sync(() => {
      for (const kind of ["gzip", "snappy", "lz4"] as const) {
        const inner = [message(1, 0, "a", "1"), message(1, 2, "b", "2"), message(1, 7, "c", "3")]
        const cursor = cursorOf(wrapper(1, 107, kind, inner), 101)
        assert.deepStrictEqual(walk(cursor), [
          { offset: 102, timestamp: 1002, key: "b", value: "2" },
          { offset: 107, timestamp: 1007, key: "c", value: "3" }
        ])
        assert.isUndefined(cursor.problem)
        assert.strictEqual(cursor.nextOffset, 108)
      }
    })
  )

  it.effect("a wrapper of magic 0 holds absolute offsets", () =>
    Effect.sync(() => {
      for (const kind of ["gzip", "snappy"] as const) {
        const cursor = cursorOf(wrapper(0, 42, kind, [message(0, 40, "a", "1"), message(0, 42, "b", "2")]))
        assert.deepStrictEqual(offsets(cursor), [40, 42])
        assert.strictEqual(cursor.nextOffset, 43)
      }
    })
  )

  it.effect("a wrapper that the broker stamped gives its time to its messages", () =>
    Effect.sync(() => {
      const cursor = cursorOf(wrapper(1, 1, "gzip", [message(1, 0, "a", "1"), message(1, 1, "b", "2")], 0x08))
      assert.deepStrictEqual(
        walk(cursor).map(({ timestamp }) => timestamp),
        [5000, 5000]
      )
    })
  )

  it.effect("a message cut short at any byte ends the walk silently", () =>
    Effect.sync(() => {
      const first = message(1, 0, "a", "1")
      const set = Buffer.concat([first, message(0, 1, "b", "2")])
      for (let length = 0; length < set.length; length++) {
        const cursor = cursorOf(set.subarray(0, length))
        assert.deepStrictEqual(offsets(cursor), length < first.length ? [] : [0])
        assert.isUndefined(cursor.problem)
      }
    })
  )

  it.effect("any flipped bit behind the offset is a problem or cuts the message short, never another record", () =>
    Effect.sync(() => {
      for (const set of [
        message(0, 0, "key", "value"),
        message(1, 0, "key", "value"),
        wrapper(1, 1, "gzip", [message(1, 0, "a", "1"), message(1, 1, "b", "2")])
      ]) {
        for (let at = 8; at < set.length; at++) {
          for (let bit = 0; bit < 8; bit++) {
            const damaged = Buffer.from(set)
            damaged[at]! ^= 1 << bit
            const cursor = cursorOf(damaged)
            assert.deepStrictEqual(walk(cursor), [], `byte ${at}, bit ${bit}`)
            assert.isTrue(cursor.problem !== undefined || at < 12, `byte ${at}, bit ${bit}`)
          }
        }
      }
    })
  )

  it.effect("inner messages that do not fit their wrapper are corrupt", () =>
    Effect.sync(() => {
      const broken = message(1, 1, "b", "2")
      broken[broken.length - 1]! ^= 1
      const cases: ReadonlyArray<readonly [string, Buffer]> = [
        ["no messages", wrapper(1, 5, "gzip", [])],
        ["offsets below zero", wrapper(1, 1, "gzip", [message(1, 0, "a", "1"), message(1, 9, "b", "2")])],
        ["offsets that go back", wrapper(1, 5, "gzip", [message(1, 3, "a", "1"), message(1, 1, "b", "2")])],
        [
          "an offset below the first",
          wrapper(1, 9, "gzip", [message(1, 3, "a", "1"), message(1, 1, "b", "2"), message(1, 5, "c", "3")])
        ],
        ["another format", wrapper(1, 5, "gzip", [message(0, 0, "a", "1")])],
        ["a wrapper within", wrapper(1, 5, "gzip", [wrapper(1, 0, "gzip", [message(1, 0, "a", "1")])])],
        ["a broken checksum within", wrapper(1, 5, "gzip", [message(1, 0, "a", "1"), broken])],
        ["a cut message", wrapper(1, 5, "gzip", [message(1, 0, "a", "1").subarray(0, 30)])],
        ["an absolute offset that is not the wrapper's", wrapper(0, 5, "gzip", [message(0, 4, "a", "1")])],
        ["no value", message(1, 5, null, null, 1)],
        ["bytes that are no gzip", message(1, 5, null, deflateSync("x"), 1)]
      ]
      for (const [name, set] of cases) {
        const cursor = cursorOf(set)
        assert.isFalse(cursor.next(), name)
        assert.strictEqual(cursor.problem?.kind, "Corrupt", name)
      }
    })
  )

  it.effect("a compression that the format does not know and lz4 of magic 0 with its old checksum are refused", () =>
    Effect.sync(() => {
      const unknown = cursorOf(message(1, 5, null, "x", 7))
      assert.isFalse(unknown.next())
      assert.strictEqual(unknown.problem?.kind, "UnsupportedCompression")
      const frame = compress("lz4", message(0, 5, "a", "1"))
      if (!Buffer.isBuffer(frame)) throw new Error(frame.detail)
      frame[6]! ^= 0xff
      const old = cursorOf(message(0, 5, null, frame, 3))
      assert.isFalse(old.next())
      assert.strictEqual(old.problem?.kind, "UnsupportedCompression")
      assert.include(old.problem!.detail, "magic 0")
    })
  )

  it.effect("random bytes with valid checksums never throw and stay within their message", () =>
    Effect.sync(() => {
      const start = Date.now() % 1_000_000
      let problems = 0
      for (let seed = start; seed < start + 5000; seed++) {
        const random = chance(seed).below
        const content = Buffer.from(Array.from({ length: 10 + random(50) }, () => random(random(2) === 0 ? 256 : 3)))
        content[0] = random(2)
        content[1] = random(4)
        const set = Buffer.alloc(16 + content.length)
        set.writeInt32BE(content.length + 4, 8)
        set.writeUInt32BE(crc32(content), 12)
        content.copy(set, 16)
        const cursor = cursorOf(set)
        const seen = walk(cursor)
        if (cursor.problem !== undefined) problems++
        else assert.strictEqual(seen.length, 1, `seed ${seed}`)
      }
      assert.isAbove(problems, 1000)
    })
  )
})
