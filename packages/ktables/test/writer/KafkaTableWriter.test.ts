import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Metric, Option, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import * as Codec from "effect-ktables/Codec"
import { KafkaClient } from "effect-ktables/KafkaClient"
import { AuthenticationFailed, MalformedAnswer, RequestTimedOut, UnsupportedRequest } from "effect-ktables/KafkaError"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import type { WriteError } from "effect-ktables/TableError"
import * as TableTopic from "effect-ktables/TableTopic"
import { javaPartitioner } from "../../src/internal/writer/partitioner.ts"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import {
  accept,
  answered,
  appendAndCut,
  appendAndRefuse,
  brokerError,
  cut,
  describe as describeTopic,
  eventually,
  lost,
  refuse,
  ScriptedKafka,
  TOPIC,
  TOPIC_ID,
  until
} from "./scriptedKafka.ts"

const prices = TableTopic.make({ name: TOPIC, key: Schema.String, value: Schema.Finite })

const start = (kafka: ScriptedKafka, options: KafkaTableWriter.Options = {}) =>
  Effect.provideService(KafkaTableWriter.make(prices, { ensureTopic: false, ...options }), KafkaClient, kafka.client)

const failureOf = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<E, unknown> => eventually(Effect.flip(effect))

describe("acknowledgements", () => {
  it.effect("a set is answered with topic id, partition, offset, timestamp and numbering", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka)
      yield* TestClock.setTime(1234)
      const fiber = yield* Effect.forkChild(Effect.andThen(writer.set("tea", 3), writer.set("coffee", 4)))
      yield* until(() => fiber.pollUnsafe() !== undefined)
      const ack = yield* Fiber.join(fiber)
      assert.deepStrictEqual(ack, {
        topic: TOPIC,
        topicId: TOPIC_ID,
        partition: 0,
        offset: 1,
        timestamp: 1234,
        producerId: 1000,
        producerEpoch: 0,
        sequence: 1
      })
    })
  )

  it.effect("a delete writes a tombstone", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka)
      yield* eventually(writer.delete("tea"))
      // The last varint but one is the value's length: -1, as zigzag 1.
      assert.strictEqual(kafka.produced[0]!.bytes.at(-2), 1)
    })
  )

  it.effect("the broker's timestamp is told where the topic stamps records itself", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [() => Effect.succeed([{ ...answered(0, { baseOffset: 7 }), logAppendTime: 42 }])]
      const writer = yield* start(kafka)
      const ack = yield* eventually(writer.set("tea", 3))
      assert.strictEqual(ack.timestamp, 42)
      assert.strictEqual(ack.offset, 7)
    })
  )

  it.effect("acks none answers without an offset, and acks leader without numbering", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [() => Effect.succeed([])]
      const none = yield* start(kafka, { acks: "none" })
      const ack = yield* eventually(none.set("tea", 3))
      assert.isUndefined(ack.offset)
      const leader = yield* start(kafka, { acks: "leader" })
      const other = yield* eventually(leader.set("tea", 4))
      assert.strictEqual(other.offset, 0)
      assert.strictEqual(other.sequence, -1)
      assert.deepStrictEqual(
        kafka.produced.map((p) => [p.request.acks, p.producerId, p.sequence]),
        [
          [0, -1, -1],
          [1, -1, -1]
        ]
      )
      assert.notInclude(kafka.calls, "initProducerId")
    })
  )

  it.effect("writes of the same moment share a batch, and later ones the next, numbered on", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka)
      yield* eventually(
        Effect.all(
          ["a", "b", "c"].map((key) => writer.set(key, 1)),
          { concurrency: "unbounded" }
        )
      )
      yield* eventually(writer.set("d", 1))
      assert.deepStrictEqual(
        kafka.produced.map((p) => [p.keys, p.sequence]),
        [
          [["a", "b", "c"], 0],
          [["d"], 3]
        ]
      )
    })
  )

  it.effect("writes that come while a batch is on its way wait for it and then go together", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const gate = yield* Deferred.make<void>()
      kafka.produces = [(produced, k) => Effect.andThen(Deferred.await(gate), accept(produced, k))]
      const writer = yield* start(kafka)
      const first = yield* Effect.forkChild(writer.set("a", 1))
      yield* until(() => kafka.produced.length === 1)
      const rest = yield* Effect.forkChild(
        Effect.all([writer.set("b", 1), writer.set("a", 2)], { concurrency: "unbounded" })
      )
      yield* Effect.yieldNow
      assert.strictEqual(kafka.produced.length, 1)
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(Fiber.join(first))
      yield* eventually(Fiber.join(rest))
      assert.deepStrictEqual(
        kafka.produced.map((p) => p.keys),
        [["a"], ["b", "a"]]
      )
    })
  )

  it.effect("linger gathers writes of different moments, and a full batch does not wait for it", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka, { linger: "1 second", maxBatchBytes: 400 })
      const one = yield* Effect.forkChild(writer.set("a", 1))
      yield* TestClock.adjust(500)
      const two = yield* Effect.forkChild(writer.set("b", 1))
      yield* TestClock.adjust(499)
      assert.strictEqual(kafka.produced.length, 0)
      yield* TestClock.adjust(1)
      yield* Fiber.join(one)
      yield* Fiber.join(two)
      assert.deepStrictEqual(kafka.produced[0]!.keys, ["a", "b"])
      const full = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 12 }), (_, i) => writer.set(`k${i}`, i), { concurrency: "unbounded" })
      )
      yield* until(() => kafka.produced.length > 1)
      yield* eventually(Fiber.join(full))
    })
  )

  it.effect("keys go to the partitions that Java gives them, over the partitions there are now", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka(3)
      const writer = yield* start(kafka, { metadataMaxAge: "1 minute" })
      assert.strictEqual((yield* eventually(writer.set("foobar", 1))).partition, (-790332482 & 0x7fffffff) % 3)
      kafka.description = describeTopic({ partitions: 5 })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* eventually(writer.set("foobar", 1))).partition, (-790332482 & 0x7fffffff) % 5)
    })
  )

  it.effect("a partitioner that answers nonsense ends the write as a defect", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka, { partitioner: () => 1 })
      const exit = yield* Effect.exit(writer.set("a", 1))
      assert.isTrue(Exit.hasDies(exit))
    })
  )
})

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
        const kafka = new ScriptedKafka()
        kafka.produces = [refuse(code)]
        const writer = yield* start(kafka)
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
      const kafka = new ScriptedKafka()
      kafka.produces = [refuse(ErrorCode.NOT_LEADER_OR_FOLLOWER)]
      const writer = yield* start(kafka)
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
      const kafka = new ScriptedKafka(2)
      const key = Array.from({ length: 100 }, (_, i) => `key-${i}`).find(
        (key) => javaPartitioner(Buffer.from(key), 2) !== javaPartitioner(Buffer.from(key), 3)
      )!
      const writer = yield* start(kafka, { metadataMaxAge: "1 second" })
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
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka, { metadataMaxAge: "1 second" })
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
        const kafka = new ScriptedKafka()
        kafka.produces = [appendAndCut, cut, accept]
        const writer = yield* start(kafka)
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
      const kafka = new ScriptedKafka()
      kafka.produces = [appendAndCut, refuse(ErrorCode.DUPLICATE_SEQUENCE_NUMBER)]
      const writer = yield* start(kafka)
      const ack = yield* eventually(writer.set("a", 1))
      assert.isUndefined(ack.offset)
      assert.strictEqual((yield* eventually(writer.set("b", 1))).sequence, 1)
    })
  )

  it.effect("a busy partition does not hold up another one", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka(2)
      const gate = yield* Deferred.make<void>()
      kafka.otherwise = (produced, k) =>
        produced.partition === 0 ? Effect.andThen(Deferred.await(gate), accept(produced, k)) : accept(produced, k)
      const writer = yield* start(kafka, { partitioner: (key) => key[0]! & 1 })
      const stuck = yield* Effect.forkChild(writer.set("b", 1))
      yield* until(() => kafka.produced.length === 1)
      assert.strictEqual((yield* eventually(writer.set("a", 1))).partition, 1)
      assert.isUndefined(stuck.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(Fiber.join(stuck))
    })
  )
})

