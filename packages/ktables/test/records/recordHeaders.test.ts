/** Headers as records hold them. */
import { assert, describe, it } from "@effect/vitest"
import type { TableEntry } from "effect-ktables"
import { encodeBatch, estimateRecordSize } from "../../src/internal/records/batchWriter.ts"
import { readHeaders } from "../../src/internal/records/recordHeaders.ts"
import { type Chance, chance } from "../support/chance.ts"
import { cursorOf } from "./walk.ts"

const someHeaders = (random: Chance): ReadonlyArray<TableEntry.Header> =>
  Array.from({ length: random.below(5) }, () => ({
    key: random.pick(["", "a", "a", "trace", "ключ 🗝️", "k".repeat(200)]),
    value: random.happens(0.2) ? null : Uint8Array.from({ length: random.pick([0, 1, 100, 70_000]) }, random.next)
  }))

describe("the headers of a record", () => {
  it("are read as they were written, in a batch with others, each with bytes of its own", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = chance(seed)
      const records = Array.from({ length: 1 + random.below(4) }, (_, offsetDelta) => ({
        offsetDelta,
        timestamp: random.below(1000),
        key: null,
        value: random.pick([null, Buffer.alloc(0), Buffer.alloc(random.below(300))]),
        headers: random.happens(0.2) ? undefined : someHeaders(random)
      }))
      const cursor = cursorOf(encodeBatch(records, { compression: random.pick(["none", "gzip"]) }))
      for (const { headers = [] } of records) {
        assert.isTrue(cursor.next())
        const start = cursor.valueStart + Math.max(0, cursor.valueLength)
        const read = readHeaders(cursor.buffer, start, cursor.recordEnd)!
        assert.deepStrictEqual(read, headers, `seed ${seed}`)
        for (const { value } of read) assert.strictEqual(value?.buffer.byteLength ?? 0, value?.length ?? 0)
      }
    }
  })

  it("are counted as the size of their record, which a batch of it does not exceed", () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = chance(seed)
      const headers = someHeaders(random)
      const [key, value] = [Buffer.alloc(random.below(300)), Buffer.alloc(random.below(300))]
      const record = { offsetDelta: 0, timestamp: 0, key, value }
      const bytes = encodeBatch([{ ...record, headers }]).length - encodeBatch([]).length
      const estimate = estimateRecordSize(key.length, value.length, headers)
      assert.isAtMost(bytes, estimate)
      assert.isAtLeast(bytes, estimate - 40 - 10 * headers.length)
    }
  })

  it("that are damaged are none, whatever is wrong with them, and nothing past their end is read", () => {
    for (let seed = 1; seed <= 2000; seed++) {
      const random = chance(seed)
      const record = { offsetDelta: 0, timestamp: 0, key: null, value: Buffer.from("v"), headers: someHeaders(random) }
      const bytes = encodeBatch([record])
      const cursor = cursorOf(bytes)
      assert.isTrue(cursor.next())
      const [start, end] = [cursor.valueStart + 1, cursor.recordEnd]
      const cut = start + random.below(end - start)
      assert.isUndefined(readHeaders(bytes, start, cut), `seed ${seed}`)
      bytes[start + random.below(Math.min(8, end - start))] = random.pick([0, 1, 2, 3, 127, 128, 255])
      for (const { key, value } of readHeaders(bytes, start, end) ?? []) {
        assert.isAtMost(key.length + (value?.length ?? 0), end - start)
      }
    }
    // A number of headers that no record has room for is not taken at its word.
    assert.isUndefined(readHeaders(Buffer.from([0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0]), 0, 7))
    assert.isUndefined(readHeaders(Buffer.from([0, 0]), 0, 2))
    assert.isUndefined(readHeaders(Buffer.from([1]), 0, 1))
  })
})
