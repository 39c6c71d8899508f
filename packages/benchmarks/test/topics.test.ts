import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { distinct, keyIds } from "../src/topics/logs.ts"
import { keyOf, paddedService, Service, serviceOf } from "../src/topics/values.ts"

describe("the generated logs", () => {
  it("hold every key once when unique, and in order again and again in rounds", () => {
    assert.deepStrictEqual([...keyIds({ distribution: "unique", records: 3, keys: 3 })], [0, 1, 2])
    assert.deepStrictEqual([...keyIds({ distribution: "rounds", records: 5, keys: 2 })], [0, 1, 0, 1, 0])
  })

  it("are the same every time, and give the first tenth of Zipf's keys most of the updates", () => {
    const log = { distribution: "zipf", records: 20_000, keys: 2_000 } as const
    const ids = keyIds(log)
    assert.deepStrictEqual(keyIds(log), ids)
    const counts = new Map<number, number>()
    for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
    const popular = [...counts.values()].sort((a, b) => b - a).slice(0, 200)
    const share = popular.reduce((sum, count) => sum + count, 0) / ids.length
    assert.isAbove(share, 0.6)
    assert.isBelow(share, 0.85)
    assert.isAbove(distinct(ids), 1_500)
    assert.isTrue(ids.every((id) => id >= 0 && id < 2_000))
  })
})

describe("the generated values", () => {
  it("decode by their schema, and are about as large as is said", () => {
    const decode = Schema.decodeUnknownSync(Service)
    let bytes = 0
    for (let id = 0; id < 1_000; id++) {
      assert.strictEqual(keyOf(id).length, 14)
      const text = JSON.stringify(serviceOf(id, 3))
      assert.deepStrictEqual(decode(JSON.parse(text)), serviceOf(id, 3))
      bytes += Buffer.byteLength(text)
    }
    assert.isAbove(bytes / 1_000, 170)
    assert.isBelow(bytes / 1_000, 230)
  })

  it("differ between versions of a key, and are padded to a size", () => {
    assert.notDeepEqual(serviceOf(5, 1), serviceOf(5, 2))
    assert.strictEqual(Buffer.byteLength(JSON.stringify(paddedService(5, 1, 1024))), 1024)
  })
})