describe("writes that end in an error", () => {
  it.effect("never sent within deliveryTimeout is WriteTimeout, and its sequence goes to the next write", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.otherwise = () => Effect.fail(lost("connect"))
      const writer = yield* start(kafka, { deliveryTimeout: "10 seconds" })
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
        const kafka = new ScriptedKafka()
        kafka.otherwise = cut
        const writer = yield* start(kafka, { deliveryTimeout: "10 seconds" })
        const error = yield* failureOf(writer.set("a", 1))
        assert.strictEqual(error._tag, "WriteOutcomeUnknown")
        kafka.otherwise = accept
        const ack = yield* eventually(writer.set("b", 1))
        assert.deepStrictEqual([ack.producerId, ack.producerEpoch, ack.sequence], [1000, 1, 0])
      })
  )

  it.effect("a broker that never answers ends a write at deliveryTimeout", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.otherwise = () => Effect.never
      const writer = yield* start(kafka, { deliveryTimeout: "10 seconds" })
      const fiber = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
      yield* TestClock.adjust(9999)
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* eventually(Fiber.join(fiber)))._tag, "WriteOutcomeUnknown")
    })
  )

  it.effect("writes queued behind a stuck batch are told by their own deliveryTimeout", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.otherwise = () => Effect.fail(lost("connect"))
      const writer = yield* start(kafka, { deliveryTimeout: "10 seconds" })
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
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka, { maxBatchBytes: 200 })
      const error = yield* failureOf(writer.set("k".repeat(200), 1))
      assert.strictEqual(error._tag, "WriteRejected")
      assert.include(error.message, "MESSAGE_TOO_LARGE")
      assert.strictEqual(kafka.produced.length, 0)
    })
  )

  it.effect("MESSAGE_TOO_LARGE ends only the record to blame, and the others keep their order", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.otherwise = (produced, k) =>
        produced.keys.includes("guilty") ? refuse(ErrorCode.MESSAGE_TOO_LARGE)(produced, k) : accept(produced, k)
      const writer = yield* start(kafka)
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
      const kafka = new ScriptedKafka()
      kafka.config = new Map([
        ["cleanup.policy", "compact"],
        ["max.message.bytes", "200"]
      ])
      const writer = yield* start(kafka, { ensureTopic: {} })
      yield* eventually(
        Effect.forEach(["a", "b", "c", "d", "e", "f"], (key) => writer.set(key, 1), { concurrency: "unbounded" })
      )
      assert.isAbove(kafka.produced.length, 1)
      for (const produced of kafka.produced) assert.isAtMost(produced.bytes.length, 200)
      assert.deepStrictEqual(kafka.log(), ["a", "b", "c", "d", "e", "f"])
    })
  )

  it.effect("not authorized is NotAuthorized, after an unanswered attempt it is WriteOutcomeUnknown", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [refuse(ErrorCode.TOPIC_AUTHORIZATION_FAILED), cut, refuse(ErrorCode.TOPIC_AUTHORIZATION_FAILED)]
      const writer = yield* start(kafka)
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
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka)
      kafka.otherwise = refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      kafka.describes = Array.from({ length: 100 }, () =>
        Effect.fail(brokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "Metadata"))
      )
      const fiber = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
      yield* TestClock.adjust("4 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      assert.strictEqual((yield* eventually(Fiber.join(fiber)))._tag, "TopicNotFound")
      const sent = kafka.produced.length
      assert.strictEqual((yield* failureOf(writer.set("b", 1)))._tag, "TopicNotFound")
      assert.strictEqual(kafka.produced.length, sent + 1)
    })
  )

  it.effect("refused credentials end the write and say what the broker said", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [
        () => Effect.fail(new AuthenticationFailed({ broker: "one:9092", detail: "the password has expired" }))
      ]
      const writer = yield* start(kafka)
      const error = yield* failureOf(writer.set("a", 1))
      assert.strictEqual(error._tag, "AuthenticationRefused")
      assert.include(error.message, "the password has expired")
      yield* eventually(writer.set("b", 1))
    })
  )

  it.effect("an answer that cannot be read leaves the outcome unknown", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const garbled = new MalformedAnswer({ broker: "one:9092", request: "Produce", detail: "cut short" })
      kafka.produces = [() => Effect.fail(garbled), refuse(ErrorCode.UNKNOWN_SERVER_ERROR)]
      const writer = yield* start(kafka)
      assert.strictEqual((yield* failureOf(writer.set("a", 1)))._tag, "WriteOutcomeUnknown")
      assert.strictEqual((yield* failureOf(writer.set("b", 1)))._tag, "WriteOutcomeUnknown")
      const ack = yield* eventually(writer.set("c", 1))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [2, 0])
    })
  )

  it.effect("a defect of the client's ends the writes of that batch, and later ones are tried", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [() => Effect.die(new Error("boom"))]
      const writer = yield* start(kafka)
      const exit = yield* eventually(Effect.exit(writer.set("a", 1)))
      assert.isTrue(Exit.hasDies(exit))
      const ack = yield* eventually(writer.set("b", 1))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [1, 0])
    })
  )

  it.effect("a key with a lone surrogate is an EncodeError", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka)
      const error = yield* failureOf(writer.set("\ud800", 1))
      assert.strictEqual(error._tag, "EncodeError")
      assert.strictEqual(kafka.produced.length, 0)
    })
  )
})

