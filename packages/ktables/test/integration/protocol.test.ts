import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { FetchRequest, Service } from "effect-ktables/KafkaClient"
import type { KafkaError } from "effect-ktables/KafkaError"
import { makeProtocolClient } from "../../src/internal/cluster/protocolClient.ts"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { apis, batch, conversations, creations } from "../protocol/support/exchanges.ts"
import { describeServed, runExchanges, settings, soon } from "../protocol/support/runExchanges.ts"
import { socketTransport } from "../protocol/support/socketTransport.ts"

const unique = (name: string): string => `${name}-${process.pid}-${Math.round(performance.now())}`

const lowest = Object.fromEntries(apis.map(({ minVersion, name }) => [name, minVersion]))

const connect = (brokers: ReadonlyArray<string>, versionCaps: Readonly<Record<string, number>> = {}) =>
  makeProtocolClient(socketTransport(brokers), { ...settings, versionCaps })

/** Creates a topic of one partition and waits until its leader serves it. */
const createAndDescribe = Effect.fnUntraced(function* (client: Service, topic: string) {
  yield* client.createTopic({ topic, partitions: 1, replicationFactor: -1, config: {}, timeout: 30_000 })
  const description = yield* describeServed(client, topic)
  return { ...description, leader: description.partitions[0]?.leader ?? -1 }
})

const fetchRequest = (
  topic: string,
  topicId: string | undefined,
  position: Partial<FetchRequest["partitions"][number]> = {}
): FetchRequest => ({
  topic,
  topicId,
  isolation: "read_committed",
  maxWait: 1000,
  minBytes: 1,
  maxBytes: 1 << 20,
  rack: undefined,
  partitions: [
    { partition: 0, fetchOffset: 0, currentLeaderEpoch: -1, lastFetchedEpoch: -1, maxBytes: 1 << 20, ...position }
  ]
})

const codeOf = (error: KafkaError): number | string => (error._tag === "BrokerError" ? error.code : error._tag)

