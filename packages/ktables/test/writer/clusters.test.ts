/** Another cluster, or another topic of the name, under a writer: its producer id is somebody else's there. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { ConnectionFailed } from "effect-ktables/KafkaError"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { heldAnswer, prices, start } from "./fixtures.ts"
import {
  accept,
  answered,
  appendAndCut,
  brokerError,
  describe as describeTopic,
  eventually,
  firstId,
  type ProduceAnswer,
  refuse,
  secondId,
  TOPIC_ID,
  until
} from "./scriptedKafka.ts"

const topicId = "ff".repeat(16)
const elsewhere = [
  ["another cluster", describeTopic({ partitions: 1, clusterId: "other", topicId }), ErrorCode.UNKNOWN_TOPIC_ID],
  [
    "another cluster without topic ids",
    { ...describeTopic({ partitions: 1, clusterId: "other" }), topicId: undefined },
    ErrorCode.INCONSISTENT_CLUSTER_ID
  ],
  [
    "another topic where clusters have no ids",
    describeTopic({ partitions: 1, clusterId: undefined, topicId }),
    ErrorCode.UNKNOWN_TOPIC_ID
  ],
  ["a topic made again in the same cluster", describeTopic({ partitions: 1, topicId }), ErrorCode.INCONSISTENT_TOPIC_ID]
] as const

/** A leader on which somebody else has the writer's first producer id: it takes those batches for written already. */
const foreign: ProduceAnswer = (produced, kafka) =>
  produced.producerId === firstId
    ? Effect.succeed([answered(produced.partition, { baseOffset: 77 })])
    : accept(produced, kafka)