describe("numbering that the broker does not accept", () => {
  for (const [name, code] of [
    ["OUT_OF_ORDER_SEQUENCE_NUMBER", ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER],
    ["UNKNOWN_PRODUCER_ID", ErrorCode.UNKNOWN_PRODUCER_ID]
  ] as const) {
    it.effect(`${name} on a first attempt renumbers under the next epoch and sends again`, () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.produces = [accept, refuse(code)]
        const writer = yield* start(kafka)
        yield* eventually(writer.set("a", 1))
        const ack = yield* eventually(writer.set("b", 1))
        assert.deepStrictEqual([ack.producerId, ack.producerEpoch, ack.sequence, ack.offset], [1000, 1, 0, 1])
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
        const kafka = new ScriptedKafka()
        kafka.produces = [refuse(code)]
        const writer = yield* start(kafka)
        const ack = yield* eventually(writer.set("a", 1))
        assert.deepStrictEqual([ack.producerId, ack.producerEpoch, ack.sequence], [1001, 0, 0])
      })
    )
  }

  it.effect(
    "after an unanswered attempt the batch is WriteOutcomeUnknown, and what was never sent goes under the new numbering",
    () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.produces = [appendAndRefuse(ErrorCode.REQUEST_TIMED_OUT), refuse(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)]
        const writer = yield* start(kafka)
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
      const kafka = new ScriptedKafka(2)
      kafka.produces = [accept, refuse(ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)]
      const writer = yield* start(kafka, { partitioner: (key) => key[0]! & 1 })
      yield* eventually(writer.set("a", 1))
      yield* eventually(writer.set("b", 1))
      const ack = yield* eventually(writer.set("a", 2))
      assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [0, 1])
    })
  )

  it.effect("a fresh identity that is slow to come is waited for", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka)
      kafka.produces = [refuse(ErrorCode.PRODUCER_FENCED)]
      kafka.inits = [
        Effect.fail(brokerError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)),
        Effect.fail(lost("InitProducerId"))
      ]
      const ack = yield* eventually(writer.set("a", 1))
      assert.strictEqual(ack.producerId, 1001)
    })
  )
})

