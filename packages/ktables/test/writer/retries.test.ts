/** Answers after which a batch is sent again, and what stays as it was written when it is. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { byLastBit, heldAnswer, start, unreachable } from "./fixtures.ts"
import { accept, appendAndCut, cut, describe as describeTopic, eventually, refuse, until } from "./scriptedKafka.ts"

describe("answers that pass by themselves", () => {
  const passing = [
    ErrorCode.NOT_LEADER_OR_FOLLOWER,
    ErrorCode.LEADER_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.NOT_ENOUGH_REPLICAS,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.UNKNOWN_TOPIC_ID,
    ErrorCode.THROTTLING_QUOTA_EXCEEDED,
    ErrorCode.KAFKA_STORAGE_ERROR,
    ErrorCode.CORRUPT_MESSAGE
  ]
  for (const code of passing) {
    const name = Object.entries(ErrorCode).find((entry) => entry[1] === code)![0]
    it.effect(`${name} refreshes the metadata and sends the same bytes again`, () =>
      Effect.gen(function* () {
        const { kafka, writer } = yield* start({ produces: [refuse(code)] })
        const describesBefore = kafka.calls.length
        const ack = yield* eventually(writer.set("tea", 3))
        assert.strictEqual(ack.offset, 0)
        assert.strictEqual(kafka.calls.length, describesBefore + 1)
        assert.strictEqual(kafka.produced.length, 2)
        assert.isTrue(kafka.produced[0]!.bytes.equals(kafka.produced[1]!.bytes))
      })
    )
  }

  it.effect("a new leader is tried at once", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ produces: [refuse(ErrorCode.NOT_LEADER_OR_FOLLOWER)] })
      kafka.description = describeTopic({ partitions: 1, leader: 2 })
      const fiber = yield* Effect.forkChild(writer.set("tea", 3))
      yield* until(() => fiber.pollUnsafe() !== undefined)
      assert.deepStrictEqual(
        kafka.produced.map((p) => p.broker),
        [1, 2]
      )
    })
  )

  it.effect("a broker that does not know of added partitions yet sends no key back to where it was", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ partitions: 2, writer: { metadataMaxAge: "1 second" } })
      const key = Array.from({ length: 100 }, (_, i) => `key-${i}`).find(
        (key) => javaPartitioner(Buffer.from(key), 2) !== javaPartitioner(Buffer.from(key), 3)
      )!
      const before = yield* eventually(writer.set(key, 1))
      kafka.describes = [describeTopic({ partitions: 3 }), describeTopic({ partitions: 2 })].map((it) =>
        Effect.succeed(it)
      )
      yield* TestClock.adjust("1 second")
      yield* until(() => kafka.describes.length === 1)
      const after = yield* eventually(writer.set(key, 2))
      assert.notStrictEqual(after.partition, before.partition)
      while (kafka.describes.length > 0) yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* eventually(writer.set(key, 3))).partition, after.partition)
    })
  )

  it.effect("a partition without a leader is waited for", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ writer: { metadataMaxAge: "1 second" } })
      kafka.description = describeTopic({ partitions: 1, leader: -1 })
      yield* TestClock.adjust("1 second")
      const fiber = yield* Effect.forkChild(writer.set("tea", 3))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(kafka.produced.length, 0)
      kafka.description = describeTopic({ partitions: 1 })
      yield* eventually(Fiber.join(fiber))
    })
  )

  it.effect(
    "an unresolved batch is sent again before anything newer, so a cut answer neither loses, doubles nor reorders",
    () =>
      Effect.gen(function* () {
        const { kafka, writer } = yield* start({ produces: [appendAndCut, cut, accept] })
        const first = yield* Effect.forkChild(writer.set("a", 1))
        yield* until(() => kafka.produced.length === 1)
        const second = yield* Effect.forkChild(writer.set("b", 2))
        const acks = [yield* eventually(Fiber.join(first)), yield* eventually(Fiber.join(second))]
        assert.deepStrictEqual(kafka.log(), ["a", "b"])
        assert.deepStrictEqual(
          acks.map((ack) => [ack.offset, ack.sequence]),
          [
            [0, 0],
            [1, 1]
          ]
        )
      })
  )

  it.effect("DUPLICATE_SEQUENCE_NUMBER is success with an unknown offset", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({ produces: [appendAndCut, refuse(ErrorCode.DUPLICATE_SEQUENCE_NUMBER)] })
      const ack = yield* eventually(writer.set("a", 1))
      assert.isUndefined(ack.offset)
      assert.strictEqual((yield* eventually(writer.set("b", 1))).sequence, 1)
    })
  )

  it.effect("a busy partition does not hold up another one", () =>
    Effect.gen(function* () {
      const { held, answer } = yield* heldAnswer
      const { kafka, writer } = yield* start({
        partitions: 2,
        otherwise: (produced, cluster) => (produced.partition === 0 ? held : accept)(produced, cluster),
        writer: { partitioner: byLastBit }
      })
      const stuck = yield* Effect.forkChild(writer.set("b", 1))
      yield* until(() => kafka.produced.length === 1)
      assert.strictEqual((yield* eventually(writer.set("a", 1))).partition, 1)
      assert.isUndefined(stuck.pollUnsafe())
      yield* answer
      yield* eventually(Fiber.join(stuck))
    })
  )
})

describe("batches that are unresolved for as long as brokers remember a producer id", () => {
  const never = { deliveryTimeout: "2 days" } as const
  /** Each attempt takes long, so that a day holds few. */
  const slowly =
    (script: typeof cut): typeof cut =>
    (produced, cluster) =>
      Effect.delay(script(produced, cluster), "20 minutes")

  it.effect("are not sent again, and are WriteOutcomeUnknown; what follows goes under the next epoch", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ produces: [appendAndCut], otherwise: slowly(cut), writer: never })
      const first = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
      yield* until(() => kafka.produced.length === 1)
      yield* TestClock.adjust("22 hours")
      kafka.otherwise = accept
      const error = yield* eventually(Fiber.join(first))
      assert.strictEqual(error._tag, "WriteOutcomeUnknown")
      assert.include(error.message, "producer id")
      const ack = yield* eventually(writer.set("b", 1))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [1, 0])
      assert.deepStrictEqual(kafka.log(), ["a", "b"])
    })
  )

  it.effect("are sent for as long as it takes where no attempt can have been written", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ otherwise: slowly(unreachable), writer: never })
      const first = yield* Effect.forkChild(writer.set("a", 1))
      yield* until(() => kafka.produced.length === 1)
      yield* TestClock.adjust("25 hours")
      kafka.otherwise = accept
      assert.strictEqual((yield* eventually(Fiber.join(first))).offset, 0)
    })
  )

  it.effect("where brokers forget sooner, by producerIdExpiration", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({
        produces: [appendAndCut],
        otherwise: cut,
        writer: { producerIdExpiration: "10 seconds" }
      })
      const first = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
      yield* until(() => kafka.produced.length === 1)
      const error = yield* eventually(Fiber.join(first), 200)
      assert.strictEqual(error._tag, "WriteOutcomeUnknown")
      assert.deepStrictEqual(kafka.log(), ["a"])
    })
  )
})
