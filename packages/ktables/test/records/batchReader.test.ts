import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { RecordCursor, summarize } from "../../src/internal/records/batchReader.ts"
import { type BatchOptions, type BatchRecord, encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { crc32c } from "../../src/internal/records/crc32c.ts"
import { current, cursorOf, offsets, walk } from "./walk.ts"

const record = (offsetDelta: number, key: string | null, value: string | null, timestamp = 1000): BatchRecord => ({
  offsetDelta,
  timestamp,
  key: key === null ? null : Buffer.from(key),
  value: value === null ? null : Buffer.from(value)
})

const three = (baseOffset: number, options: BatchOptions = {}): Buffer =>
  encodeBatch([record(0, "a", "1"), record(1, "b", "2"), record(2, "c", "3")], { baseOffset, ...options })

/** Changes a batch behind its header and signs it again: a writer that lies, not a broken disk. */
const lying = (batch: Buffer, change: (batch: Buffer) => void): Buffer => {
  const copy = Buffer.from(batch)
  change(copy)
  copy.writeUInt32BE(crc32c(copy, 21, copy.length), 17)
  return copy
}

/** A batch of these very record bytes. */
const withRecords = (count: number, bytes: ReadonlyArray<number>): Buffer => {
  const batch = Buffer.concat([encodeBatch([], { baseOffset: 7, lastOffsetDelta: 100 }), Buffer.from(bytes)])
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(count, 57)
  return lying(batch, () => {})
}

describe("the record cursor", () => {
  it.effect("walks the records of several batches and tells null keys and values from empty ones", () =>
    Effect.sync(() => {
      const first = encodeBatch([record(0, "k", null, 5), record(3, null, "v", 4), record(4, "", "", 2 ** 40)], {
        baseOffset: 10,
        lastOffsetDelta: 6
      })
      const cursor = cursorOf(Buffer.concat([first, three(17)]))
      assert.deepStrictEqual(walk(cursor), [
        { offset: 10, timestamp: 5, key: "k", value: null },
        { offset: 13, timestamp: 4, key: null, value: "v" },
        { offset: 14, timestamp: 2 ** 40, key: "", value: "" },
        { offset: 17, timestamp: 1000, key: "a", value: "1" },
        { offset: 18, timestamp: 1000, key: "b", value: "2" },
        { offset: 19, timestamp: 1000, key: "c", value: "3" }
      ])
      assert.strictEqual(cursor.nextOffset, 20)
      assert.isUndefined(cursor.problem)
    })
  )

  it.effect("drops records below the offset asked for, within a batch and whole batches of them", () =>
    Effect.sync(() => {
      const cursor = cursorOf(Buffer.concat([three(0), three(3), three(6)]), 4)
      assert.deepStrictEqual(offsets(cursor), [4, 5, 6, 7, 8])
      assert.strictEqual(cursor.nextOffset, 9)
    })
  )

  it.effect("never reports a position below the one asked for", () =>
    Effect.sync(() => {
      const cursor = cursorOf(three(0), 40)
      assert.deepStrictEqual(offsets(cursor), [])
      assert.strictEqual(cursor.nextOffset, 40)
    })
  )

  it.effect("advances past a batch that compaction emptied", () =>
    Effect.sync(() => {
      const empty = encodeBatch([], { baseOffset: 3, lastOffsetDelta: 6 })
      const cursor = cursorOf(Buffer.concat([three(0), empty]))
      assert.deepStrictEqual(offsets(cursor), [0, 1, 2])
      assert.strictEqual(cursor.nextOffset, 10)
      const alone = cursorOf(empty, 5)
      assert.isFalse(alone.next())
      assert.strictEqual(alone.nextOffset, 10)
    })
  )

  it.effect("counts a batch only once its last record is passed, and keeps its fields at the end", () =>
    Effect.sync(() => {
      const cursor = cursorOf(
        Buffer.concat([three(0, { producerId: 1n, producerEpoch: 2 }), three(3, { leaderEpoch: 9 })]),
        1
      )
      assert.strictEqual(cursor.nextOffset, 1)
      for (const nextOffset of [1, 1, 3, 3, 3]) {
        assert.isTrue(cursor.next())
        assert.strictEqual(cursor.nextOffset, nextOffset)
      }
      const last = current(cursor)
      assert.isFalse(cursor.next())
      assert.isFalse(cursor.next())
      assert.deepStrictEqual(current(cursor), last)
      assert.strictEqual(cursor.nextOffset, 6)
      assert.strictEqual(cursor.leaderEpoch, 9)
    })
  )

  it.effect("keeps the fields of the last record when the next batch is corrupt", () =>
    Effect.sync(() => {
      const broken = three(3, { producerId: 8n, producerEpoch: 8, baseSequence: 8, leaderEpoch: 8 })
      broken[broken.length - 3]! ^= 1
      const good = three(0, { producerId: 1n, producerEpoch: 2, baseSequence: 5, leaderEpoch: 4, compression: "gzip" })
      const cursor = cursorOf(Buffer.concat([good, broken]))
      assert.deepStrictEqual(offsets(cursor), [0, 1, 2])
      const { buffer, producerId, producerEpoch, sequence, leaderEpoch } = cursor
      assert.deepStrictEqual(current(cursor), { offset: 2, timestamp: 1000, key: "c", value: "3" })
      assert.deepStrictEqual([producerId, producerEpoch, sequence, leaderEpoch], [1n, 2, 7, 4])
      assert.notStrictEqual(buffer, broken)
      assert.deepStrictEqual(cursor.problem, {
        kind: "Corrupt",
        offset: 3,
        detail: "the checksum of a batch does not match"
      })
      assert.strictEqual(cursor.nextOffset, 3)
      assert.isFalse(cursor.next())
      assert.strictEqual(cursor.nextOffset, 3)
    })
  )

  it.effect("names each record's producer, epoch and sequence, which go round at 2^31", () =>
    Effect.sync(() => {
      const cursor = cursorOf(
        Buffer.concat([
          three(0, { producerId: 2n ** 62n + 1n, producerEpoch: 7, baseSequence: 2 ** 31 - 2, leaderEpoch: 3 }),
          three(3),
          // Some clients number batches without idempotence.
          three(6, { baseSequence: 0 })
        ])
      )
      const seen: Array<ReadonlyArray<bigint | number>> = []
      while (cursor.next()) seen.push([cursor.producerId, cursor.producerEpoch, cursor.sequence, cursor.leaderEpoch])
      assert.deepStrictEqual(seen, [
        [2n ** 62n + 1n, 7, 2 ** 31 - 2, 3],
        [2n ** 62n + 1n, 7, 2 ** 31 - 1, 3],
        [2n ** 62n + 1n, 7, 0, 3],
        ...Array.from({ length: 6 }, () => [-1n, -1, -1, -1])
      ])
    })
  )

  it.effect("shows the append time of the batch where the broker stamped it", () =>
    Effect.sync(() => {
      const records = [record(0, "a", "1", 10), record(1, "b", "2", 999), record(2, "c", "3", 20)]
      const cursor = cursorOf(encodeBatch(records, { isLogAppendTime: true }))
      assert.deepStrictEqual(
        walk(cursor).map(({ timestamp }) => timestamp),
        [999, 999, 999]
      )
    })
  )

  it.effect("reads timestamps of any size and in any order", () =>
    Effect.sync(() => {
      const timestamps = [
        0,
        -1,
        1,
        2 ** 27,
        -(2 ** 27),
        2 ** 34,
        2 ** 47,
        2 ** 48,
        -(2 ** 48),
        2 ** 53 - 1,
        -(2 ** 53) + 1
      ]
      for (const base of timestamps) {
        const all = [base, ...timestamps]
        const batch = encodeBatch(all.map((timestamp, i) => record(i, null, null, timestamp)))
        // Two safe integers may lie further apart than a number counts exactly.
        const expected = all.map((timestamp) => base + (timestamp - base))
        assert.deepStrictEqual(
          walk(cursorOf(batch)).map(({ timestamp }) => timestamp),
          expected
        )
      }
    })
  )

  it.effect("passes over headers of a record", () =>
    Effect.sync(() => {
      const headers = [
        { key: "trace", value: Buffer.from("x".repeat(300)) },
        { key: "é", value: null }
      ]
      const cursor = cursorOf(
        encodeBatch([
          { ...record(0, "a", "1"), headers },
          { ...record(1, "b", "2"), headers: [] }
        ])
      )
      assert.deepStrictEqual(
        walk(cursor).map(({ key, value }) => [key, value]),
        [
          ["a", "1"],
          ["b", "2"]
        ]
      )
    })
  )

  for (const compression of ["gzip", "snappy", "lz4", "zstd"] as const) {
    it.effect(`reads ${compression} batches among plain ones`, () =>
      Effect.sync(() => {
        const cursor = cursorOf(Buffer.concat([three(0), three(3, { compression }), three(6)]), 1)
        assert.deepStrictEqual(
          walk(cursor)
            .map(({ key, value }) => `${key}${value}`)
            .join(" "),
          "b2 c3 a1 b2 c3 a1 b2 c3"
        )
        assert.isUndefined(cursor.problem)
        assert.strictEqual(cursor.nextOffset, 9)
      })
    )
  }

  it.effect("ends silently at a trailing batch that is cut short at any byte, and resumes nowhere inside it", () =>
    Effect.sync(() => {
      const whole = three(0)
      const both = Buffer.concat([whole, three(3)])
      for (let length = 0; length < both.length; length++) {
        const cursor = cursorOf(both.subarray(0, length))
        assert.deepStrictEqual(offsets(cursor), length < whole.length ? [] : [0, 1, 2])
        assert.isUndefined(cursor.problem)
        assert.strictEqual(cursor.nextOffset, length < whole.length ? 0 : 3)
      }
    })
  )

  it.effect("refuses a format it does not know, by name", () =>
    Effect.sync(() => {
      const batch = three(12)
      batch[16] = 3
      const cursor = cursorOf(batch)
      assert.isFalse(cursor.next())
      assert.strictEqual(cursor.problem?.kind, "UnsupportedMagic")
      assert.strictEqual(cursor.problem?.offset, 12)
    })
  )

  it.effect("refuses a compression it does not know", () =>
    Effect.sync(() => {
      const cursor = cursorOf(lying(three(12), (batch) => batch.writeInt16BE(6, 21)))
      assert.isFalse(cursor.next())
      assert.strictEqual(cursor.problem?.kind, "UnsupportedCompression")
      assert.strictEqual(cursor.problem?.offset, 12)
    })
  )

  it.effect("refuses offsets that are no safe integers", () =>
    Effect.sync(() => {
      const far = three(Number.MAX_SAFE_INTEGER - 3)
      assert.deepStrictEqual(offsets(cursorOf(far)), [2 ** 53 - 4, 2 ** 53 - 3, 2 ** 53 - 2])
      const tooFar = three(0)
      tooFar.writeBigInt64BE(2n ** 53n, 0)
      for (const batch of [three(Number.MAX_SAFE_INTEGER - 2), tooFar]) {
        const cursor = cursorOf(batch)
        assert.isFalse(cursor.next())
        assert.strictEqual(cursor.problem?.kind, "OffsetTooLarge")
      }
    })
  )

  it.effect("reads producer ids of all 63 bits", () =>
    Effect.sync(() => {
      for (const producerId of [0n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n + 1n, 2n ** 63n - 1n]) {
        const cursor = cursorOf(three(0, { producerId, baseSequence: 3 }))
        assert.isTrue(cursor.next())
        assert.deepStrictEqual([cursor.producerId, cursor.sequence], [producerId, 3])
      }
    })
  )

  it.effect("refuses offsets that are negative or go back", () =>
    Effect.sync(() => {
      const negative = three(0)
      negative.writeBigInt64BE(-5n, 0)
      const cursor = cursorOf(negative)
      assert.isFalse(cursor.next())
      assert.strictEqual(cursor.problem?.kind, "Corrupt")
      for (const base of [0, 2]) {
        const backwards = cursorOf(Buffer.concat([three(0), three(base)]))
        assert.deepStrictEqual(offsets(backwards), [0, 1, 2])
        assert.strictEqual(backwards.problem?.kind, "Corrupt")
        assert.strictEqual(backwards.problem?.offset, base)
      }
    })
  )

  const lies: ReadonlyArray<readonly [string, Buffer]> = [
    ["a batch length of zero", lying(three(7), (batch) => batch.writeInt32BE(0, 8))],
    ["a negative batch length", lying(three(7), (batch) => batch.writeInt32BE(-2147483648, 8))],
    ["a batch length below its header", lying(three(7), (batch) => batch.writeInt32BE(48, 8))],
    ["more records than there are", lying(three(7), (batch) => batch.writeInt32BE(4, 57))],
    ["fewer records than there are", lying(three(7), (batch) => batch.writeInt32BE(2, 57))],
    ["2^31-1 records", lying(three(7), (batch) => batch.writeInt32BE(0x7fffffff, 57))],
    ["a negative count of records", lying(three(7), (batch) => batch.writeInt32BE(-1, 57))],
    ["a negative last offset", lying(three(7), (batch) => batch.writeInt32BE(-1, 23))],
    ["an offset behind the batch's last", lying(three(7), (batch) => batch.writeInt32BE(1, 23))],
    [
      "more compressed records than there are",
      lying(three(7, { compression: "zstd" }), (batch) => {
        batch.writeInt32BE(4, 57)
      })
    ],
    ["bytes that are no gzip", lying(three(7), (batch) => batch.writeInt16BE(1, 21))],
    ["a record of no bytes", withRecords(1, [0])],
    ["a record of a negative length", withRecords(1, [1, 0, 0, 0, 1, 1, 0])],
    ["a record that ends behind its batch", withRecords(1, [14, 0, 0, 0, 1, 1, 0])],
    ["a record length without an end", withRecords(1, [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80])],
    ["a length cut off by the batch's end", withRecords(1, [0x80, 0x80])],
    ["a timestamp without an end", withRecords(1, [12, 0, 0x80, 0x80, 0x80, 0x80, 0x80])],
    [
      "a timestamp of more than ten bytes",
      withRecords(1, [40, 0, ...Array.from({ length: 12 }, () => 0xff), 0, 0, 1, 1, 0, 0, 0])
    ],
    ["an offset without an end", withRecords(1, [12, 0, 0, 0x80, 0x80, 0x80, 0x80])],
    ["a negative offset", withRecords(1, [12, 0, 0, 1, 1, 1, 0])],
    ["a key length below null", withRecords(1, [12, 0, 0, 0, 3, 1, 0])],
    ["a key length without an end", withRecords(1, [12, 0, 0, 0, 0x80, 0x80, 0x80])],
    ["a key that ends behind its record", withRecords(1, [12, 0, 0, 0, 20, 1, 0])],
    ["a key of 2^30 bytes", withRecords(1, [20, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x08, 1, 0])],
    ["a value length below null", withRecords(1, [12, 0, 0, 0, 1, 3, 0])],
    ["a value that ends behind its record", withRecords(1, [12, 0, 0, 0, 1, 2, 0])],
    ["a record without a count of headers", withRecords(1, [12, 0, 0, 0, 2, 65, 1])]
  ]

  for (const [name, batch] of lies) {
    it.effect(`${name} is corrupt at the batch's offset, though the batch before it is read`, () =>
      Effect.sync(() => {
        // The neighbour behind it holds bytes that a walk past the batch would take for records.
        const cursor = cursorOf(Buffer.concat([three(0), batch, three(200)]))
        const seen = offsets(cursor)
        assert.deepStrictEqual(seen.slice(0, 3), [0, 1, 2])
        assert.isTrue(seen.slice(3).every((offset) => offset >= 7 && offset < 10))
        assert.strictEqual(cursor.problem?.kind, "Corrupt")
        assert.strictEqual(cursor.problem?.offset, 7)
        assert.isFalse(cursor.next())
        assert.strictEqual(cursor.nextOffset, 3)
      })
    )
  }

  it.effect("tells of every batch that reaches the position, and of the epochs gone past", () =>
    Effect.sync(() => {
      const broken = three(40, { leaderEpoch: 99 })
      broken[broken.length - 3]! ^= 1
      const heard: Array<ReadonlyArray<number>> = []
      const cursor = new RecordCursor({
        records: Buffer.concat([
          three(0, { leaderEpoch: 2 }),
          three(3, { leaderEpoch: 4, producerId: 7n, producerEpoch: 1, baseSequence: 12 }),
          // Compaction emptied one, and took the middle out of the next: nobody knows when the rest was written.
          encodeBatch([], { baseOffset: 6, lastOffsetDelta: 1, leaderEpoch: 5, producerId: 7n, baseSequence: 15 }),
          encodeBatch(
            [0, 2].map((offsetDelta) => ({ offsetDelta, timestamp: 500 + offsetDelta, key: null, value: null })),
            { baseOffset: 8, leaderEpoch: 5 }
          ),
          broken
        ]),
        fromOffset: 4,
        abortedTransactions: undefined,
        listener: { add: (...batch) => heard.push(batch) }
      })
      const epochs: Array<number> = []
      while (cursor.next()) epochs.push(cursor.passedEpoch)
      const unknown = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]
      assert.deepStrictEqual(heard, [
        [3, 5, 0, 7, 1, 12, 1000, 1000],
        [6, 7, 0, 7, -1, 15, ...unknown],
        [8, 10, -1, -1, -1, -1, ...unknown]
      ])
      assert.deepStrictEqual(epochs, [2, 2, 5, 5])
      assert.isDefined(cursor.problem)
      assert.strictEqual(cursor.passedEpoch, 5)
    })
  )
})

