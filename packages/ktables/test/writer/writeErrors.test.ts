/** The errors that single writes end with, and what becomes of the writes behind them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { AuthenticationFailed, MalformedAnswer } from "effect-ktables/KafkaError"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { failureOf, refuseKey, setTogether, silent, start, unreachable } from "./fixtures.ts"
import { accept, brokerError, cut, eventually, firstId, refuse } from "./scriptedKafka.ts"

describe("writes that end in an error", () => {
  it.effect("never sent within deliveryTimeout is WriteTimeout, and its sequence goes to the next write", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ otherwise: unreachable, writer: { deliveryTimeout: "10 seconds" } })
      const error = yield* failureOf(writer.set("a", 1))
      assert.strictEqual(error._tag, "WriteTimeout")
      assert.include(error.message, "ECONNRESET")
      kafka.otherwise = accept
      const ack = yield* eventually(writer.set("b", 1))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [0, 0])
    })
  )

  it.effect(
    "sent and unanswered within deliveryTimeout is WriteOutcomeUnknown, and its numbering is never used again",
    () =>
      Effect.gen(function* () {
        const { kafka, writer } = yield* start({ otherwise: cut, writer: { deliveryTimeout: "10 seconds" } })
        const error = yield* failureOf(writer.set("a", 1))
        assert.strictEqual(error._tag, "WriteOutcomeUnknown")
        kafka.otherwise = accept
        const ack = yield* eventually(writer.set("b", 1))
        assert.deepStrictEqual([ack.producerId, ack.producerEpoch, ack.sequence], [`${firstId}`, 1, 0])
      })
  )

  it.effect("a broker that never answers ends a write at deliveryTimeout", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({ otherwise: silent, writer: { deliveryTimeout: "10 seconds" } })
      const fiber = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
      yield* TestClock.adjust(9999)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* eventually(Fiber.join(fiber)))._tag, "WriteOutcomeUnknown")
    })
  )

  it.effect("writes queued behind a stuck batch are told by their own deliveryTimeout", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({ otherwise: unreachable, writer: { deliveryTimeout: "10 seconds" } })
      const first = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
      yield* TestClock.adjust("4 seconds")
      const second = yield* Effect.forkChild(Effect.flip(writer.set("b", 1)))
      yield* TestClock.adjust("6 seconds")
      assert.isDefined(first.pollUnsafe())
      yield* TestClock.adjust("3900 millis")
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("101 millis")
      assert.strictEqual((yield* eventually(Fiber.join(second)))._tag, "WriteTimeout")
    })
  )

  it.effect("a record over maxBatchBytes is refused before anything is sent", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ writer: { maxBatchBytes: 200 } })
      const error = yield* failureOf(writer.set("k".repeat(200), 1))
      assert.strictEqual(error._tag, "WriteRejected")
      assert.include(error.message, "MESSAGE_TOO_LARGE")
      assert.strictEqual(kafka.produced.length, 0)
    })
  )

  it.effect("MESSAGE_TOO_LARGE ends only the record to blame, and the others keep their order", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ otherwise: refuseKey("guilty", ErrorCode.MESSAGE_TOO_LARGE) })
      const keys = ["a", "b", "guilty", "c", "d", "e"]
      const exits = yield* eventually(
        Effect.forEach(keys, (key) => Effect.exit(writer.set(key, 1)), { concurrency: "unbounded" })
      )
      assert.deepStrictEqual(kafka.log(), ["a", "b", "c", "d", "e"])
      assert.deepStrictEqual(
        exits.map(Exit.isSuccess),
        keys.map((key) => key !== "guilty")
      )
      assert.deepStrictEqual(
        exits.flatMap((exit) => (Exit.isSuccess(exit) ? [exit.value.sequence] : [])),
        [0, 1, 2, 3, 4]
      )
    })
  )

  it.effect("batches are kept below the topic's own limit where it is known", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({
        config: new Map([
          ["cleanup.policy", "compact"],
          ["max.message.bytes", "200"]
        ]),
        writer: { ensureTopic: {} }
      })
      yield* eventually(setTogether(writer, ["a", "b", "c", "d", "e", "f"]))
      assert.isAbove(kafka.produced.length, 1)
      for (const produced of kafka.produced) assert.isAtMost(produced.bytes.length, 200)
      assert.deepStrictEqual(kafka.log(), ["a", "b", "c", "d", "e", "f"])
    })
  )

  it.effect("not authorized is NotAuthorized, after an unanswered attempt it is WriteOutcomeUnknown", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({
        produces: [refuse(ErrorCode.TOPIC_AUTHORIZATION_FAILED), cut, refuse(ErrorCode.TOPIC_AUTHORIZATION_FAILED)]
      })
      const first = yield* failureOf(writer.set("a", 1))
      assert.strictEqual(first._tag, "NotAuthorized")
      const second = yield* failureOf(writer.set("b", 1))
      assert.strictEqual(second._tag, "WriteOutcomeUnknown")
      const ack = yield* eventually(writer.set("c", 1))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [1, 0])
    })
  )

  it.effect("a deleted topic is TopicNotFound, once its absence was repeated for some seconds", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ otherwise: refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) })
      kafka.describes = Array.from({ length: 100 }, () =>
        Effect.fail(brokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "Metadata"))
      )
      const fiber = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual((yield* eventually(Fiber.join(fiber)))._tag, "TopicNotFound")
      const sent = kafka.produced.length
      assert.strictEqual((yield* failureOf(writer.set("b", 1)))._tag, "TopicNotFound")
      assert.strictEqual(kafka.produced.length, sent + 1)
    })
  )

  it.effect("refused credentials end the write and say what the broker said", () =>
    Effect.gen(function* () {
      const refused = new AuthenticationFailed({ broker: "one:9092", detail: "the password has expired" })
      const { writer } = yield* start({ produces: [() => Effect.fail(refused)] })
      const error = yield* failureOf(writer.set("a", 1))
      assert.strictEqual(error._tag, "AuthenticationRefused")
      assert.include(error.message, "the password has expired")
      yield* eventually(writer.set("b", 1))
    })
  )

  it.effect("an answer that cannot be read leaves the outcome unknown", () =>
    Effect.gen(function* () {
      const garbled = new MalformedAnswer({ broker: "one:9092", request: "Produce", detail: "cut short" })
      const { writer } = yield* start({
        produces: [() => Effect.fail(garbled), refuse(ErrorCode.UNKNOWN_SERVER_ERROR)]
      })
      assert.strictEqual((yield* failureOf(writer.set("a", 1)))._tag, "WriteOutcomeUnknown")
      assert.strictEqual((yield* failureOf(writer.set("b", 1)))._tag, "WriteOutcomeUnknown")
      const ack = yield* eventually(writer.set("c", 1))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [2, 0])
    })
  )

  it.effect("a defect of the client's ends the writes of that batch, and later ones are tried", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({ produces: [() => Effect.die(new Error("boom"))] })
      const exit = yield* eventually(Effect.exit(writer.set("a", 1)))
      assert.isTrue(Exit.hasDies(exit))
      const ack = yield* eventually(writer.set("b", 1))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [1, 0])
    })
  )

  it.effect("a key with a lone surrogate is an EncodeError", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start()
      const error = yield* failureOf(writer.set("\ud800", 1))
      assert.strictEqual(error._tag, "EncodeError")
      assert.strictEqual(kafka.produced.length, 0)
    })
  )
})
