import { assert, describe, it } from "@effect/vitest"
import { AnswerMemory } from "../../src/internal/records/answerMemory.ts"

const size = 1 << 20
const isSame = (a: Buffer, b: Buffer): boolean => a.buffer === b.buffer

describe("answer memory", () => {
  it("is filled again once its last user has released it, and not before", () => {
    const memory = new AnswerMemory(size, 4)
    const first = memory.allocate(size)
    memory.retain(first.subarray(10, 20))
    memory.release(first)
    assert.isFalse(isSame(memory.allocate(size), first))
    memory.release(first.subarray(30))
    assert.isTrue(isSame(memory.allocate(size - 5), first))
  })

  it("is as long as the answer, whatever lay there before", () => {
    const memory = new AnswerMemory(size, 4)
    const first = memory.allocate(size - 7)
    assert.strictEqual(first.length, size - 7)
    memory.release(first)
    assert.strictEqual(memory.allocate(size).length, size)
  })

  it("is not kept for answers that are small or larger than usual, nor for what lies elsewhere", () => {
    const memory = new AnswerMemory(size, 4)
    for (const bytes of [0, 100, size + 1]) {
      const answer = memory.allocate(bytes)
      assert.strictEqual(answer.length, bytes)
      memory.retain(answer)
      memory.release(answer)
      memory.release(answer)
      if (bytes > 0) assert.isFalse(isSame(memory.allocate(bytes), answer))
    }
    const foreign = Buffer.allocUnsafeSlow(size)
    memory.release(foreign)
    assert.isFalse(isSame(memory.allocate(size), foreign))
  })

  it("counts for each record set in it by its part, as little as may lie there", () => {
    const memory = new AnswerMemory(size, 4)
    const answer = memory.allocate(size)
    memory.receive([answer.subarray(0, 10), answer.subarray(10)])
    assert.strictEqual(memory.retain(answer.subarray(0, 10)), size / 2)
    const [apart, other] = [Buffer.allocUnsafeSlow(70), Buffer.allocUnsafeSlow(70)]
    memory.receive([apart, other])
    assert.strictEqual(memory.retain(apart) + memory.retain(other), 140)
    assert.strictEqual(memory.retain(Buffer.allocUnsafeSlow(50).subarray(20)), 50)
  })

  it("holds survivors in blocks that are used again by what they have room for", () => {
    const memory = new AnswerMemory(size, 4)
    const first = memory.allocatePacked(1000)
    assert.strictEqual(first.length, 1000)
    assert.isFalse(isSame(memory.allocatePacked(1000), first))
    memory.release(first)
    assert.isFalse(isSame(memory.allocate(size), first))
    assert.isFalse(isSame(memory.allocatePacked(1 << 24), first))
    assert.isTrue(isSame(memory.allocatePacked(500_000), first))
  })

  it("is let go when the replay is over", () => {
    const memory = new AnswerMemory(size, 4)
    const [first, second] = [memory.allocate(size), memory.allocate(size)]
    memory.release(first)
    memory.close()
    memory.release(second)
    const next = memory.allocate(size)
    assert.isFalse(isSame(next, first) || isSame(next, second))
  })
})