layer(TestKafka.layer, { timeout: "5 minutes", excludeTestServices: true })("the protocol, on a broker", (it) => {
  it.effect("is spoken in every version of every request that the broker speaks", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const kafka = yield* TestKafka.TestKafka
        const { brokers } = yield* kafka.admin.describe()
        // The exchanges are about a cluster of one.
        const alone = brokers.length === 1 ? kafka : yield* TestKafka.startCluster()
        const held: Array<string> = []
        const place = yield* runExchanges(socketTransport(alone.brokers), unique("exchange"), ({ name }) =>
          held.push(name)
        )
        const spoken = [...creations, ...conversations].filter(({ api, version }) => version <= place.highest(api.key))
        assert.deepStrictEqual(
          held,
          spoken.map(({ name }) => name)
        )
        assert.isAbove(held.length, 30)
      })
    )
  )

  it.effect.each([
    ["the highest", {}],
    ["the lowest", lowest]
  ] as const)("carries a topic through its life in %s versions", ([, caps]) =>
    Effect.scoped(
      Effect.gen(function* () {
        const kafka = yield* TestKafka.TestKafka
        const client = yield* connect(kafka.brokers, caps)
        const topic = unique("life")
        assert.strictEqual(
          codeOf(yield* Effect.flip(client.describeTopic(topic))),
          ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        )

        const { leader, topicId } = yield* createAndDescribe(client, topic)
        const again = { topic, partitions: 1, replicationFactor: -1, config: {}, timeout: 30_000 }
        assert.strictEqual(codeOf(yield* Effect.flip(client.createTopic(again))), ErrorCode.TOPIC_ALREADY_EXISTS)

        yield* client.alterConfig(topic, { "cleanup.policy": "compact" })
        const config = yield* client.describeConfig(topic).pipe(
          Effect.filterOrFail((settings) => settings.get("cleanup.policy") === "compact"),
          Effect.retry(soon)
        )
        assert.isTrue(config.has("min.insync.replicas"))

        const identity = yield* Effect.retry(client.initProducerId, soon)
        assert.isTrue(identity.producerId >= 0n)

        const produceRequest = { topic, topicId, timeout: 30_000, partitions: [{ partition: 0, records: batch }] }
        for (const offset of [0, 1]) {
          const [produced] = yield* client.produce(leader, { ...produceRequest, acks: -1 })
          assert.deepStrictEqual([produced?.errorCode, produced?.baseOffset], [0, offset])
        }
        const [unacknowledged] = yield* client.produce(leader, { ...produceRequest, acks: 0 })
        assert.strictEqual(unacknowledged?.baseOffset, -1)

        const offsets = (at: "earliest" | "latest") =>
          client.listOffsets(leader, {
            topic,
            at,
            isolation: "read_committed",
            partitions: [{ partition: 0, leaderEpoch: -1 }]
          })
        const [end] = yield* offsets("latest").pipe(
          Effect.filterOrFail(([listed]) => listed?.offset === 3),
          Effect.retry(soon)
        )
        assert.strictEqual(end?.errorCode, 0)
        assert.strictEqual((yield* offsets("earliest"))[0]?.offset, 0)

        const [epochEnd] = yield* client.endOffsetForEpoch(leader, {
          topic,
          partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 0 }]
        })
        assert.deepStrictEqual(epochEnd, { partition: 0, errorCode: 0, leaderEpoch: 0, endOffset: 3 })

        const fetcher = yield* client.openFetcher(leader)
        const fetched = (yield* fetcher.fetch(fetchRequest(topic, topicId, { lastFetchedEpoch: 0 }))).partitions[0]
        assert.strictEqual(fetched?.records.length, 3 * batch.length)
        assert.strictEqual(fetched?.highWatermark, 3)

        const beyond = fetchRequest(topic, topicId, { fetchOffset: 9, lastFetchedEpoch: 0, currentLeaderEpoch: 0 })
        const truncated = (yield* fetcher.fetch(beyond)).partitions[0]
        assert.strictEqual(truncated?.errorCode, 0)
        assert.deepStrictEqual(truncated?.diverging, { epoch: 0, endOffset: 3 })
      })
    )
  )

  it.effect("tells a topic from another of the same name by its id", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const kafka = yield* TestKafka.TestKafka
        const client = yield* connect(kafka.brokers)
        const topic = unique("again")
        const before = yield* createAndDescribe(client, topic)
        yield* kafka.admin.deleteTopic(topic)
        const after = yield* Effect.retry(createAndDescribe(client, topic), soon)
        // Kafka before 2.8 has no ids, and names are all there is.
        if (before.topicId === undefined) return assert.isUndefined(after.topicId)
        assert.notStrictEqual(after.topicId, before.topicId)
        const fetcher = yield* client.openFetcher(after.leader)
        const answer = yield* fetcher.fetch(fetchRequest(topic, before.topicId))
        const old = answer.partitions[0]?.errorCode ?? -1
        // Before Kafka 3.1 Fetch knows names only, and the ids that differ are those of the metadata.
        if (answer.version < 13) assert.strictEqual(old, ErrorCode.NONE)
        else assert.include<number>([ErrorCode.UNKNOWN_TOPIC_ID, ErrorCode.INCONSISTENT_TOPIC_ID], old)
        const current = (yield* fetcher.fetch({ ...fetchRequest(topic, after.topicId), maxWait: 1 })).partitions[0]
        assert.strictEqual(current?.errorCode, 0)
      })
    )
  )

  it.effect("is not held up by a long poll", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const kafka = yield* TestKafka.TestKafka
        const client = yield* connect(kafka.brokers)
        const topic = unique("poll")
        const { leader, topicId } = yield* createAndDescribe(client, topic)
        const fetcher = yield* client.openFetcher(leader)
        const poll = yield* Effect.forkChild(fetcher.fetch({ ...fetchRequest(topic, topicId), maxWait: 60_000 }), {
          startImmediately: true
        })
        yield* client.describeTopic(topic)
        const records = [{ partition: 0, records: batch }]
        yield* client.produce(leader, { topic, topicId, acks: -1, timeout: 30_000, partitions: records })
        const answer = yield* Effect.timeout(Fiber.join(poll), "30 seconds")
        assert.strictEqual(answer.partitions[0]?.errorCode, 0)
        assert.strictEqual(answer.partitions[0]?.records.length, batch.length)
      })
    )
  )
})
