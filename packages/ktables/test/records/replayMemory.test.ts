/** What a replay's memory amounts to while it goes on, as the process sees it. */
import { assert, describe, it } from "@effect/vitest"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { AnswerMemory } from "../../src/internal/records/answerMemory.ts"
import { Survivors } from "../../src/internal/records/survivors.ts"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"

const MIB = 1 << 20

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** Bytes of buffers that something still refers to. */
const retained = (): number => {
  // What one collection finds is freed beside the program, at the latest before the next.
  for (let n = 0; n < 3; n++) collect()
  return process.memoryUsage().arrayBuffers
}

/** Replays answers into one partition, each of one batch. */
const replay = (answerSize: number) => {
  const memory = new AnswerMemory(answerSize, 1)
  const survivors = new Survivors(0, memory)
  let offset = 0
  const before = retained()
  return {
    survivors,
    retained: () => retained() - before,
    answer: (records: ReadonlyArray<readonly [key: string, value: Buffer | null]>): void => {
      const set = encodeBatch(
        records.map(([key, value], offsetDelta) => ({ offsetDelta, timestamp: 0, key: Buffer.from(key), value })),
        { baseOffset: offset }
      )
      const answer = memory.allocate(set.length)
      set.copy(answer)
      memory.receive([answer])
      const cursor = new RecordCursor({ records: answer, fromOffset: offset, abortedTransactions: undefined })
      offset += records.length
      assert.isTrue(survivors.take(cursor, Number.POSITIVE_INFINITY))
      memory.release(answer)
    }
  }
}

describe("a replay's memory", () => {
  it("does not grow with answers of which nothing has to be copied", () => {
    const { answer, retained, survivors } = replay(2 * MIB)
    for (let n = 0; n < 100; n++) answer([["key", Buffer.alloc(2 * MIB - 500, n)]])
    assert.strictEqual(survivors.bytes.live, 2 * MIB - 500)
    assert.isBelow(retained(), 80 * MIB)
  })

  it("does not grow with answers of which a little has to be copied each time", () => {
    const { answer, retained, survivors } = replay(2 * MIB)
    for (let n = 0; n < 100; n++) {
      answer([
        ["junk", Buffer.alloc(2 * MIB - 2000, n)],
        [`key-${n}`, Buffer.alloc(100, n)],
        ["junk", Buffer.alloc(80, n)]
      ])
    }
    assert.strictEqual(survivors.size, 101)
    assert.isBelow(retained(), 300 * MIB)
  })

  it("is let go as soon as nothing that survives lies in it, however little that is", () => {
    const { answer, survivors } = replay(MIB)
    const round = (n: number) => Array.from({ length: 10 }, (_, i) => [`key-${i}`, Buffer.alloc(10_000, n)] as const)
    answer(round(0))
    const { held } = survivors.bytes
    for (let n = 1; n < 5; n++) answer(round(n))
    assert.deepStrictEqual(survivors.bytes, { live: 100_000, held })
    for (let i = 0; i < 10; i++) {
      const entry = survivors.find(Buffer.from(`key-${i}`), 0, 5)
      assert.strictEqual(survivors.valueBuffer(entry)[survivors.valueStart(entry)], 4)
    }
  })

  it("stays in proportion to the survivors while they grow", () => {
    const { answer, retained, survivors } = replay(2 * MIB)
    let seed = 1
    for (let n = 0; n < 1000; n++) {
      const fresh = 2 * n
      answer(
        Array.from({ length: 40 }, (_, i) => {
          seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
          const key = i < 2 ? fresh + i : Math.floor((seed / 4294967296) * (fresh + 2))
          return [`key-${key}`, Buffer.alloc(50_000, n)] as const
        })
      )
    }
    const { held, live } = survivors.bytes
    assert.strictEqual(live, 100_000_000)
    assert.isBelow(retained(), 3 * held, `live ${live}, held ${held}`)
  })

  it("has a place for values without bytes after others have been copied away from beside them", () => {
    const { answer, survivors } = replay(2 * MIB)
    answer([
      ["junk", Buffer.alloc(MIB, 1)],
      ["empty", Buffer.alloc(0)],
      ["deleted", null]
    ])
    for (let n = 0; n < 3; n++) answer([["junk", Buffer.alloc(2 * MIB - 500, n)]])
    for (const [key, length] of [
      ["empty", 0],
      ["deleted", -1]
    ] as const) {
      const entry = survivors.find(Buffer.from(key), 0, key.length)
      assert.strictEqual(survivors.valueLength(entry), length)
      assert.isAtMost(survivors.valueStart(entry), survivors.valueBuffer(entry).length)
    }
  })
})
