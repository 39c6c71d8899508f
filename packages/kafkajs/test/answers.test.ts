import { assert, describe, it } from "@effect/vitest"
import { makeAnswers } from "../src/internal/answers.ts"

const frame = (correlationId: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(8)
  head.writeInt32BE(4 + body.length, 0)
  head.writeInt32BE(correlationId, 4)
  return Buffer.concat([head, body])
}

/** Bytes that differ from place to place, so that a byte in the wrong place shows. */
const body = (length: number, seed: number): Buffer =>
  Buffer.from(Uint8Array.from({ length }, (_, index) => (index * 31 + (index >> 8) * 7 + seed) & 255))

/** Reads `bytes` as a socket would: no more at once than `most`, and no more than there is room for. */
const read = (onread: ReturnType<typeof makeAnswers>, bytes: Buffer, most: number): void => {
  for (let at = 0; at < bytes.length;) {
    const target = onread.buffer()
    const length = Math.min(most, target.length, bytes.length - at)
    target.set(bytes.subarray(at, at + length))
    at += length
    if (!onread.callback(length, target)) return
  }
}

const take = (_: number, length: number): Buffer => Buffer.alloc(length)

describe("answers", () => {
  const lengths = [0, 1, 7, 8, 9, 65_527, 65_528, 65_529, 65_536, 65_545, 200_000, 3]

  for (const most of [1, 3, 8, 11, 1000, 65_535, 65_536, 1 << 20]) {
    it(`arrive byte for byte in order when up to ${most} bytes are read at once`, () => {
      const bodies = lengths.map((length, index) => body(length, index))
      const got: Array<[number, Buffer]> = []
      const onread = makeAnswers({
        begin: take,
        complete: (correlationId, answer) => got.push([correlationId, answer]),
        progress: () => {}
      })
      read(onread, Buffer.concat(bodies.map((one, index) => frame(index, one))), most)
      assert.deepStrictEqual(
        got.map(([correlationId, answer]) => [correlationId, answer.length]),
        lengths.map((length, index) => [index, length])
      )
      assert.isTrue(got.every(([correlationId, answer]) => answer.equals(bodies[correlationId]!)))
    })
  }

  it("stay as they are while later ones are read", () => {
    const got: Array<Buffer> = []
    const onread = makeAnswers({
      begin: take,
      complete: (_, answer) => got.push(answer),
      progress: () => {}
    })
    read(onread, frame(1, body(100, 1)), 1 << 20)
    read(onread, frame(2, body(100, 2)), 1 << 20)
    assert.isTrue(got[0]!.equals(body(100, 1)))
  })

  it("lie in the memory that is given for them", () => {
    const memory = Buffer.alloc(300_000)
    const got: Array<Buffer> = []
    const onread = makeAnswers({
      begin: (correlationId, length) => memory.subarray(correlationId * 100_000, correlationId * 100_000 + length),
      complete: (_, answer) => got.push(answer),
      progress: () => {}
    })
    read(onread, Buffer.concat([0, 1, 2].map((id) => frame(id, body(99_000, id)))), 30_000)
    for (const [id, answer] of got.entries()) {
      assert.strictEqual(answer.buffer, memory.buffer)
      assert.isTrue(memory.subarray(id * 100_000, id * 100_000 + 99_000).equals(body(99_000, id)))
    }
    assert.strictEqual(got.length, 3)
  })

  it("that nobody waits for are skipped, however long", () => {
    const got: Array<number> = []
    const onread = makeAnswers({
      begin: (correlationId, length) => (correlationId === 2 ? "skip" : Buffer.alloc(length)),
      complete: (correlationId) => got.push(correlationId),
      progress: () => {}
    })
    read(onread, Buffer.concat([1, 2, 3].map((id) => frame(id, body(150_000, id)))), 10_000)
    assert.deepStrictEqual(got, [1, 3])
  })

  it("that nobody asked for, or of a negative length, end the reading", () => {
    const negative = frame(1, Buffer.alloc(0))
    negative.writeInt32BE(-5, 0)
    for (const bytes of [frame(9, body(10, 0)), negative]) {
      const got: Array<number> = []
      const onread = makeAnswers({
        begin: (correlationId, length) => (correlationId === 9 ? "refuse" : Buffer.alloc(length)),
        complete: (correlationId) => got.push(correlationId),
        progress: () => {}
      })
      read(onread, Buffer.concat([bytes, frame(3, body(10, 0))]), 1 << 20)
      assert.deepStrictEqual(got, [])
    }
  })
})
