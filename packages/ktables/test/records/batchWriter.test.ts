import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import {
  type BatchRecord,
  BATCH_OVERHEAD,
  encodeBatch,
  encodeControlBatch,
  estimateRecordSize,
  patchBaseOffset
} from "../../src/internal/records/batchWriter.ts"
import type { Compression } from "../../src/internal/records/compression.ts"
import { cursorOf, offsets, walk } from "./walk.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const RecordLike = Schema.Struct({
  gap: between(1, 70_000),
  timestamp: between(-(2 ** 45), 2 ** 45),
  key: Schema.NullOr(Schema.Uint8Array),
  value: Schema.NullOr(Schema.Uint8Array),
  repeat: between(1, 300),
  headers: Schema.Array(Schema.Struct({ key: Schema.String, value: Schema.NullOr(Schema.Uint8Array) }))
})

const Options = Schema.Struct({
  baseOffset: between(0, Number.MAX_SAFE_INTEGER - 2 ** 40),
  leaderEpoch: between(0, 2 ** 31 - 1),
  compression: Schema.Literals(["none", "gzip", "snappy", "lz4", "zstd"]),
  // All of the 63 bits that it may have.
  producerHigh: between(0, 2 ** 31 - 1),
  producerLow: between(0, 2 ** 32 - 1),
  producerEpoch: between(0, 2 ** 15 - 1),
  baseSequence: between(0, 2 ** 31 - 1),
  tail: between(0, 1000)
})

const latin1 = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString("latin1")