describe("clusters that grant no idempotence", () => {
  const refusals = [
    ["refuses it", brokerError(ErrorCode.CLUSTER_AUTHORIZATION_FAILED, "InitProducerId"), "NotAuthorized"],
    [
      "does not know it",
      new UnsupportedRequest({ broker: "one:9092", request: "InitProducerId", detail: "no version" }),
      "ClusterRefused"
    ]
  ] as const
  for (const [how, error, tag] of refusals) {
    it.effect(`a cluster that ${how} is written to in the same order without`, () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.inits = [Effect.fail(error)]
        kafka.produces = [cut]
        const writer = yield* start(kafka)
        const acks = yield* eventually(
          Effect.forEach(["a", "b"], (key) => writer.set(key, 1), { concurrency: "unbounded" })
        )
        assert.deepStrictEqual(
          acks.map((ack) => [ack.producerId, ack.sequence, ack.offset]),
          [
            [-1, -1, 0],
            [-1, -1, 1]
          ]
        )
        assert.deepStrictEqual(kafka.log(), ["a", "b"])
      })
    )

    it.effect(`a cluster that ${how} keeps a writer that requires it from starting`, () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.inits = [Effect.fail(error)]
        const failure = yield* failureOf(Effect.scoped(start(kafka, { idempotence: "required" })))
        assert.strictEqual(failure._tag, tag)
      })
    )
  }

  it.effect("a produce that is not authorized to be idempotent goes again without", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [refuse(ErrorCode.CLUSTER_AUTHORIZATION_FAILED)]
      const writer = yield* start(kafka)
      const ack = yield* eventually(writer.set("a", 1))
      assert.strictEqual(ack.producerId, -1)
      assert.deepStrictEqual(kafka.log(), ["a"])
    })
  )

  it.effect("it fails where idempotence is required", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [refuse(ErrorCode.CLUSTER_AUTHORIZATION_FAILED)]
      const writer = yield* start(kafka, { idempotence: "required" })
      const error = yield* failureOf(writer.set("a", 1))
      assert.strictEqual(error._tag, "NotAuthorized")
      assert.include(error.message, "IdempotentWrite")
    })
  )

  it.effect("idempotence off never asks for an identity", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka, { idempotence: "off" })
      const ack = yield* eventually(writer.set("a", 1))
      assert.strictEqual(ack.producerId, -1)
      assert.notInclude(kafka.calls, "initProducerId")
    })
  )
})

