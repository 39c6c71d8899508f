/** Writes of many entries at once. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber } from "effect"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { byLastBit, failureOf, refuseKey, start, startUnanswered } from "./fixtures.ts"
import { eventually } from "./scriptedKafka.ts"

describe("setAll", () => {
  it.effect("answers with the acknowledgements in the order of the entries", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({ partitions: 2, writer: { partitioner: byLastBit } })
      const acks = yield* eventually(
        writer.setAll([
          ["a", 1],
          ["b", 2],
          ["c", 3]
        ])
      )
      assert.deepStrictEqual(
        acks.map((ack) => [ack.partition, ack.offset]),
        [
          [1, 0],
          [0, 0],
          [1, 1]
        ]
      )
      assert.deepStrictEqual(yield* eventually(writer.setAll([])), [])
    })
  )

  it.effect("names each failed key with its own error and the acknowledgements of the others", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({
        otherwise: refuseKey("guilty", ErrorCode.INVALID_RECORD),
        writer: { maxBatchBytes: 300 }
      })
      const error = yield* failureOf(
        writer.setAll([
          ["a", 1],
          ["\ud800", 2],
          ["guilty", 3],
          ["x".repeat(300), 4],
          ["b", 5]
        ])
      )
      assert.deepStrictEqual(
        error.failures.map((failure) => [failure.key.slice(0, 6), failure.error._tag]),
        [
          ["\ud800", "EncodeError"],
          ["guilty", "WriteRejected"],
          ["xxxxxx", "WriteRejected"]
        ]
      )
      assert.deepStrictEqual(
        error.acks.map(({ key, ack }) => [key, ack.offset]),
        [
          ["a", 0],
          ["b", 1]
        ]
      )
      assert.include(error.message, "3 of 5")
    })
  )

  it.effect("is written through a buffer that holds only part of it", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ writer: { maxBufferedBytes: 500 } })
      const entries = Array.from({ length: 1000 }, (_, i) => [`k${i}`, i] as const)
      const acks = yield* eventually(writer.setAll(entries))
      assert.deepStrictEqual(
        acks.map((ack) => ack.offset),
        entries.map((_, i) => i)
      )
      assert.deepStrictEqual(
        kafka.log(),
        entries.map(([key]) => key)
      )
      for (const produced of kafka.produced) assert.isAtMost(produced.keys.length, 15)
    })
  )

  it.effect("of nothing that can be iterated over is one failure that says so", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start()
      const wrong: ReadonlyArray<readonly [given: unknown, shown: string]> = [
        [null, "null"],
        [undefined, "undefined"],
        [5, "5"],
        ["ab", '"ab"'],
        [{ a: 1 }, "an object"],
        [Promise.resolve([["a", 1]]), "a Promise"]
      ]
      for (const [given, shown] of wrong) {
        const error = yield* failureOf(writer.setAll(given as ReadonlyArray<readonly [string, number]>))
        assert.deepStrictEqual(error.failures.map(({ key }) => key) as unknown, [given])
        assert.include(
          error.message,
          `a key for prices does not encode: it is ${shown}, expected an iterable of [key, value] pairs`
        )
      }
      assert.strictEqual(kafka.produced.length, 0)
    })
  )

  it.effect("an entry that is no pair fails alone, named by what it is", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start()
      const entries = [["a", 1], null, "bc", 5, ["d", 4]] as unknown as ReadonlyArray<readonly [string, number]>
      const error = yield* failureOf(writer.setAll(entries))
      assert.deepStrictEqual(
        error.failures.map((failure) => [failure.key, failure.error._tag]),
        [
          [null, "EncodeError"],
          ["bc", "EncodeError"],
          [5, "EncodeError"]
        ] as unknown
      )
      assert.include(error.message, "a key for prices does not encode: it is null, expected a [key, value] pair")
      assert.deepStrictEqual(kafka.log(), ["a", "d"])
    })
  )

  it.effect("a partitioner that throws for one key keeps no other from being written", () =>
    Effect.gen(function* () {
      const partitioner = (key: Uint8Array): number => {
        if (key[0] === 0x62) throw new Error("b has no place")
        return 0
      }
      const { kafka, writer } = yield* start({ writer: { partitioner } })
      const cause = yield* failureOf(
        Effect.sandbox(
          writer.setAll([
            ["a", 1],
            ["b", 2],
            ["c", 3]
          ])
        )
      )
      assert.include(String(Cause.squash(cause)), "b has no place")
      assert.deepStrictEqual(kafka.log(), ["a", "c"])
    })
  )

  it.effect("an iterable that throws withdraws what is in no batch yet", () =>
    Effect.gen(function* () {
      const { kafka, writer, first, answer } = yield* startUnanswered("first")
      const entries = function* (): Generator<readonly [string, number]> {
        yield ["a", 1]
        throw new Error("no more")
      }
      const cause = yield* failureOf(Effect.sandbox(writer.setAll(entries())))
      assert.include(String(Cause.squash(cause)), "no more")
      yield* answer
      yield* eventually(Fiber.join(first))
      yield* eventually(writer.set("last", 1))
      assert.deepStrictEqual(kafka.log(), ["first", "last"])
    })
  )

  it.effect("interrupted, it withdraws what is in no batch yet", () =>
    Effect.gen(function* () {
      const { kafka, writer, first, answer } = yield* startUnanswered("first")
      const all = yield* Effect.forkChild(
        writer.setAll([
          ["a", 1],
          ["b", 2]
        ])
      )
      yield* Effect.yieldNow
      yield* Fiber.interrupt(all)
      yield* answer
      yield* eventually(Fiber.join(first))
      yield* eventually(writer.set("last", 1))
      assert.deepStrictEqual(kafka.log(), ["first", "last"])
    })
  )
})
