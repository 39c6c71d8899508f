import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { javaPartitioner, murmur2 } from "../../src/internal/records/partitioner.ts"
import { advance, nextEpoch } from "../../src/internal/writer/sequence.ts"

// The vectors of Kafka's own UtilsTest.testMurmur2.
const vectors: ReadonlyArray<readonly [string, number]> = [
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107]
]

describe("the partitioner", () => {
  it.effect("hashes as Java does", () =>
    Effect.sync(() => {
      for (const [key, hash] of vectors) assert.strictEqual(murmur2(Buffer.from(key)), hash, key)
    })
  )

  it.effect("takes the hash without its sign, over the current count of partitions", () =>
    Effect.sync(() => {
      assert.strictEqual(javaPartitioner(Buffer.from("21"), 7), (-973932308 & 0x7fffffff) % 7)
      assert.strictEqual(javaPartitioner(Buffer.from("abc"), 7), 479470107 % 7)
      assert.strictEqual(javaPartitioner(new Uint8Array(0), 1), 0)
    })
  )
})

describe("a producer's numbering", () => {
  it.effect("wraps behind 2^31-1", () =>
    Effect.sync(() => {
      assert.strictEqual(advance(2147483646, 1), 2147483647)
      assert.strictEqual(advance(2147483647, 1), 0)
      assert.strictEqual(advance(2147483640, 10), 2)
    })
  )

  it.effect("ends with the last epoch", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(nextEpoch({ producerId: 5n, producerEpoch: 3, sequence: 9, generation: 2 }), {
        producerId: 5n,
        producerEpoch: 4,
        sequence: 0,
        generation: 2
      })
      assert.isUndefined(nextEpoch({ producerId: 5n, producerEpoch: 32767, sequence: 9, generation: 0 }))
    })
  )
})
