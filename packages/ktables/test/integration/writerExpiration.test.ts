/** Producer ids that a broker forgets (`producer.id.expiration.ms`), under a writer that is idle, or retries for longer. */
import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Fiber, Layer, Schema } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import * as KafkaTopic from "effect-ktables/KafkaTopic"
import * as TableTopic from "effect-ktables/TableTopic"
import { makeProtocolClient } from "../../src/internal/cluster/protocolClient.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { describeWithin } from "../../src/internal/topic/describe.ts"
import { socketTransport } from "../protocol/support/socketTransport.ts"
import { readLog } from "../writer/readLog.ts"
import { until } from "./faults/until.ts"

const PRODUCE = 0
/** Milliseconds. */
const EXPIRATION = 3000

const settings = { requestTimeout: 10_000, connectTimeout: 5000, versionCaps: {} }

class Cluster extends Context.Service<Cluster, TestKafka.Cluster>()("test/Cluster") {}

const kafka = Layer.effect(
  Cluster,
  TestKafka.startCluster({
    proxies: true,
    properties: {
      "producer.id.expiration.ms": String(EXPIRATION),
      "producer.id.expiration.check.interval.ms": "200"
    }
  })
)

/** Waits, as long as it takes, until what has been written by now is forgotten. */
const forgotten = Effect.gen(function* () {
  const since = yield* Clock.currentTimeMillis
  yield* until(
    "producer ids are forgotten",
    Effect.map(Clock.currentTimeMillis, (now) => now - since > EXPIRATION + 2000)
  )
})

layer(kafka, { excludeTestServices: true, timeout: Duration.minutes(3) })((it) => {
  it.effect("a broker that has forgotten a producer id takes the same batch again, and any other, without a word", () =>
    Effect.gen(function* () {
      const { brokers } = yield* Cluster
      const client = yield* makeProtocolClient(socketTransport(brokers), settings)
      const name = yield* TestKafka.uniqueName("forgotten")
      yield* KafkaTopic.ensure(TableTopic.make({ name, key: Schema.String, value: Schema.Int })).pipe(
        Effect.provideService(KafkaClient, client)
      )
      const { partitions, topicId } = yield* describeWithin(client, name, "30 seconds", { justCreated: true })
      const { producerId } = yield* Effect.eventually(client.initProducerId)
      const produce = Effect.fnUntraced(function* (baseSequence: number, timestamp: number) {
        const [answer] = yield* client.produce(partitions[0]!.leader, {
          topic: name,
          topicId,
          acks: -1,
          timeout: 10_000,
          partitions: [
            {
              partition: 0,
              records: encodeBatch([{ offsetDelta: 0, timestamp, key: Buffer.from("key"), value: Buffer.from("1") }], {
                producerId,
                producerEpoch: 0,
                baseSequence
              })
            }
          ]
        })
        return [answer!.errorCode, answer!.baseOffset]
      })
      const now = yield* Clock.currentTimeMillis
      assert.deepStrictEqual(yield* produce(0, now), [0, 0])
      assert.deepStrictEqual(yield* produce(0, now), [0, 0])
      yield* forgotten
      assert.deepStrictEqual(yield* produce(0, now), [0, 1])
      yield* forgotten
      assert.deepStrictEqual(yield* produce(7, yield* Clock.currentTimeMillis), [0, 2])
      // The age is that of the records: what was written long ago by its own time is forgotten at once.
      assert.deepStrictEqual(yield* produce(8, 1), [0, 3])
      yield* until(
        "a batch of an early time is taken again",
        Effect.map(Effect.orDie(produce(8, 1)), ([, offset]) => offset! > 3)
      )
    })
  )

  it.effect(
    "what may have been written longer ago than ids are kept is not sent again, and is WriteOutcomeUnknown",
    () =>
      Effect.gen(function* () {
        const { brokers, innerBrokers, nodes } = yield* Cluster
        const proxy = nodes[0]!.proxy!
        const client = yield* makeProtocolClient(socketTransport(brokers), settings)
        const name = yield* TestKafka.uniqueName("retried")
        const writer = yield* KafkaTableWriter.make(TableTopic.make({ name, key: Schema.String, value: Schema.Int }), {
          deliveryTimeout: "1 minute",
          producerIdExpiration: EXPIRATION
        }).pipe(Effect.provideService(KafkaClient, client))
        yield* writer.set("key", 1)
        yield* proxy.freeze("toClient")
        const produces = Effect.map(proxy.traffic, ({ requests }) => requests.get(PRODUCE) ?? 0)
        const before = yield* produces
        const unresolved = yield* Effect.forkChild(Effect.flip(writer.set("key", 2)))
        yield* until(
          "the write was sent",
          Effect.map(produces, (count) => count > before)
        )
        yield* proxy.refuse
        yield* proxy.cut
        yield* proxy.thaw
        yield* forgotten
        yield* proxy.accept
        const error = yield* Fiber.join(unresolved)
        assert.strictEqual(error._tag, "WriteOutcomeUnknown")
        assert.include(error.message, "producer")
        assert.strictEqual((yield* writer.set("key", 3)).offset, 2)
        const inner = yield* makeProtocolClient(socketTransport(innerBrokers), settings)
        const log = yield* readLog(name).pipe(Effect.provideService(KafkaClient, inner))
        assert.deepStrictEqual(
          log.map(({ value }) => value),
          [1, 2, 3]
        )
      })
  )

  it.effect("a writer that was idle for longer goes on, once and in order", () =>
    Effect.gen(function* () {
      const { brokers } = yield* Cluster
      const client = yield* makeProtocolClient(socketTransport(brokers), settings)
      const name = yield* TestKafka.uniqueName("idle")
      const writer = yield* KafkaTableWriter.make(
        TableTopic.make({ name, key: Schema.String, value: Schema.Int })
      ).pipe(Effect.provideService(KafkaClient, client))
      for (const value of [1, 2]) {
        yield* writer.set("key", value)
        yield* writer.set("key", value * 10)
        yield* forgotten
      }
      const log = yield* readLog(name).pipe(Effect.provideService(KafkaClient, client))
      assert.deepStrictEqual(
        log.map(({ value }) => value),
        [1, 10, 2, 20]
      )
    })
  )
})
