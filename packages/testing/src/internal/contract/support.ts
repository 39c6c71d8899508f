/** What the tests of the contract have in common. All waiting is in real time and bounded. */
import { assert } from "@effect/vitest"
import { Data, Effect, Schedule } from "effect"
import { BrokerError, type KafkaError } from "effect-ktables/KafkaError"
import * as KafkaClient from "effect-ktables/KafkaClient"
import {
  type ContractBatchOptions,
  type ContractRecord,
  encodeBatch,
  type ReadRecord,
  readBatches
} from "../recordBatch.ts"
import { uniqueName } from "../../TestKafka.ts"

export const Code = {
  OFFSET_OUT_OF_RANGE: 1,
  CORRUPT_MESSAGE: 2,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  MESSAGE_TOO_LARGE: 10,
  INVALID_TOPIC_EXCEPTION: 17,
  TOPIC_ALREADY_EXISTS: 36,
  INVALID_PARTITIONS: 37,
  INVALID_REPLICATION_FACTOR: 38,
  INVALID_CONFIG: 40,
  INVALID_REQUEST: 42,
  OUT_OF_ORDER_SEQUENCE_NUMBER: 45,
  INVALID_PRODUCER_EPOCH: 47,
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 53,
  UNKNOWN_LEADER_EPOCH: 75,
  INVALID_RECORD: 87,
  UNKNOWN_TOPIC_ID: 100,
  INCONSISTENT_TOPIC_ID: 103
} as const

export type TestTopic = KafkaClient.TopicDescription

const patience = { schedule: Schedule.spaced("20 millis"), times: 1_000 }

class StillOtherwise extends Data.TaggedError("StillOtherwise")<{ readonly value: unknown }> {
  override get message(): string {
    return `still ${JSON.stringify(this.value)}`
  }
}

/** Repeats an effect until what it gives is as wanted, for 20 seconds at most. */
export const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>, isWanted: (value: A) => boolean) =>
  Effect.retry(
    Effect.filterOrFail(effect, isWanted, (value) => new StillOtherwise({ value })),
    patience
  )

/** Creates a topic of a name that was just deleted, which brokers with ZooKeeper refuse while they still clean up. */
export const createAgain = (topic: string) =>
  Effect.flatMap(KafkaClient.KafkaClient, (client) =>
    Effect.retry(client.createTopic(createTopicRequest(topic)), {
      while: (error) => error._tag === "BrokerError" && error.code === Code.TOPIC_ALREADY_EXISTS,
      schedule: Schedule.spaced("50 millis"),
      times: 200
    })
  )

/** Waits until each of the partitions has a leader that serves it. */
export const awaitTopic = Effect.fnUntraced(function* (name: string, partitions: number) {
  const client = yield* KafkaClient.KafkaClient
  const described = yield* eventually(
    client.describeTopic(name),
    (topic) => topic.partitions.length === partitions && topic.partitions.every(({ leader }) => leader >= 0)
  )
  for (const { leader, partition } of described.partitions) {
    yield* eventually(
      client.listOffsets(leader, {
        topic: name,
        at: "earliest",
        isolation: "read_uncommitted",
        partitions: [{ partition, leaderEpoch: -1 }]
      }),
      ([listed]) => listed?.errorCode === 0
    )
  }
  return described
})

export const createTopicRequest = (
  topic: string,
  options: {
    readonly partitions?: number
    readonly replicationFactor?: number
    readonly config?: Readonly<Record<string, string>>
  } = {}
): KafkaClient.CreateTopicRequest => ({
  topic,
  partitions: options.partitions ?? 1,
  replicationFactor: options.replicationFactor ?? -1,
  config: options.config ?? {},
  timeout: 30_000
})

/** A topic that no other test uses. */
export const freshTopic = Effect.fnUntraced(function* (
  options: { readonly partitions?: number; readonly config?: Readonly<Record<string, string>> } = {}
) {
  const client = yield* KafkaClient.KafkaClient
  const name = yield* uniqueName("contract")
  yield* client.createTopic(createTopicRequest(name, options))
  return yield* awaitTopic(name, options.partitions ?? 1)
})

export const leaderOf = (topic: TestTopic, partition = 0): number => topic.partitions[partition]?.leader ?? -1

/** Produces bytes to one partition. */
export const produceBytes = Effect.fnUntraced(function* (
  topic: TestTopic,
  records: Uint8Array,
  options: { readonly partition?: number; readonly acks?: -1 | 0 | 1 } = {}
) {
  const client = yield* KafkaClient.KafkaClient
  const partition = options.partition ?? 0
  const answer = yield* client.produce(leaderOf(topic, partition), {
    topic: topic.topic,
    topicId: topic.topicId,
    acks: options.acks ?? -1,
    timeout: 10_000,
    partitions: [{ partition, records }]
  })
  assert.strictEqual(answer.length, 1)
  assert.strictEqual(answer[0]!.partition, partition)
  return answer[0]!
})

