import { assert, describe, it } from "@effect/vitest"
import { murmur2 } from "../src/wire/murmur2.ts"
import { BatchWriter, crc32c } from "../src/wire/recordBatch.ts"
import { nextOffset } from "../src/wire/requests.ts"

const batch = (base: number, count: number): Buffer => {
  const writer = new BatchWriter(64)
  for (let i = 0; i < count; i++) writer.append(Buffer.from(`key-${i}`), Buffer.from("v".repeat(200)))
  const bytes = writer.finish(1_700_000_000_000)
  bytes.writeBigInt64BE(BigInt(base), 0)
  return bytes
}

describe("crc32c", () => {
  it("gives the check value of the polynomial's catalogue", () => {
    const bytes = Buffer.from("123456789")
    assert.strictEqual(crc32c(bytes, 0, bytes.length), 0xe3069283)
  })
})

describe("murmur2", () => {
  it("gives the hashes of Kafka's own test (UtilsTest.testMurmur2)", () => {
    const expected: Readonly<Record<string, number>> = {
      "21": -973932308,
      foobar: -790332482,
      "a-little-bit-long-string": -985981536,
      "a-little-bit-longer-string": -1486304829,
      lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8: -58897971,
      abc: 479470107
    }
    for (const [text, hash] of Object.entries(expected)) assert.strictEqual(murmur2(Buffer.from(text)), hash, text)
  })
})

describe("nextOffset", () => {
  it("is the one behind the last whole batch", () => {
    const whole = Buffer.concat([batch(10, 3), batch(20, 5)])
    assert.strictEqual(nextOffset(whole), 25)
    assert.strictEqual(nextOffset(whole.subarray(0, whole.length - 1)), 13)
  })

  it("is unknown when there is no whole batch", () => {
    assert.strictEqual(nextOffset(Buffer.alloc(0)), undefined)
    assert.strictEqual(nextOffset(batch(0, 3).subarray(0, 100)), undefined)
  })
})