describe("setAll", () => {
  it.effect("answers with the acknowledgements in the order of the entries", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka(2)
      const writer = yield* start(kafka, { partitioner: (key) => key[0]! & 1 })
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
      const kafka = new ScriptedKafka()
      kafka.otherwise = (produced, k) =>
        produced.keys.includes("guilty") ? refuse(ErrorCode.INVALID_RECORD)(produced, k) : accept(produced, k)
      const writer = yield* start(kafka, { maxBatchBytes: 300 })
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
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka, { maxBufferedBytes: 500 })
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

  it.effect("interrupted, it withdraws what is in no batch yet", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const gate = yield* Deferred.make<void>()
      kafka.produces = [(produced, k) => Effect.andThen(Deferred.await(gate), accept(produced, k))]
      const writer = yield* start(kafka)
      const first = yield* Effect.forkChild(writer.set("first", 1))
      yield* until(() => kafka.produced.length === 1)
      const all = yield* Effect.forkChild(
        writer.setAll([
          ["a", 1],
          ["b", 2]
        ])
      )
      yield* Effect.yieldNow
      yield* Fiber.interrupt(all)
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(Fiber.join(first))
      yield* eventually(writer.set("last", 1))
      assert.deepStrictEqual(kafka.log(), ["first", "last"])
    })
  )
})

