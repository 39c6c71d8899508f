import { assert, describe, it } from "@effect/vitest"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { Survivors } from "../../src/internal/reader/survivors.ts"

/** mulberry32, so that a seed gives the same log everywhere. */
const randomOf = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

interface Expected {
  readonly value: Buffer | null
  readonly offset: number
  readonly timestamp: number
}

/** Feeds a random log, batch by batch, and keeps beside it what a plain map would hold. */
const feed = (options: {
  readonly seed: number
  readonly keys: number
  readonly batches: number
  readonly valueSize: number
}) => {
  const random = randomOf(options.seed)
  const survivors = new Survivors(0)
  const expected = new Map<string, Expected>()
  let peak = 0
  // Offsets beyond 32 bits, and a clock that goes backwards.
  let offset = 3 * 4294967296 + 17
  for (let b = 0; b < options.batches; b++) {
    const records = Array.from({ length: 20 }, (_, i) => {
      const key = Buffer.from(`key-${Math.floor(random() * random() * options.keys)}`)
      const kind = random()
      const value =
        kind < 0.1
          ? null
          : kind < 0.15
            ? Buffer.alloc(0)
            : Buffer.alloc(1 + Math.floor(random() * options.valueSize), i)
      return { offsetDelta: i, timestamp: Math.floor(random() * 2e12), key, value }
    })
    for (const { key, offsetDelta, timestamp, value } of records) {
      expected.set(key.toString(), { value, offset: offset + offsetDelta, timestamp })
    }
    const set = encodeBatch(records, { baseOffset: offset })
    const cursor = new RecordCursor({ records: set, fromOffset: offset, abortedTransactions: undefined })
    // A deadline in the past: the cursor is left and resumed in the middle of a set.
    while (!survivors.take(cursor, random() < 0.5 ? 0 : Number.POSITIVE_INFINITY));
    peak = Math.max(peak, survivors.bytes.held - survivors.bytes.live)
    offset += 20
  }
  return { survivors, expected, peak }
}

const check = ({ expected, survivors }: ReturnType<typeof feed>) => {
  assert.strictEqual(survivors.size, expected.size)
  let live = 0
  for (let entry = 0; entry < survivors.size; entry++) {
    const key = survivors.keyBuffer.toString(
      "utf8",
      survivors.keyStart(entry),
      survivors.keyStart(entry) + survivors.keyLength(entry)
    )
    const of = expected.get(key)!
    assert.strictEqual(survivors.offsetOf(entry), of.offset)
    assert.strictEqual(survivors.timestampOf(entry), of.timestamp)
    assert.strictEqual(survivors.valueLength(entry), of.value === null ? -1 : of.value.length)
    if (of.value !== null) {
      const at = survivors.valueStart(entry)
      assert.isTrue(
        survivors
          .valueBuffer(entry)
          .subarray(at, at + of.value.length)
          .equals(of.value),
        key
      )
      live += of.value.length
    }
    const bytes = Buffer.from(key)
    assert.strictEqual(survivors.find(bytes, 0, bytes.length), entry)
  }
  assert.strictEqual(survivors.bytes.live, live)
  const unknown = Buffer.from("unknown")
  assert.strictEqual(survivors.find(unknown, 0, unknown.length), -1)
}

describe("survivors", () => {
  for (let seed = 1; seed <= 20; seed++) {
    it(`hold the last record of every key, as a plain map does (seed ${seed})`, () => {
      const fed = feed({ seed, keys: 1 + seed * 150, batches: 200, valueSize: 60 })
      check(fed)
      assert.strictEqual(fed.survivors.records, 4000)
    })
  }

  it("hold what lives and a bounded rest, however much of the log is superseded", () => {
    const fed = feed({ seed: 99, keys: 300, batches: 600, valueSize: 60_000 })
    check(fed)
    // The log is some 300 MB; what is held beyond the survivors is as much again, and the slack, and one answer.
    const { live } = fed.survivors.bytes
    assert.isBelow(fed.peak, live + 5 * 1024 * 1024 + 3_000_000)
  })
})