describe("the summary of a record set", () => {
  it.effect("tells the next offset, the last epoch and the bytes of whole batches", () =>
    Effect.sync(() => {
      const first = three(5, { leaderEpoch: 2 })
      const second = encodeBatch([], { baseOffset: 8, leaderEpoch: 3, lastOffsetDelta: 4 })
      const set = Buffer.concat([first, second])
      assert.deepStrictEqual(summarize(set), {
        nextOffset: 13,
        lastEpoch: 3,
        wholeBytes: set.length,
        firstBatchNeeds: 0
      })
      for (let length = first.length; length < set.length; length++) {
        assert.deepStrictEqual(summarize(set.subarray(0, length)), {
          nextOffset: 8,
          lastEpoch: 2,
          wholeBytes: first.length,
          firstBatchNeeds: 0
        })
      }
    })
  )

  it.effect("tells how much the first batch needs when it is cut short", () =>
    Effect.sync(() => {
      const batch = three(5)
      const nothing = { nextOffset: -1, lastEpoch: -1, wholeBytes: 0 }
      assert.deepStrictEqual(summarize(Buffer.alloc(0)), { ...nothing, firstBatchNeeds: 0 })
      for (let length = 1; length < batch.length; length++) {
        assert.deepStrictEqual(summarize(batch.subarray(0, length)), {
          ...nothing,
          firstBatchNeeds: length < 12 ? 61 : batch.length
        })
      }
    })
  )

  it.effect("ends before a batch whose header cannot be true, which a cursor then reports", () =>
    Effect.sync(() => {
      const first = three(5)
      const unknown = three(8)
      unknown[16] = 3
      const shrunk = three(8)
      shrunk.writeInt32BE(20, 8)
      const negative = three(8)
      negative.writeInt32BE(-5, 8)
      const huge = three(8)
      huge.writeBigInt64BE(2n ** 62n, 0)
      for (const second of [unknown, shrunk, negative, huge, three(6)]) {
        const set = Buffer.concat([first, second])
        assert.strictEqual(summarize(set).nextOffset, 8)
        assert.strictEqual(summarize(set).wholeBytes, first.length)
        assert.strictEqual(summarize(second.subarray(0)).firstBatchNeeds, 0)
        const cursor = cursorOf(set)
        assert.deepStrictEqual(offsets(cursor), [5, 6, 7])
        assert.isDefined(cursor.problem)
      }
    })
  )

  it.effect("agrees with a cursor about where the set ends", () =>
    Effect.sync(() => {
      const set = Buffer.concat([three(0), three(3, { compression: "gzip" }), encodeBatch([], { baseOffset: 6 })])
      const cursor = cursorOf(set)
      while (cursor.next());
      assert.strictEqual(summarize(set).nextOffset, cursor.nextOffset)
      assert.strictEqual(cursor.nextOffset, 7)
    })
  )
})
