/** Another cluster at a writer's address, which gave the writer's producer id to somebody else. */
import { TestKafka } from "@effect-ktables/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Fiber, Layer, Schema } from "effect"
import { KafkaClient, type Service } from "effect-ktables/KafkaClient"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import * as TableTopic from "effect-ktables/TableTopic"
import { makeProtocolClient } from "../../src/internal/cluster/protocolClient.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { describeWithin } from "../../src/internal/topic/describe.ts"
import { socketTransport } from "../protocol/support/socketTransport.ts"
import { until } from "./faults/until.ts"
import { readLog } from "../writer/readLog.ts"

const PRODUCE = 0

const clientOf = (brokers: ReadonlyArray<string>, versionCaps: Readonly<Record<string, number>> = {}) =>
  makeProtocolClient(socketTransport(brokers), { requestTimeout: 10_000, connectTimeout: 5000, versionCaps })

const compacted = { "cleanup.policy": "compact" }

/** Somebody who has the producer id, and writes one record after another under it. */
const impostor = Effect.fnUntraced(function* (client: Service, topic: string, producerId: bigint, records: number) {
  const { partitions, topicId } = yield* describeWithin(client, topic, "30 seconds", { justCreated: true })
  // The coordinator of a cluster that has just begun takes a moment.
  const init = Effect.eventually(client.initProducerId)
  // In one segment with the writer's records, where no cleaner comes.
  const now = yield* Clock.currentTimeMillis
  for (let own = -1n; own < producerId;) own = (yield* init).producerId
  for (let sequence = 0; sequence < records; sequence++) {
    const [answer] = yield* client.produce(partitions[0]!.leader, {
      topic,
      topicId,
      acks: -1,
      timeout: 10_000,
      partitions: [
        {
          partition: 0,
          records: encodeBatch(
            [{ offsetDelta: 0, timestamp: now, key: Buffer.from("foreign"), value: Buffer.from(String(-sequence)) }],
            { producerId, producerEpoch: 0, baseSequence: sequence }
          )
        }
      ]
    })
    assert.strictEqual(answer!.errorCode, 0)
  }
})

class Cluster extends Context.Service<Cluster, TestKafka.Cluster>()("test/Cluster") {}

const kafka = Layer.effect(Cluster, TestKafka.startCluster({ proxies: true }))

describe("another cluster behind a writer's address", () => {
  layer(kafka, { excludeTestServices: true, timeout: Duration.minutes(3) })((it) => {
    for (const [how, versionCaps] of [
      ["by the newest requests", {}],
      ["by requests that name topics by name", { Produce: 12 }],
      ["by requests of Kafka 2.4, without topic ids", { Produce: 8, Metadata: 9, InitProducerId: 2 }]
    ] as const) {
      it.effect(`a write is acknowledged only where it is in the log, what is unresolved is unknown, ${how}`, () =>
        Effect.gen(function* () {
          const cluster = yield* Cluster
          const [node] = cluster.nodes
          const proxy = node!.proxy!
          yield* Effect.addFinalizer(() => Effect.andThen(proxy.thaw, proxy.accept))
          const name = yield* TestKafka.uniqueName("clusters")
          const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int })
          yield* cluster.admin.createTopic({ topic: name, config: compacted })
          const client = yield* clientOf(cluster.brokers, versionCaps)
          const writer = yield* KafkaTableWriter.make(topic, { ensureTopic: false }).pipe(
            Effect.provideService(KafkaClient, client)
          )
          const first = yield* writer.set("mine", 1)
          yield* writer.set("mine", 2)
          yield* proxy.freeze("toClient")
          const produces = Effect.map(proxy.traffic, ({ requests }) => requests.get(PRODUCE) ?? 0)
          const before = yield* produces
          const unresolved = yield* Effect.forkChild(Effect.flip(writer.set("mine", 3)))
          yield* until(
            "the write was sent",
            Effect.map(produces, (count) => count > before)
          )
          yield* proxy.refuse
          yield* proxy.cut
          yield* proxy.thaw
          yield* node!.reformat
          yield* node!.start
          yield* cluster.admin.createTopic({ topic: name, config: compacted })
          const inner = yield* clientOf(cluster.innerBrokers)
          yield* impostor(inner, name, BigInt(first.producerId!), 4)
          yield* proxy.accept
          const error = yield* Fiber.join(unresolved)
          const ack = yield* writer.set("mine", 4)
          const log = yield* readLog(name).pipe(Effect.provideService(KafkaClient, inner))
          assert.deepStrictEqual(
            log.map(({ key, value }) => `${key} ${value}`),
            ["foreign 0", "foreign -1", "foreign -2", "foreign -3", "mine 4"]
          )
          const { topicId } = yield* inner.describeTopic(name)
          assert.deepInclude(ack, { offset: 4, topicId: versionCaps.Metadata === 9 ? undefined : topicId })
          assert.notStrictEqual(ack.producerId, first.producerId)
          assert.strictEqual(error._tag, "WriteOutcomeUnknown")
          assert.include(error.message, "another cluster")
        })
      )
    }
  })
})
