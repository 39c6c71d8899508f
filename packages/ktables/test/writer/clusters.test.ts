/** Another cluster, or another topic of the name, under a writer: its producer id is somebody else's there. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { start } from "./fixtures.ts"
import {
  accept,
  answered,
  appendAndCut,
  brokerError,
  describe as describeTopic,
  eventually,
  type ProduceAnswer,
  refuse,
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
  ["a topic made anew in the same cluster", describeTopic({ partitions: 1, topicId }), ErrorCode.INCONSISTENT_TOPIC_ID]
] as const

/** A leader on which somebody else has the writer's first producer id: it takes those batches for written already. */
const foreign: ProduceAnswer = (produced, kafka) =>
  produced.producerId === 1000
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
        assert.deepInclude(ack, { topicId: description.topicId, producerId: 1001, sequence: 0, offset: 1 })
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
        assert.deepInclude(ack, { topicId: description.topicId, producerId: 1001, sequence: 0 })
        assert.deepStrictEqual(kafka.log(), ["a", "b"])
      })
    )
  }

  it.effect("a producer id that comes from another cluster than the topic is not used", () =>
    Effect.gen(function* () {
      const other = { producerId: 7, producerEpoch: 0, clusterId: "other" }
      const { writer } = yield* start({ inits: [Effect.succeed(other), Effect.succeed(other)] })
      const ack = yield* eventually(writer.set("a", 1))
      assert.strictEqual(ack.producerId, 1000)
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
        assert.strictEqual((yield* eventually(writer.set("a", 2))).producerId, 1000)
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