describe("the buffer", () => {
  it.effect("holds writes back while it is full, keeps their order, and a record larger than it passes alone", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const gate = yield* Deferred.make<void>()
      kafka.produces = [(produced, k) => Effect.andThen(Deferred.await(gate), accept(produced, k))]
      const writer = yield* start(kafka, { maxBufferedBytes: 100 })
      const large = "x".repeat(200)
      const fiber = yield* Effect.forkChild(
        Effect.forEach([large, "a", "b", large, "c"], (key) => writer.set(key, 1), { concurrency: "unbounded" })
      )
      yield* until(() => kafka.produced.length === 1)
      assert.deepStrictEqual(kafka.produced[0]!.keys, [large])
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(Fiber.join(fiber))
      assert.deepStrictEqual(kafka.log(), [large, "a", "b", large, "c"])
    })
  )

  it.effect("a write that waits for room and is interrupted is never written", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const gate = yield* Deferred.make<void>()
      kafka.produces = [(produced, k) => Effect.andThen(Deferred.await(gate), accept(produced, k))]
      const writer = yield* start(kafka, { maxBufferedBytes: 60 })
      const first = yield* Effect.forkChild(writer.set("first", 1))
      yield* until(() => kafka.produced.length === 1)
      const fibers = yield* Effect.forEach(["a", "b", "c"], (key) => Effect.forkChild(writer.set(key, 1)))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fibers[1]!)
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(Effect.all([Fiber.join(first), Fiber.join(fibers[0]!), Fiber.join(fibers[2]!)]))
      assert.deepStrictEqual(kafka.log(), ["first", "a", "c"])
    })
  )

  it.effect("many interrupted writes behind a stuck batch leave nothing to write", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const gate = yield* Deferred.make<void>()
      kafka.produces = [(produced, k) => Effect.andThen(Deferred.await(gate), accept(produced, k))]
      const writer = yield* start(kafka)
      const first = yield* Effect.forkChild(writer.set("first", 1))
      yield* until(() => kafka.produced.length === 1)
      const fibers = yield* Effect.forEach(Array.from({ length: 300 }), (_, i) =>
        Effect.forkChild(writer.set(`k${i}`, i))
      )
      yield* Effect.yieldNow
      yield* Effect.forEach(fibers, (fiber, i) => (i % 100 === 50 ? Effect.void : Fiber.interrupt(fiber)))
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(Fiber.join(first))
      yield* eventually(Effect.all([50, 150, 250].map((i) => Fiber.join(fibers[i]!))))
      assert.deepStrictEqual(kafka.log(), ["first", "k50", "k150", "k250"])
    })
  )
})

describe("interruption and closing", () => {
  it.effect("an interrupted write that is part of a batch is still written", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const gate = yield* Deferred.make<void>()
      kafka.produces = [(produced, k) => Effect.andThen(Deferred.await(gate), accept(produced, k))]
      const writer = yield* start(kafka)
      const first = yield* Effect.forkChild(writer.set("a", 1))
      yield* until(() => kafka.produced.length === 1)
      yield* Fiber.interrupt(first)
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(writer.set("b", 1))
      assert.deepStrictEqual(kafka.log(), ["a", "b"])
    })
  )

  it.effect("closing waits for the writes under way, and later ones are WriterClosed", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const gate = yield* Deferred.make<void>()
      kafka.produces = [(produced, k) => Effect.andThen(Deferred.await(gate), accept(produced, k))]
      const scope = yield* Scope.make()
      const writer = yield* Scope.provide(start(kafka), scope)
      const one = yield* Effect.forkChild(writer.set("a", 1))
      yield* until(() => kafka.produced.length === 1)
      const two = yield* Effect.forkChild(writer.set("b", 1))
      yield* Effect.yieldNow
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow
      assert.strictEqual((yield* Effect.flip(writer.set("c", 1)))._tag, "WriterClosed")
      assert.isUndefined(closing.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      yield* eventually(Fiber.join(closing))
      assert.strictEqual((yield* Fiber.join(one)).offset, 0)
      assert.strictEqual((yield* Fiber.join(two)).offset, 1)
    })
  )

  it.effect(
    "a program that is interrupted closes its writer as well: the write is told, and nothing is tried again",
    () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.otherwise = cut
        const told: Array<Exit.Exit<unknown, unknown>> = []
        const program = Effect.gen(function* () {
          const writer = yield* start(kafka, { closeTimeout: "2 seconds" })
          yield* Effect.forkDetach(Effect.onExit(writer.set("a", 1), (exit) => Effect.sync(() => told.push(exit))))
          return yield* Effect.never
        })
        const fiber = yield* Effect.forkDetach(Effect.scoped(program))
        yield* until(() => kafka.produced.length > 0)
        yield* eventually(Fiber.interrupt(fiber))
        yield* until(() => told.length === 1)
        assert.strictEqual(
          Option.getOrUndefined(Exit.findErrorOption(told[0] as Exit.Exit<unknown, WriteError>))?._tag,
          "WriteOutcomeUnknown"
        )
        const tried = kafka.produced.length
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(kafka.produced.length, tried)
      })
  )

  it.effect("closing with a broker that never answers ends within closeTimeout, each write told once", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.otherwise = () => Effect.never
      const scope = yield* Scope.make()
      const writer = yield* Scope.provide(start(kafka, { closeTimeout: "2 seconds", maxBufferedBytes: 120 }), scope)
      const told: Array<string> = []
      const write = (key: string) =>
        Effect.forkChild(
          Effect.matchEffect(writer.set(key, 1), {
            onFailure: (error) => Effect.sync(() => told.push(`${key} ${error._tag}`)),
            onSuccess: () => Effect.sync(() => told.push(`${key} written`))
          })
        )
      yield* write("sent")
      yield* until(() => kafka.produced.length === 1)
      yield* write("queued")
      yield* write("waiting")
      yield* Effect.yieldNow
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(1999)
      assert.deepStrictEqual(told, [])
      yield* TestClock.adjust(1)
      yield* eventually(Fiber.join(closing))
      assert.deepStrictEqual(told, ["sent WriteOutcomeUnknown", "queued WriterClosed", "waiting WriterClosed"])
    })
  )
})