/** Produces one batch to one partition. */
export const produce = (
  topic: TestTopic,
  records: ReadonlyArray<ContractRecord>,
  options: ContractBatchOptions & { readonly partition?: number; readonly acks?: -1 | 0 | 1 } = {}
) => produceBytes(topic, encodeBatch(records, options), options)

/** Produces batches one by one, each of which must be taken, and gives their base offsets. */
export const fill = (topic: TestTopic, batches: ReadonlyArray<ReadonlyArray<ContractRecord>>) =>
  Effect.forEach(batches, (records) =>
    Effect.map(produce(topic, records), ({ baseOffset, errorCode }) => {
      assert.strictEqual(errorCode, 0)
      return baseOffset
    })
  )

export interface FetchOptions {
  readonly partition?: number
  readonly isolation?: KafkaClient.Isolation
  readonly maxWait?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly partitionMaxBytes?: number
  readonly currentLeaderEpoch?: number
  readonly lastFetchedEpoch?: number
}

export const fetchRequest = (
  topic: Pick<TestTopic, "topic" | "topicId">,
  fetchOffset: number,
  options: FetchOptions = {}
): KafkaClient.FetchRequest => ({
  topic: topic.topic,
  topicId: topic.topicId,
  isolation: options.isolation ?? "read_committed",
  maxWait: options.maxWait ?? 0,
  minBytes: options.minBytes ?? 1,
  maxBytes: options.maxBytes ?? 10_000_000,
  rack: undefined,
  partitions: [
    {
      partition: options.partition ?? 0,
      fetchOffset,
      currentLeaderEpoch: options.currentLeaderEpoch ?? -1,
      lastFetchedEpoch: options.lastFetchedEpoch ?? -1,
      maxBytes: options.partitionMaxBytes ?? 10_000_000
    }
  ]
})

/** Whether the broker was asked for the topic by its id. Before Kafka 3.1 Fetch knows names only. */
export const tellsTopicsById = (answer: KafkaClient.FetchAnswer): boolean => answer.version >= 13

export const onePartition = (answer: KafkaClient.FetchAnswer): KafkaClient.FetchedPartition => {
  assert.strictEqual(answer.errorCode, 0)
  assert.strictEqual(answer.partitions.length, 1)
  return answer.partitions[0]!
}

/** One fetch of one partition over a fetcher of its own. */
export const fetchOne = Effect.fnUntraced(function* (topic: TestTopic, fetchOffset: number, options?: FetchOptions) {
  const client = yield* KafkaClient.KafkaClient
  const fetcher = yield* client.openFetcher(leaderOf(topic, options?.partition ?? 0))
  return onePartition(yield* fetcher.fetch(fetchRequest(topic, fetchOffset, options)))
}, Effect.scoped)

export const dataRecords = (records: Buffer): ReadonlyArray<ReadRecord> =>
  readBatches(records).flatMap((batch) => (batch.isControl ? [] : batch.records))

export const keysOf = (records: Buffer): ReadonlyArray<string | null> => dataRecords(records).map(({ key }) => key)

export const listOffset = Effect.fnUntraced(function* (
  topic: TestTopic,
  at: KafkaClient.ListOffsetsRequest["at"],
  isolation: KafkaClient.Isolation = "read_committed",
  options: { readonly partition?: number; readonly leaderEpoch?: number } = {}
) {
  const client = yield* KafkaClient.KafkaClient
  const partition = options.partition ?? 0
  const answer = yield* client.listOffsets(leaderOf(topic, partition), {
    topic: topic.topic,
    at,
    isolation,
    partitions: [{ partition, leaderEpoch: options.leaderEpoch ?? -1 }]
  })
  assert.strictEqual(answer.length, 1)
  return answer[0]!
})

/** Waits until the last stable offset is where it is expected: markers are written behind a transaction's end. */
export const awaitStable = (topic: TestTopic, offset: number) =>
  eventually(
    listOffset(topic, "latest", "read_committed"),
    (listed) => listed.errorCode === 0 && listed.offset >= offset
  )

/** The code of the broker's refusal. */
export const refusalOf = <A, R>(effect: Effect.Effect<A, KafkaError, R>) =>
  Effect.map(Effect.flip(effect), (error) => {
    assert.instanceOf(error, BrokerError)
    return error.code
  })

export const text = (length: number): string => "x".repeat(length)

/** A producer's identity, once the broker is ready to give one: a fresh cluster's coordinator has to load first. */
export const newProducer = Effect.flatMap(KafkaClient.KafkaClient, (client) =>
  Effect.retry(client.initProducerId, { ...patience, while: (error) => error.isRetriable })
)
