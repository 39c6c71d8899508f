/** A topic that is deleted and made again under a writer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { start, startUnanswered } from "./fixtures.ts"
import { answered, describe as describeTopic, eventually, refuse } from "./scriptedKafka.ts"

const topicId = "ff".repeat(16)
const madeAnew = describeTopic({ partitions: 1, topicId })

describe("a topic that changes", () => {
  it.effect("made again, it is written to under its new id", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start()
      yield* eventually(writer.set("a", 1))
      kafka.description = madeAnew
      kafka.produces = [refuse(ErrorCode.UNKNOWN_TOPIC_ID)]
      const ack = yield* eventually(writer.set("b", 1))
      assert.strictEqual(ack.topicId, topicId)
      assert.strictEqual(kafka.produced.at(-1)!.request.topicId, topicId)
    })
  )

  it.effect("made again unseen by the produce, its id is asked for when an offset comes twice", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start()
      yield* eventually(writer.set("a", 1))
      kafka.description = madeAnew
      kafka.produces = [() => Effect.succeed([answered(0, { baseOffset: 0 })])]
      const ack = yield* eventually(writer.set("b", 1))
      assert.strictEqual(ack.topicId, topicId)
      assert.strictEqual(ack.offset, 0)
    })
  )

  it.effect("made again with fewer partitions, what was not sent goes to those there are", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({
        partitions: 2,
        writer: { partitioner: (key, count) => key[0]! % count }
      })
      kafka.description = madeAnew
      kafka.produces = [refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)]
      const ack = yield* eventually(writer.set("a", 1))
      assert.strictEqual(ack.partition, 0)
    })
  )

  it.effect("made again with fewer partitions, a partitioner that knows none for a key fails that write alone", () =>
    Effect.gen(function* () {
      const partitioner = (key: Uint8Array, count: number): number => {
        if (count === 1 && key[0] === 0x62) throw new Error("b has no place")
        return 1 % count
      }
      const { kafka, writer } = yield* start({ partitions: 2, writer: { partitioner } })
      kafka.description = madeAnew
      kafka.produces = [refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)]
      const exits = yield* eventually(
        Effect.forEach(["a", "b", "c", "b", "d"], (key) => Effect.exit(writer.set(key, 1)), {
          concurrency: "unbounded"
        })
      )
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true, false, true])
      for (const key of ["e", "f"]) assert.strictEqual((yield* eventually(writer.set(key, 1))).partition, 0)
    })
  )

  it.effect("made again while writes wait behind a batch, each of them ends", () =>
    Effect.gen(function* () {
      const partitioner = (key: Uint8Array, count: number): number => {
        if (count === 1 && key[0] === 0x62) throw new Error("b has no place")
        return 1 % count
      }
      const { answer, kafka, first, writer } = yield* startUnanswered("a", { partitioner }, { partitions: 2 })
      const behind = yield* Effect.forkChild(
        Effect.forEach(["b", "c", "b", "d"], (key) => Effect.exit(writer.set(key, 1)), { concurrency: "unbounded" })
      )
      yield* Effect.yieldNow
      kafka.description = madeAnew
      kafka.produces = [refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)]
      yield* answer
      yield* eventually(Fiber.join(first))
      const exits = yield* eventually(Fiber.join(behind))
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [false, true, false, true])
    })
  )
})