describe("a topic that changes", () => {
  it.effect("made anew, it is written to under its new id", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka)
      yield* eventually(writer.set("a", 1))
      const topicId = "ff".repeat(16)
      kafka.description = describeTopic({ partitions: 1, topicId })
      kafka.produces = [refuse(ErrorCode.UNKNOWN_TOPIC_ID)]
      const ack = yield* eventually(writer.set("b", 1))
      assert.strictEqual(ack.topicId, topicId)
      assert.strictEqual(kafka.produced.at(-1)!.request.topicId, topicId)
    })
  )

  it.effect("made anew unseen by the produce, its id is asked for when an offset comes twice", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const writer = yield* start(kafka)
      yield* eventually(writer.set("a", 1))
      const topicId = "ff".repeat(16)
      kafka.description = describeTopic({ partitions: 1, topicId })
      kafka.produces = [() => Effect.succeed([answered(0, { baseOffset: 0 })])]
      const ack = yield* eventually(writer.set("b", 1))
      assert.strictEqual(ack.topicId, topicId)
      assert.strictEqual(ack.offset, 0)
    })
  )

  it.effect("made anew with fewer partitions, what was not sent goes to those there are", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka(2)
      const writer = yield* start(kafka, { partitioner: (key, count) => key[0]! % count })
      kafka.description = describeTopic({ partitions: 1, topicId: "ff".repeat(16) })
      kafka.produces = [refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)]
      const ack = yield* eventually(writer.set("a", 1))
      assert.strictEqual(ack.partition, 0)
    })
  )
})

