/** The contract's promises on topics and their settings. */
import { assert, type Vitest } from "@effect/vitest"
import { Effect } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import { ContractAdmin } from "../../ContractAdmin.ts"
import { uniqueName } from "../../TestKafka.ts"
import {
  awaitTopic,
  Code,
  createAgain,
  createTopicRequest,
  eventually,
  freshTopic,
  listOffset,
  produce,
  refusalOf
} from "./support.ts"

export const topics = (it: Vitest.MethodsNonLive<KafkaClient | ContractAdmin>): void => {
  it.effect("a created topic is described with its partitions, their leaders, its id and the cluster", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic({ partitions: 3 })
      assert.deepStrictEqual(
        topic.partitions.map(({ errorCode, leaderEpoch, partition }) => ({ errorCode, leaderEpoch, partition })),
        [0, 1, 2].map((partition) => ({ errorCode: 0, leaderEpoch: 0, partition }))
      )
      const ids = topic.brokers.map(({ id }) => id)
      for (const { leader } of topic.partitions) assert.include(ids, leader)
      assert.match(topic.topicId ?? "", /^[0-9a-f]{32}$/)
      assert.isString(topic.clusterId)
      for (const { host, port } of topic.brokers) {
        assert.isNotEmpty(host)
        assert.isAbove(port, 0)
      }
      const other = yield* freshTopic()
      assert.notStrictEqual(other.topicId, topic.topicId)
      assert.strictEqual(other.clusterId, topic.clusterId)
    })
  )

  it.effect("topics are listed by name, and those of Kafka itself are not", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const created = yield* Effect.forEach([1, 2], () => freshTopic())
      const names = yield* client.listTopics
      for (const { topic } of created) assert.strictEqual(names.filter((name) => name === topic).length, 1)
      assert.notInclude(names, yield* uniqueName("missing"))
      assert.deepStrictEqual(
        names.filter((name) => name.startsWith("__")),
        []
      )
    })
  )

  it.effect("a topic that is not there is refused, and not created by asking for it", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const name = yield* uniqueName("missing")
      for (let i = 0; i < 2; i++) {
        assert.strictEqual(yield* refusalOf(client.describeTopic(name)), Code.UNKNOWN_TOPIC_OR_PARTITION)
      }
    })
  )

  it.effect("a second creation says that the topic exists, whatever else it asks for", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const { topic } = yield* freshTopic()
      for (const options of [{}, { partitions: 0 }, { config: { "no.such.setting": "1" } }]) {
        const refusal = yield* refusalOf(client.createTopic(createTopicRequest(topic, options)))
        assert.strictEqual(refusal, Code.TOPIC_ALREADY_EXISTS)
      }
    })
  )

  it.effect("numbers, names and settings that cannot be are refused, each with its own code", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const name = yield* uniqueName("invalid")
      const refused = (options: Parameters<typeof createTopicRequest>[1], topic = name) =>
        refusalOf(client.createTopic(createTopicRequest(topic, options)))
      assert.strictEqual(yield* refused({ partitions: 0 }), Code.INVALID_PARTITIONS)
      assert.strictEqual(yield* refused({ partitions: -2 }), Code.INVALID_PARTITIONS)
      assert.strictEqual(yield* refused({ replicationFactor: 0 }), Code.INVALID_REPLICATION_FACTOR)
      assert.strictEqual(yield* refused({ replicationFactor: 99 }), Code.INVALID_REPLICATION_FACTOR)
      assert.strictEqual(yield* refused({ config: { "no.such.setting": "1" } }), Code.INVALID_CONFIG)
      assert.strictEqual(yield* refused({ config: { "cleanup.policy": "shred" } }), Code.INVALID_CONFIG)
      assert.strictEqual(yield* refused({}, "a topic"), Code.INVALID_TOPIC_EXCEPTION)
      assert.strictEqual(yield* refused({}, ".."), Code.INVALID_TOPIC_EXCEPTION)
      assert.strictEqual(yield* refused({}, "x".repeat(250)), Code.INVALID_TOPIC_EXCEPTION)
      assert.strictEqual(yield* refusalOf(client.describeTopic(name)), Code.UNKNOWN_TOPIC_OR_PARTITION)
    })
  )

  it.effect("a created topic has the settings it was given, and the broker's defaults", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const { topic } = yield* freshTopic({ config: { "cleanup.policy": "compact", "max.message.bytes": "5000" } })
      const config = yield* client.describeConfig(topic)
      assert.strictEqual(config.get("cleanup.policy"), "compact")
      assert.strictEqual(config.get("max.message.bytes"), "5000")
      assert.strictEqual(config.get("message.timestamp.type"), "CreateTime")
      assert.strictEqual(config.get("delete.retention.ms"), "86400000")
    })
  )

  it.effect("altering a setting leaves the others as they are", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const { topic } = yield* freshTopic({ config: { "cleanup.policy": "delete", "max.message.bytes": "5000" } })
      yield* client.alterConfig(topic, { "cleanup.policy": "compact" })
      // The broker that answers may learn of it a moment later than the controller.
      const config = yield* eventually(
        client.describeConfig(topic),
        (config) => config.get("cleanup.policy") === "compact"
      )
      assert.strictEqual(config.get("max.message.bytes"), "5000")
    })
  )

  it.effect("settings of a missing topic, unknown settings and bad values are refused", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const { topic } = yield* freshTopic()
      const missing = yield* uniqueName("missing")
      assert.strictEqual(yield* refusalOf(client.describeConfig(missing)), Code.UNKNOWN_TOPIC_OR_PARTITION)
      assert.strictEqual(
        yield* refusalOf(client.alterConfig(missing, { "cleanup.policy": "compact" })),
        Code.UNKNOWN_TOPIC_OR_PARTITION
      )
      // Kafka before 3.2 answers INVALID_REQUEST to both.
      const invalid: ReadonlyArray<number | undefined> = [Code.INVALID_CONFIG, Code.INVALID_REQUEST]
      assert.include(invalid, yield* refusalOf(client.alterConfig(topic, { "no.such.setting": "1" })))
      assert.include(invalid, yield* refusalOf(client.alterConfig(topic, { "cleanup.policy": "shred" })))
    })
  )

  it.effect("an added partition shows up empty and takes records", () =>
    Effect.gen(function* () {
      const admin = yield* ContractAdmin
      const before = yield* freshTopic()
      yield* produce(before, [{ key: "a", value: "1" }])
      yield* admin.createPartitions(before.topic, 2)
      const after = yield* awaitTopic(before.topic, 2)
      assert.strictEqual(after.topicId, before.topicId)
      assert.strictEqual((yield* listOffset(after, "latest", "read_committed", { partition: 1 })).offset, 0)
      assert.strictEqual((yield* produce(after, [{ key: "b", value: "2" }], { partition: 1 })).baseOffset, 0)
      assert.strictEqual((yield* listOffset(after, "latest")).offset, 1)
    })
  )

  it.effect("a deleted topic is gone, and a recreated one has another id and an empty log", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const admin = yield* ContractAdmin
      const before = yield* freshTopic()
      yield* produce(before, [{ key: "a", value: "1" }])
      yield* admin.deleteTopic(before.topic)
      assert.strictEqual(yield* refusalOf(client.describeTopic(before.topic)), Code.UNKNOWN_TOPIC_OR_PARTITION)
      yield* createAgain(before.topic)
      const after = yield* awaitTopic(before.topic, 1)
      assert.notStrictEqual(after.topicId, before.topicId)
      assert.strictEqual((yield* listOffset(after, "latest")).offset, 0)
    })
  )
}