describe("the batch writer", () => {
  it.effect("writes the documented layout byte by byte", () =>
    Effect.sync(() => {
      const batch = encodeBatch(
        [
          { offsetDelta: 0, timestamp: 1700000000000, key: Buffer.from("k"), value: Buffer.from("vv") },
          {
            offsetDelta: 1,
            timestamp: 1700000000100,
            key: null,
            value: null,
            headers: [
              { key: "h", value: Buffer.from("x") },
              { key: "", value: null }
            ]
          }
        ],
        {
          baseOffset: 2 ** 32 + 5,
          leaderEpoch: 6,
          producerId: 2n ** 62n + 1n,
          producerEpoch: 3,
          baseSequence: 9,
          isTransactional: true
        }
      )
      const records = "12000000026b047676001a00c80102010104026802780001"
      assert.strictEqual(batch.subarray(61).toString("hex"), records)
      assert.strictEqual(
        batch.subarray(0, 17).toString("hex") + batch.subarray(21, 61).toString("hex"),
        [
          "0000000100000005",
          (batch.length - 12).toString(16).padStart(8, "0"),
          "00000006",
          "02",
          "0010",
          "00000001",
          "0000018bcfe56800",
          "0000018bcfe56864",
          "4000000000000001",
          "0003",
          "00000009",
          "00000002"
        ].join("")
      )
    })
  )

  it.effect("counts the epochs, the length and the attributes as they are", () =>
    Effect.sync(() => {
      const one: BatchRecord = { offsetDelta: 0, timestamp: 0, key: null, value: null }
      assert.strictEqual(encodeBatch([one]).readInt32BE(12), -1)
      assert.strictEqual(encodeBatch([one], { isLogAppendTime: true }).readInt16BE(21), 0x08)
      assert.strictEqual(encodeBatch([one], { isControl: true, isTransactional: true }).readInt16BE(21), 0x30)
      assert.strictEqual(encodeBatch([one], { compression: "zstd" }).readInt16BE(21), 4)
      assert.strictEqual(encodeBatch([], { compression: "zstd" }).readInt16BE(21), 0)
      assert.strictEqual(encodeBatch([], { lastOffsetDelta: 5 }).length, BATCH_OVERHEAD)
    })
  )

  it.prop(
    "what it writes is what a cursor reads, whatever the records and options",
    [Schema.Array(RecordLike), Options],
    ([likes, options]) => {
      let offsetDelta = -1
      const records: ReadonlyArray<BatchRecord> = likes.map(({ gap, key, value, timestamp, repeat, headers }) => ({
        offsetDelta: (offsetDelta += gap),
        timestamp,
        key,
        value: value === null ? null : Buffer.concat(Array.from({ length: repeat }, () => value)),
        headers
      }))
      const lastOffsetDelta = Math.max(0, offsetDelta) + options.tail
      const producerId = (BigInt(options.producerHigh) << 32n) | BigInt(options.producerLow)
      const batch = encodeBatch(records, {
        ...options,
        producerId,
        compression: options.compression as Compression,
        lastOffsetDelta
      })
      const cursor = cursorOf(batch, 0)
      const sequences: Array<number> = []
      const seen: Array<unknown> = []
      while (cursor.next()) {
        sequences.push(cursor.sequence)
        seen.push([
          cursor.offset,
          cursor.timestamp,
          cursor.keyLength < 0
            ? null
            : cursor.buffer.toString("latin1", cursor.keyStart, cursor.keyStart + cursor.keyLength),
          cursor.valueLength < 0
            ? null
            : cursor.buffer.toString("latin1", cursor.valueStart, cursor.valueStart + cursor.valueLength)
        ])
        assert.deepStrictEqual(
          [cursor.producerId, cursor.producerEpoch, cursor.leaderEpoch],
          [producerId, options.producerEpoch, options.leaderEpoch]
        )
      }
      assert.isUndefined(cursor.problem)
      assert.deepStrictEqual(
        seen,
        records.map((record) => [
          options.baseOffset + record.offsetDelta,
          record.timestamp,
          latin1(record.key),
          latin1(record.value)
        ])
      )
      assert.deepStrictEqual(
        sequences,
        records.map((record) => Number((BigInt(options.baseSequence) + BigInt(record.offsetDelta)) % 2n ** 31n))
      )
      assert.strictEqual(cursor.nextOffset, options.baseOffset + lastOffsetDelta + 1)
    }
  )

  it.effect("patches a batch's place without touching what the checksum covers", () =>
    Effect.sync(() => {
      const batch = encodeBatch([{ offsetDelta: 0, timestamp: 1, key: null, value: null }])
      patchBaseOffset(batch, 2 ** 40 + 3, 17)
      const cursor = cursorOf(batch)
      assert.isTrue(cursor.next())
      assert.deepStrictEqual([cursor.offset, cursor.leaderEpoch], [2 ** 40 + 3, 17])
    })
  )

  it.effect("writes markers that a reader passes over", () =>
    Effect.sync(() => {
      const options = { baseOffset: 4, leaderEpoch: 1, producerId: 7n, producerEpoch: 2, timestamp: 50 }
      for (const type of ["abort", "commit"] as const) {
        const batch = encodeControlBatch({ ...options, type, coordinatorEpoch: 258 })
        const cursor = cursorOf(batch, 0, "uncommitted")
        assert.deepStrictEqual(walk(cursor), [])
        assert.strictEqual(cursor.nextOffset, 5)
        // Length, attributes, two deltas; a key of version 0 and the type; a value of version 0 and the epoch.
        assert.strictEqual(
          batch.subarray(61).toString("hex"),
          `20000000080000${type === "abort" ? "0000" : "0001"}0c00000000010200`
        )
        assert.strictEqual(batch.readInt32BE(53), -1)
      }
    })
  )

  it.prop(
    "a record is never larger than its estimate",
    [RecordLike, between(0, 2 ** 31 - 1), between(-(2 ** 53) + 1, 2 ** 53 - 1)],
    ([like, offsetDelta, timestamp]) => {
      const { key, value } = like
      const first: BatchRecord = { offsetDelta: 0, timestamp: -timestamp, key: null, value: null }
      const alone = encodeBatch([first])
      const both = encodeBatch([first, { offsetDelta, timestamp, key, value }])
      assert.isAtMost(both.length - alone.length, estimateRecordSize(key?.length ?? 0, value?.length ?? 0))
    }
  )

  it.effect("writes batches of a thousand records in order", () =>
    Effect.sync(() => {
      const records = Array.from({ length: 1000 }, (_, i): BatchRecord => ({
        offsetDelta: i,
        timestamp: 1_700_000_000_000 + i,
        key: Buffer.from(`key-${i}`),
        value: Buffer.from("x".repeat(i))
      }))
      assert.deepStrictEqual(
        offsets(cursorOf(encodeBatch(records))),
        Array.from({ length: 1000 }, (_, i) => i)
      )
    })
  )
})