describe("layers", () => {
  class PricesWriter extends KafkaTableWriter.Service<PricesWriter>()("test/PricesWriter", prices) {}

  it.effect("a service's layer is one value, which starts one writer", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const write = Effect.flatMap(PricesWriter, (writer) => writer.set("tea", 3))
      assert.strictEqual(PricesWriter.layer, PricesWriter.layer)
      yield* eventually(
        Effect.andThen(write, write).pipe(
          Effect.provide(Layer.mergeAll(PricesWriter.layer, PricesWriter.layer)),
          Effect.provideService(KafkaClient, kafka.client)
        )
      )
      assert.strictEqual(kafka.calls.filter((call) => call === "initProducerId").length, 1)
      assert.deepStrictEqual(kafka.log(), ["tea", "tea"])
      assert.strictEqual(PricesWriter.topic, prices)
    })
  )

  it.effect("layerWith takes options, and layer any tag", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      class Other extends Context.Service<Other, KafkaTableWriter.KafkaTableWriter<string, number>>()("test/Other") {}
      const live = Layer.mergeAll(
        PricesWriter.layerWith({ ensureTopic: false, idempotence: "off" }),
        KafkaTableWriter.layer(Other, prices, { ensureTopic: false, acks: "leader" })
      ).pipe(Layer.provide(Layer.succeed(KafkaClient, kafka.client)))
      const program = Effect.gen(function* () {
        yield* (yield* PricesWriter).set("a", 1)
        yield* (yield* Other).set("b", 1)
      })
      yield* eventually(Effect.provide(program, live))
      assert.deepStrictEqual(
        kafka.produced.map((p) => p.request.acks),
        [-1, 1]
      )
      assert.deepStrictEqual(kafka.calls, ["describeTopic", "describeTopic"])
    })
  )

  it.effect("services that encoding needs are captured when the writer is made", () =>
    Effect.gen(function* () {
      class Salt extends Context.Service<Salt, string>()("test/Salt") {}
      const salted = Codec.make({
        decode: (bytes) => Effect.succeed(bytes.toString()),
        encode: (value: string) => Effect.map(Salt, (salt) => Buffer.from(`${salt}${value}`))
      })
      const topic = TableTopic.make({ name: TOPIC, key: salted, value: salted })
      const kafka = new ScriptedKafka()
      const writer = yield* KafkaTableWriter.make(topic, { ensureTopic: false }).pipe(
        Effect.provideService(KafkaClient, kafka.client),
        Effect.provideService(Salt, "sea-")
      )
      yield* eventually(writer.set("a", "b"))
      yield* eventually(writer.setAll([["c", "d"]]))
      assert.deepStrictEqual(kafka.log(), ["sea-a", "sea-c"])
    })
  )

  it.effect("a name that no broker takes is refused before anything is asked", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const topic = TableTopic.make({ name: "not a name", key: Schema.String, value: Schema.Finite })
      const error = yield* KafkaTableWriter.make(topic, { ensureTopic: false }).pipe(
        Effect.provideService(KafkaClient, kafka.client),
        Effect.flip
      )
      assert.strictEqual(error._tag, "InvalidTopic")
      assert.deepStrictEqual(kafka.calls, [])
    })
  )

  it.effect("a slow first answer is a time-out of the request, which the start retries", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.describes = [Effect.fail(new RequestTimedOut({ broker: "one:9092", request: "Metadata", timeout: 1000 }))]
      kafka.inits = [Effect.fail(brokerError(ErrorCode.COORDINATOR_NOT_AVAILABLE))]
      const writer = yield* eventually(start(kafka))
      yield* eventually(writer.set("a", 1))
    })
  )
})

describe("metrics", () => {
  it.effect("count what was written, tried again, and failed by kind", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      kafka.produces = [cut, accept, refuse(ErrorCode.TOPIC_AUTHORIZATION_FAILED)]
      const name = "counted"
      const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Finite })
      const writer = yield* Effect.provideService(
        KafkaTableWriter.make(topic, { ensureTopic: false }),
        KafkaClient,
        kafka.client
      )
      yield* eventually(
        writer.setAll([
          ["a", 1],
          ["b", 2]
        ])
      )
      yield* failureOf(writer.set("c", 3))
      const counts = (yield* Metric.snapshot).flatMap((metric) =>
        metric.type === "Counter" && metric.attributes?.["topic"] === name
          ? [[metric.id, metric.attributes["kind"], metric.state.count]]
          : []
      )
      assert.sameDeepMembers(counts, [
        ["ktables_written_records", undefined, 2],
        ["ktables_written_bytes", undefined, kafka.produced[0]!.bytes.length],
        ["ktables_write_retries", undefined, 1],
        ["ktables_write_errors", "NotAuthorized", 1]
      ])
    })
  )
})

describe("what cannot be combined", () => {
  it.effect("is refused by the compiler", () =>
    Effect.sync(() => {
      // @ts-expect-error idempotence needs the acknowledgement of all replicas
      const none: KafkaTableWriter.Options = { acks: "none", idempotence: "required" }
      // @ts-expect-error idempotence needs the acknowledgement of all replicas
      const leader: KafkaTableWriter.Options = { acks: "leader", idempotence: "auto" }
      assert.isFalse(Cause.isCause(none) || Cause.isCause(leader))
    })
  )
})
