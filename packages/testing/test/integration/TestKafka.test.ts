import { assert, describe, it } from "@effect/vitest"
import { TestKafka } from "@effect-ktables/testing"
import { Effect } from "effect"

describe("TestKafka", () => {
  it.layer(TestKafka.layer)("the Kafka of the test run", (it) => {
    it.effect("creates, grows and deletes a topic", () =>
      Effect.gen(function* () {
        const { admin } = yield* TestKafka.TestKafka
        const topic = yield* TestKafka.uniqueName("admin")
        yield* admin.createTopic({ topic, partitions: 2, config: { "cleanup.policy": "compact" } })
        assert.strictEqual((yield* admin.describe(topic)).partitions.length, 2)
        yield* admin.createPartitions(topic, 5)
        assert.strictEqual((yield* admin.describe(topic)).partitions.length, 5)
        yield* admin.alterConfig(topic, { "cleanup.policy": "delete" })
        assert.strictEqual(yield* admin.deleteRecords(topic, 0, -1), 0)
        const again = yield* Effect.flip(admin.createTopic({ topic }))
        assert.strictEqual(again.code, 36)
        yield* admin.deleteTopic(topic)
        assert.deepStrictEqual((yield* admin.describe(topic)).partitions, [])
      })
    )
  })

  it.effect(
    "a cluster of three goes on without a broker that is killed, and takes it back on its old port",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({ nodes: 3, heap: "192m" })
        const topic = yield* TestKafka.uniqueName("cluster")
        yield* cluster.admin.createTopic({ topic, assignments: [[1, 2, 3]] })
        const [first] = cluster.nodes
        yield* first!.kill
        assert.isFalse(yield* first!.isRunning)
        yield* cluster.admin.awaitPartition(topic, 0, (state) => state.leader === 2 || state.leader === 3)
        yield* first!.start
        const { brokers } = yield* cluster.admin.describe(topic)
        assert.deepStrictEqual(brokers.map((broker) => broker.id).sort(), [1, 2, 3])
        yield* cluster.admin.awaitPartition(topic, 0, (state) => state.inSync.includes(1))
        yield* cluster.admin.electLeader(topic, 0, "preferred")
        yield* cluster.admin.awaitPartition(topic, 0, (state) => state.leader === 1)
        yield* cluster.admin.assignReplicas(topic, 0, [1])
        assert.deepStrictEqual((yield* cluster.admin.describe(topic)).partitions[0]!.replicas, [1])
        assert.strictEqual((yield* cluster.admin.describe(topic)).partitions[0]!.leader, 1)
      }),
    120_000
  )
})
