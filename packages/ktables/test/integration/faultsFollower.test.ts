/** Reading from a follower (KIP-392) that can no longer be reached, while its leader can. */
import { assert, describe, layer } from "@effect/vitest"
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { Context, Effect, Layer, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import { clients, transports } from "./faults/scenario.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

class Kafka extends Context.Service<Kafka, TestKafka.Cluster>()("test/faultsFollower/Kafka") {}

const kafka = Layer.effect(
  Kafka,
  TestKafka.startCluster({
    nodes: 2,
    heap: "192m",
    proxies: true,
    properties: { "replica.selector.class": "org.apache.kafka.common.replica.RackAwareReplicaSelector" },
    nodeProperties: (id) => ({ "broker.rack": "abc"[id - 1]! })
  })
)

const FETCH = 1

describe.skipIf(missing !== undefined)(`a follower${because}`, () => {
  layer(kafka, { excludeTestServices: true, timeout: 300_000 })((it) => {
    for (const transport of transports) {
      it.effect(`that is read from and cannot be reached any more is left for the leader, through ${transport}`, () =>
        Effect.gen(function* () {
          const cluster = yield* Kafka
          const topic = TableTopic.make({
            name: yield* TestKafka.uniqueName("follower"),
            key: Schema.String,
            value: Schema.Int
          })
          yield* cluster.admin.createTopic({
            topic: topic.name,
            assignments: [[1, 2]],
            config: { "cleanup.policy": "compact" }
          })
          const follower = cluster.nodes[1]!.proxy!
          const fetches = Effect.map(follower.traffic, ({ requests }) => requests.get(FETCH) ?? 0)
          const before = yield* fetches
          yield* Effect.gen(function* () {
            const writer = yield* KafkaTableWriter.make(topic)
            yield* writer.set("key", 1)
            const options = { rack: "b", fetch: { maxWait: "500 millis" } } as const
            const live = yield* KafkaTable.make(topic, options)
            yield* Effect.timeout(live.awaitOffset(yield* writer.set("key", 2)), "20 seconds")
            assert.isAbove((yield* fetches) - before, 0, "the follower is read from")

            yield* follower.refuse
            yield* follower.cut
            yield* Effect.timeout(live.awaitOffset(yield* writer.set("key", 3)), "30 seconds")
            const loaded = yield* KafkaTable.make(topic, options)
            assert.deepStrictEqual([live.view.get("key"), loaded.view.get("key")], [3, 3])
            for (const table of [live, loaded]) {
              assert.strictEqual((yield* table.status)._tag, "CaughtUp")
              assert.isTrue((yield* table.health).partitions.every(({ connected }) => connected))
            }
          }).pipe(Effect.provide(clients[transport]({ brokers: cluster.brokers })), Effect.ensuring(follower.accept))
        }).pipe(Effect.scoped)
      )
    }
  })
})