describe("a producer id that is somebody else's", () => {
  for (const [what, description, code] of elsewhere) {
    it.effect(`${what}: the next write goes under a new producer id, from sequence 0`, () =>
      Effect.gen(function* () {
        const { kafka, writer } = yield* start()
        yield* eventually(writer.set("a", 1))
        kafka.description = description
        kafka.produces = [refuse(code)]
        kafka.otherwise = foreign
        const ack = yield* eventually(writer.set("b", 2))
        assert.deepInclude(ack, { topicId: description.topicId, producerId: `${secondId}`, sequence: 0, offset: 1 })
        assert.deepStrictEqual(kafka.log(), ["a", "b"])
      })
    )

    it.effect(`${what}: what was sent and not answered is WriteOutcomeUnknown, and is not sent again`, () =>
      Effect.gen(function* () {
        const { kafka, writer } = yield* start({ produces: [appendAndCut, refuse(code)], otherwise: foreign })
        const first = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
        yield* until(() => kafka.produced.length === 1)
        const second = yield* Effect.forkChild(writer.set("b", 2))
        kafka.description = description
        const error = yield* eventually(Fiber.join(first))
        assert.strictEqual(error._tag, "WriteOutcomeUnknown")
        assert.include(error.message, "another cluster")
        const ack = yield* eventually(Fiber.join(second))
        assert.deepInclude(ack, { topicId: description.topicId, producerId: `${secondId}`, sequence: 0 })
        assert.deepStrictEqual(kafka.log(), ["a", "b"])
      })
    )
  }

  for (const [what, description] of elsewhere) {
    it.effect(
      `${what}, said once by a broker that lags, changes nothing: what was sent and not answered is acknowledged`,
      () =>
        Effect.gen(function* () {
          const { kafka, writer } = yield* start({ produces: [appendAndCut], otherwise: accept })
          kafka.describes = [Effect.succeed(description)]
          const ack = yield* eventually(writer.set("a", 1))
          assert.deepInclude(ack, { topicId: TOPIC_ID, producerId: `${firstId}`, sequence: 0, offset: 0 })
          assert.deepInclude(yield* eventually(writer.set("b", 2)), {
            producerId: `${firstId}`,
            sequence: 1,
            offset: 1
          })
          assert.deepStrictEqual(kafka.log(), ["a", "b"])
        })
    )

    it.effect(`${what}: as long as it is in doubt nothing is sent, and nothing is acknowledged`, () =>
      Effect.gen(function* () {
        const { held, answer } = yield* heldAnswer
        const byLetter = (key: Uint8Array) => (key[0] === 97 ? 0 : 1)
        const { kafka, writer } = yield* start({
          partitions: 2,
          produces: [held, refuse(ErrorCode.NOT_LEADER_OR_FOLLOWER)],
          writer: { partitioner: byLetter }
        })
        const settled = yield* Deferred.make<void>()
        const known = kafka.description
        kafka.describes = [Effect.succeed(description), Effect.as(Deferred.await(settled), known)]
        const sent = yield* Effect.forkChild(writer.set("a", 1))
        yield* until(() => kafka.produced.length === 1)
        const refused = yield* Effect.forkChild(writer.set("b", 1))
        yield* until(() => kafka.calls.length === 3)
        yield* answer
        yield* TestClock.adjust("10 seconds")
        assert.isUndefined(sent.pollUnsafe(), "its answer has come, and says nothing yet")
        assert.isUndefined(refused.pollUnsafe())
        assert.strictEqual(kafka.produced.length, 2)
        yield* Deferred.succeed(settled, undefined)
        assert.deepInclude(yield* eventually(Fiber.join(sent)), { producerId: `${firstId}`, offset: 0 })
        assert.deepInclude(yield* eventually(Fiber.join(refused)), { producerId: `${firstId}`, offset: 0 })
      })
    )

    it.effect(`${what}: an answer that comes while it is in doubt is WriteOutcomeUnknown once it is certain`, () =>
      Effect.gen(function* () {
        const { held, answer } = yield* heldAnswer
        const byLetter = (key: Uint8Array) => (key[0] === 97 ? 0 : 1)
        const { kafka, writer } = yield* start({
          partitions: 2,
          produces: [held, refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)],
          writer: { partitioner: byLetter }
        })
        const settled = yield* Deferred.make<void>()
        const grown = { ...description, partitions: kafka.description.partitions }
        kafka.describes = [Effect.succeed(grown), Effect.as(Deferred.await(settled), grown)]
        const sent = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
        yield* until(() => kafka.produced.length === 1)
        const refused = yield* Effect.forkChild(writer.set("b", 1))
        yield* until(() => kafka.calls.length === 3)
        kafka.description = grown
        yield* answer
        yield* TestClock.adjust("1 second")
        yield* Deferred.succeed(settled, undefined)
        assert.strictEqual((yield* eventually(Fiber.join(sent)))._tag, "WriteOutcomeUnknown")
        assert.deepInclude(yield* eventually(Fiber.join(refused)), {
          topicId: description.topicId,
          producerId: `${secondId}`
        })
      })
    )
  }

  it.effect("an embedded cluster at the address of another takes no write for one of its own", () =>
    Effect.gen(function* () {
      const kafka = yield* MemoryKafka.MemoryKafka
      yield* kafka.createTopic(prices.name)
      const writer = yield* KafkaTableWriter.make(prices, { ensureTopic: false })
      const first = yield* eventually(writer.set("mine", 1))
      yield* eventually(writer.set("mine", 2))
      // It is written, and its answer is lost with the cluster.
      const lostAnswer = new ConnectionFailed({ broker: "memory-1:9092", request: "Produce", detail: "ECONNRESET" })
      yield* kafka.fail({ request: "produce" }, lostAnswer, { carriedOut: true })
      const unresolved = yield* Effect.forkChild(Effect.flip(writer.set("mine", 3)), { startImmediately: true })
      yield* until(() => Effect.runSync(kafka.log(prices.name)).length === 3)
      yield* kafka.replaceCluster
      yield* kafka.createTopic(prices.name)
      const { producer } = yield* kafka.beginTransaction()
      assert.strictEqual(
        first.producerId,
        `${producer.producerId}`,
        "the new cluster gave the writer's producer id to somebody else"
      )
      for (let baseSequence = 0; baseSequence < 4; baseSequence++) {
        const record = { offsetDelta: 0, timestamp: 1, key: Buffer.from("foreign"), value: Buffer.from("0") }
        yield* kafka.appendBatch(prices.name, encodeBatch([record], { ...producer, baseSequence }))
      }
      const error = yield* eventually(Fiber.join(unresolved))
      const ack = yield* eventually(writer.set("mine", 4))
      const log = yield* kafka.log(prices.name)
      assert.deepStrictEqual(
        log.map(({ key, value }) => `${key} ${value}`),
        ["foreign 0", "foreign 0", "foreign 0", "foreign 0", "mine 4"]
      )
      assert.strictEqual(ack.offset, 4)
      assert.notStrictEqual(ack.producerId, first.producerId)
      assert.strictEqual(error._tag, "WriteOutcomeUnknown")
      assert.include(error.message, "another cluster")
    }).pipe(Effect.provide(Layer.fresh(MemoryKafka.layer)))
  )

  it.effect("a producer id that comes from another cluster than the topic is not used", () =>
    Effect.gen(function* () {
      const other = { producerId: 7n, producerEpoch: 0, clusterId: "other" }
      const { writer } = yield* start({ inits: [Effect.succeed(other), Effect.succeed(other)] })
      const ack = yield* eventually(writer.set("a", 1))
      assert.strictEqual(ack.producerId, `${firstId}`)
    })
  )

  it.effect("metadata that does not say which cluster it is of changes nothing", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start()
      yield* eventually(writer.set("a", 1))
      const { description } = kafka
      for (const clusterId of [undefined, "cluster"]) {
        kafka.description = { ...description, clusterId }
        kafka.produces = [refuse(ErrorCode.NOT_LEADER_OR_FOLLOWER)]
        assert.strictEqual((yield* eventually(writer.set("a", 2))).producerId, `${firstId}`)
      }
    })
  )

  it.effect("a broker that is asked about its cluster and does not answer was sent nothing", () =>
    Effect.gen(function* () {
      const lost = Effect.fail(brokerError(ErrorCode.INCONSISTENT_CLUSTER_ID, "Metadata"))
      const { writer } = yield* start({ produces: [() => lost], writer: { deliveryTimeout: "2 seconds" } })
      assert.strictEqual((yield* eventually(writer.set("a", 1))).offset, 0)
      const { writer: never } = yield* start({ otherwise: () => lost, writer: { deliveryTimeout: "2 seconds" } })
      const error = yield* eventually(Effect.flip(never.set("a", 1)))
      assert.strictEqual(error._tag, "WriteTimeout")
      assert.include(error.message, "INCONSISTENT_CLUSTER_ID")
    })
  )
})
