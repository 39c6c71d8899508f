/** The bytes of an independent writer and reader of record batches and message sets, both ways. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { createRequire } from "node:module"
import { type BatchRecord, encodeBatch, encodeControlBatch } from "../../src/internal/records/batchWriter.ts"
import { cursorOf, walk } from "./walk.ts"

const require = createRequire(new URL("../../../kafkajs/package.json", import.meta.url))

interface Encoder {
  readonly buffer: Buffer
}
interface DecodedRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Readonly<Record<string, Buffer | null>>
  readonly isControlRecord: boolean
}
interface DecodedBatch {
  readonly firstOffset: string
  readonly partitionLeaderEpoch: number
  readonly inTransaction: boolean
  readonly isControlBatch: boolean
  readonly lastOffsetDelta: number
  readonly producerId: string
  readonly producerEpoch: number
  readonly firstSequence: number
  readonly maxTimestamp: string
  readonly records: ReadonlyArray<DecodedRecord>
}

const { RecordBatch } = require("kafkajs/src/protocol/recordBatch/v0") as {
  readonly RecordBatch: (options: object) => Promise<Encoder>
}
const encodeTheirRecord = require("kafkajs/src/protocol/recordBatch/record/v0") as (options: object) => Encoder
const decodeTheirBatch = require("kafkajs/src/protocol/recordBatch/v0/decoder") as (
  decoder: object
) => Promise<DecodedBatch>
const Decoder = require("kafkajs/src/protocol/decoder") as new (bytes: Buffer) => object
const Long = require("kafkajs/src/utils/long") as { readonly fromValue: (value: number) => object }
const MessageSet = require("kafkajs/src/protocol/messageSet") as (options: object) => Encoder

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Like = Schema.Struct({
  key: Schema.NullOr(Schema.Uint8Array),
  value: Schema.NullOr(Schema.Uint8Array),
  headers: Schema.Array(Schema.Uint8Array),
  timestamp: between(0, 2 ** 42)
})

const bytesOrNull = (bytes: Uint8Array | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes))
const latin1 = (bytes: Buffer | null): string | null => (bytes === null ? null : bytes.toString("latin1"))

const headersOf = (like: typeof Like.Type) => like.headers.map((value, i) => ({ key: `header ${i}`, value }))

describe("bytes of kafkajs", () => {
  for (const [compression, code] of [
    ["none", 0],
    ["gzip", 1]
  ] as const) {
    it.effect.prop(
      `a cursor reads what kafkajs writes (${compression})`,
      [Schema.Array(Like), between(0, 2 ** 50)],
      ([likes, producerId]) =>
        Effect.gen(function* () {
          if (likes.length === 0) return
          const first = likes[0]!.timestamp
          const batch = yield* Effect.promise(() =>
            RecordBatch({
              compression: code,
              firstOffset: Long.fromValue(1000),
              firstTimestamp: first,
              maxTimestamp: first,
              partitionLeaderEpoch: 4,
              lastOffsetDelta: likes.length - 1,
              producerId: Long.fromValue(producerId),
              producerEpoch: 3,
              firstSequence: 70,
              transactional: true,
              records: likes.map((like, offsetDelta) =>
                encodeTheirRecord({
                  offsetDelta,
                  timestampDelta: like.timestamp - first,
                  key: bytesOrNull(like.key),
                  value: bytesOrNull(like.value),
                  headers: Object.fromEntries(headersOf(like).map(({ key, value }) => [key, Buffer.from(value)]))
                })
              )
            })
          )
          const cursor = cursorOf(batch.buffer)
          assert.deepStrictEqual(
            walk(cursor),
            likes.map((like, i) => ({
              offset: 1000 + i,
              timestamp: like.timestamp,
              key: latin1(bytesOrNull(like.key)),
              value: latin1(bytesOrNull(like.value))
            }))
          )
          assert.isUndefined(cursor.problem)
          assert.deepStrictEqual(
            [cursor.producerId, cursor.producerEpoch, cursor.sequence, cursor.leaderEpoch],
            [BigInt(producerId), 3, 70 + likes.length - 1, 4]
          )
        })
    )

    it.effect.prop(`kafkajs reads what the batch writer writes (${compression})`, [Schema.Array(Like)], ([likes]) =>
      Effect.gen(function* () {
        const records = likes.map((like, i): BatchRecord => ({
          offsetDelta: i * 3,
          timestamp: like.timestamp,
          key: like.key,
          value: like.value,
          headers: headersOf(like)
        }))
        const batch = encodeBatch(records, {
          baseOffset: 2 ** 40,
          leaderEpoch: 6,
          producerId: 2n ** 62n + 1n,
          producerEpoch: 2,
          baseSequence: 9,
          isTransactional: true,
          compression
        })
        const decoded = yield* Effect.promise(() => decodeTheirBatch(new Decoder(batch)))
        assert.deepStrictEqual(
          decoded.records.map(({ offset, timestamp, key, value, headers }) => ({
            offset: Number(offset),
            timestamp: Number(timestamp),
            key: latin1(key),
            value: latin1(value),
            headers: Object.entries(headers).map(([key, value]) => [key, latin1(value)])
          })),
          records.map((record) => ({
            offset: 2 ** 40 + record.offsetDelta,
            timestamp: record.timestamp,
            key: latin1(bytesOrNull(record.key)),
            value: latin1(bytesOrNull(record.value)),
            headers: (record.headers ?? []).map(({ key, value }) => [key, latin1(bytesOrNull(value))])
          }))
        )
        assert.deepStrictEqual(
          [decoded.partitionLeaderEpoch, decoded.producerId, decoded.producerEpoch, decoded.firstSequence],
          [6, String(2n ** 62n + 1n), 2, 9]
        )
        assert.isTrue(decoded.inTransaction && !decoded.isControlBatch)
        assert.strictEqual(Number(decoded.maxTimestamp), Math.max(-1, ...records.map(({ timestamp }) => timestamp)))
      })
    )
  }

  it.effect("kafkajs takes the markers for control batches", () =>
    Effect.gen(function* () {
      const marker = encodeControlBatch({
        baseOffset: 8,
        leaderEpoch: 1,
        producerId: 5n,
        producerEpoch: 1,
        type: "commit",
        timestamp: 77
      })
      const decoded = yield* Effect.promise(() => decodeTheirBatch(new Decoder(marker)))
      assert.isTrue(decoded.isControlBatch && decoded.inTransaction)
      assert.strictEqual(decoded.records.length, 1)
      assert.strictEqual(decoded.records[0]!.key!.toString("hex"), "00000001")
      assert.strictEqual(decoded.records[0]!.value!.toString("hex"), "000000000000")
    })
  )

  for (const messageVersion of [0, 1]) {
    it.effect(`a cursor reads kafkajs' message sets of magic ${messageVersion}`, () =>
      Effect.sync(() => {
        const set = MessageSet({
          messageVersion,
          // Numbered from 0 as for a compressed set, since offsets are otherwise the broker's.
          compression: 1,
          entries: [
            { key: "a", value: "1", timestamp: 11 },
            { key: "b", value: null, timestamp: 12 }
          ]
        }).buffer
        const cursor = cursorOf(set)
        assert.deepStrictEqual(walk(cursor), [
          { offset: 0, timestamp: messageVersion === 0 ? -1 : 11, key: "a", value: "1" },
          { offset: 1, timestamp: messageVersion === 0 ? -1 : 12, key: "b", value: null }
        ])
        assert.isUndefined(cursor.problem)
      })
    )
  }
})
