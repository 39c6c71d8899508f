/** The numbering of writes: how it goes on when a broker does not accept it, and writers that go without. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Logger } from "effect"
import { type KafkaError, UnsupportedRequest } from "effect-ktables/KafkaError"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { byLastBit, failureOf, setTogether, start } from "./fixtures.ts"
import {
  accept,
  appendAndRefuse,
  brokerError,
  cut,
  eventually,
  firstId,
  lost,
  refuse,
  secondId,
  until
} from "./scriptedKafka.ts"

describe("numbering that the broker does not accept", () => {
  for (const [name, code] of [
    ["OUT_OF_ORDER_SEQUENCE_NUMBER", ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER],
    ["UNKNOWN_PRODUCER_ID", ErrorCode.UNKNOWN_PRODUCER_ID]
  ] as const) {
    it.effect(`${name} on a first attempt renumbers under the next epoch and sends again`, () =>
      Effect.gen(function* () {
        const { kafka, writer } = yield* start({ produces: [accept, refuse(code)] })
        yield* eventually(writer.set("a", 1))
        const ack = yield* eventually(writer.set("b", 1))
        assert.deepStrictEqual([ack.producerId, ack.producerEpoch, ack.sequence, ack.offset], [`${firstId}`, 1, 0, 1])
        assert.deepStrictEqual(kafka.log(), ["a", "b"])
      })
    )
  }

  for (const [name, code] of [
    ["INVALID_PRODUCER_EPOCH", ErrorCode.INVALID_PRODUCER_EPOCH],
    ["PRODUCER_FENCED", ErrorCode.PRODUCER_FENCED]
  ] as const) {
    it.effect(`${name} asks for a fresh identity`, () =>
      Effect.gen(function* () {
        const { writer } = yield* start({ produces: [refuse(code)] })
        const ack = yield* eventually(writer.set("a", 1))
        assert.deepStrictEqual([ack.producerId, ack.producerEpoch, ack.sequence], [`${secondId}`, 0, 0])
      })
    )
  }

  it.effect(
    "after an unanswered attempt the batch is WriteOutcomeUnknown, and what was never sent goes under the new numbering",
    () =>
      Effect.gen(function* () {
        const { kafka, writer } = yield* start({
          produces: [appendAndRefuse(ErrorCode.REQUEST_TIMED_OUT), refuse(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)]
        })
        const first = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
        yield* until(() => kafka.produced.length === 1)
        const second = yield* Effect.forkChild(writer.set("b", 1))
        assert.strictEqual((yield* eventually(Fiber.join(first)))._tag, "WriteOutcomeUnknown")
        const ack = yield* eventually(Fiber.join(second))
        assert.deepStrictEqual([ack.producerEpoch, ack.sequence, ack.offset], [1, 0, 1])
      })
  )

  it.effect("a partition that renumbers leaves the numbering of the others alone", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({
        partitions: 2,
        produces: [accept, refuse(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)],
        writer: { partitioner: byLastBit }
      })
      yield* eventually(writer.set("a", 1))
      yield* eventually(writer.set("b", 1))
      const ack = yield* eventually(writer.set("a", 2))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [0, 1])
    })
  )

  it.effect("a fresh identity that is slow to come is waited for", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ produces: [refuse(ErrorCode.PRODUCER_FENCED)] })
      kafka.inits = [
        Effect.fail(brokerError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)),
        Effect.fail(lost("InitProducerId"))
      ]
      const ack = yield* eventually(writer.set("a", 1))
      assert.strictEqual(ack.producerId, `${secondId}`)
    })
  )
})

describe("clusters that grant no idempotence", () => {
  const refusals = [
    [
      "refuses it",
      brokerError(ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "InitProducerId"),
      "NotAuthorized",
      "IdempotentWrite"
    ],
    [
      "does not know it",
      new UnsupportedRequest({ broker: "one:9092", request: "InitProducerId", detail: "no version" }),
      "ClusterRefused",
      "InitProducerId"
    ],
    [
      "has no words for it",
      brokerError(ErrorCode.UNKNOWN_SERVER_ERROR, "InitProducerId"),
      "ClusterRefused",
      "UNKNOWN_SERVER_ERROR"
    ],
    ["answers in a code of its own", brokerError(999, "InitProducerId"), "ClusterRefused", "ERROR_999"]
  ] as const
  /** More often than a start asks. */
  const always = (error: KafkaError) => Array.from({ length: 10 }, () => Effect.fail(error))

  it.effect("an error without a name that passes is no refusal", () =>
    Effect.gen(function* () {
      const error = brokerError(ErrorCode.UNKNOWN_SERVER_ERROR, "InitProducerId")
      const { writer } = yield* eventually(start({ inits: [Effect.fail(error), Effect.fail(error)] }))
      assert.strictEqual((yield* eventually(writer.set("a", 1))).producerId, `${firstId}`)
    })
  )

  for (const [how, error, tag, named] of refusals) {
    it.effect(`a cluster that ${how} is written to in the same order without`, () =>
      Effect.gen(function* () {
        const lines: Array<string> = []
        const logger = Logger.make(({ message }) => {
          lines.push(String(message))
        })
        const { acks, kafka } = yield* Effect.gen(function* () {
          const { kafka, writer } = yield* eventually(start({ inits: always(error), produces: [cut] }))
          return { kafka, acks: yield* eventually(setTogether(writer, ["a", "b"])) }
        }).pipe(Effect.provide(Logger.layer([logger])))
        assert.strictEqual(lines.length, 1, "it is said once")
        assert.include(lines[0], 'idempotence "off"')
        assert.deepStrictEqual(
          acks.map((ack) => [ack.producerId, ack.sequence, ack.offset]),
          [
            [undefined, -1, 0],
            [undefined, -1, 1]
          ]
        )
        assert.deepStrictEqual(kafka.log(), ["a", "b"])
      })
    )

    it.effect(`a cluster that ${how} keeps a writer that requires it from starting`, () =>
      Effect.gen(function* () {
        const starting = start({ inits: always(error), writer: { idempotence: "required" } })
        const failure = yield* failureOf(Effect.scoped(starting))
        assert.strictEqual(failure._tag, tag)
        assert.include(failure.message, named)
        assert.include(failure.message, 'idempotence "required"')
      })
    )
  }

  it.effect("a produce that is not authorized to be idempotent goes again without", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ produces: [refuse(ErrorCode.CLUSTER_AUTHORIZATION_FAILED)] })
      const ack = yield* eventually(writer.set("a", 1))
      assert.isUndefined(ack.producerId)
      assert.deepStrictEqual(kafka.log(), ["a"])
    })
  )

  it.effect("it fails where idempotence is required", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({
        produces: [refuse(ErrorCode.CLUSTER_AUTHORIZATION_FAILED)],
        writer: { idempotence: "required" }
      })
      const error = yield* failureOf(writer.set("a", 1))
      assert.strictEqual(error._tag, "NotAuthorized")
      assert.include(error.message, "IdempotentWrite")
      assert.include(error.message, 'idempotence "required"')
    })
  )

  it.effect("idempotence off never asks for an identity", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ writer: { idempotence: "off" } })
      const ack = yield* eventually(writer.set("a", 1))
      assert.isUndefined(ack.producerId)
      assert.notInclude(kafka.calls, "initProducerId")
    })
  )
})
