/**
 * Every request in every version spoken, and what must come back: run against a broker, and against the bytes with which
 * brokers of several releases once answered.
 */
import { assert } from "@effect/vitest"
import type { FetchRequest, ListOffsetsRequest, ProduceRequest } from "effect-ktables/KafkaClient"
import type { Api, Throttled } from "../../../src/internal/protocol/api.ts"
import { ErrorCode } from "../../../src/internal/protocol/errorCodes.ts"
import { apiVersions } from "../../../src/internal/protocol/messages/apiVersions.ts"
import { createTopics } from "../../../src/internal/protocol/messages/createTopics.ts"
import { describeConfigs } from "../../../src/internal/protocol/messages/describeConfigs.ts"
import { fetch } from "../../../src/internal/protocol/messages/fetch.ts"
import { incrementalAlterConfigs } from "../../../src/internal/protocol/messages/incrementalAlterConfigs.ts"
import { initProducerId } from "../../../src/internal/protocol/messages/initProducerId.ts"
import { listOffsets } from "../../../src/internal/protocol/messages/listOffsets.ts"
import { metadata } from "../../../src/internal/protocol/messages/metadata.ts"
import { offsetForLeaderEpoch } from "../../../src/internal/protocol/messages/offsetForLeaderEpoch.ts"
import { produce } from "../../../src/internal/protocol/messages/produce.ts"

/** Where the exchanges happen. */
export interface Place {
  /** Topics are named after it: `prefix-version`. */
  readonly prefix: string
  /** The id of `topicOf(place)`, once it is created, where the broker knows ids. */
  readonly topicId: string | undefined
  /** The highest version of a request that the broker speaks. */
  readonly highest: (apiKey: number) => number
}

/** The topic that all but its creation is about: compacted, three partitions, one broker. */
export const topicOf = (place: Place): string => `${place.prefix}-${createTopics.minVersion}`

export interface Exchange {
  readonly name: string
  readonly api: Api<unknown, Throttled>
  readonly version: number
  /** Set where a broker needs a moment until it gives this answer. */
  readonly eventually: boolean
  readonly request: (place: Place) => unknown
  readonly check: (answer: Throttled, place: Place) => void
}

interface Definition<Request, Answer extends Throttled> {
  readonly scenario: string
  /** The first version in which the scenario exists. */
  readonly from?: number
  readonly eventually?: true
  readonly request: (place: Place, version: number) => Request
  readonly check: (answer: Answer, place: Place, version: number) => void
}

const exchanges = <Request, Answer extends Throttled>(
  api: Api<Request, Answer>,
  definitions: ReadonlyArray<Definition<Request, Answer>>
): ReadonlyArray<Exchange> => {
  const all: Array<Exchange> = []
  for (let version = api.minVersion; version <= api.maxVersion; version++) {
    for (const { check, eventually = false, from = 0, request, scenario } of definitions) {
      if (version < from) continue
      all.push({
        name: `${api.name} ${version}: ${scenario}`,
        api: api as unknown as Api<unknown, Throttled>,
        version,
        eventually,
        request: (place) => request(place, version),
        check: (answer, place) => {
          assert.strictEqual(answer.throttle, 0)
          check(answer as Answer, place, version)
        }
      })
    }
  }
  return all
}

export const apis = [
  apiVersions,
  createTopics,
  describeConfigs,
  fetch,
  incrementalAlterConfigs,
  initProducerId,
  listOffsets,
  metadata,
  offsetForLeaderEpoch,
  produce
] as const

const absentTopic = "there-is-no-such-topic"
const absentId = "0123456789abcdef0123456789abcdef"

// One batch, as Kafka's own client encodes it: the record key=value.
export const batch: Buffer = Buffer.from(
  "000000000000000000000040ffffffff02db5e9cdd0000000000000000018bcfe568000000018bcfe56800ffffffffffffffffffffffffffff000000" +
    "011c000000066b65790a76616c756500",
  "hex"
)
// The same record and one without a key, which a compacted topic refuses.
const keylessBatch = Buffer.from(
  "00000000000000000000004cffffffff025c21333a0000000000010000018bcfe568000000018bcfe56800ffffffffffffffffffffffffffff000000" +
    "021c000000066b65790a76616c75650016000002010a76616c756500",
  "hex"
)

const producedPerVersion = 2

const createRequest = (topic: string, replicationFactor: number) => ({
  topic,
  partitions: 3,
  replicationFactor,
  config: { "cleanup.policy": "compact" },
  timeout: 30_000
})

export const creations: ReadonlyArray<Exchange> = exchanges(createTopics, [
  {
    scenario: "a new topic",
    request: ({ prefix }, version) => createRequest(`${prefix}-${version}`, -1),
    check: (answer) => assert.deepStrictEqual(answer, { throttle: 0, errorCode: 0, errorMessage: undefined })
  },
  {
    scenario: "a topic that exists",
    request: ({ prefix }, version) => createRequest(`${prefix}-${version}`, -1),
    check: (answer) => {
      assert.strictEqual(answer.errorCode, ErrorCode.TOPIC_ALREADY_EXISTS)
      assert.include(answer.errorMessage, "already exists")
    }
  },
  {
    scenario: "more replicas than brokers",
    request: ({ prefix }, version) => createRequest(`${prefix}-${version}-replicas`, 99),
    check: (answer) => {
      assert.strictEqual(answer.errorCode, ErrorCode.INVALID_REPLICATION_FACTOR)
      assert.isString(answer.errorMessage)
    }
  }
])

const produceRequest = (place: Place, records: Uint8Array, acks: -1 | 1, partition = 0): ProduceRequest => ({
  topic: topicOf(place),
  topicId: place.topicId,
  acks,
  timeout: 30_000,
  partitions: [{ partition, records }]
})

const listRequest = (
  place: Place,
  at: "earliest" | "latest",
  isolation: "read_committed" | "read_uncommitted"
): ListOffsetsRequest => ({
  topic: topicOf(place),
  at,
  isolation,
  partitions: [
    { partition: 0, leaderEpoch: 0 },
    { partition: 1, leaderEpoch: -1 }
  ]
})

const fetchRequest = (
  place: Place,
  partition: number,
  fetchOffset: number,
  changes: Partial<FetchRequest["partitions"][number]> = {}
): FetchRequest => ({
  topic: topicOf(place),
  topicId: place.topicId,
  isolation: "read_committed",
  maxWait: 1,
  minBytes: 1,
  maxBytes: 1 << 20,
  rack: undefined,
  partitions: [{ partition, fetchOffset, currentLeaderEpoch: 0, lastFetchedEpoch: -1, maxBytes: 1 << 20, ...changes }]
})

const fetchedNothing = (partition: number) => ({
  partition,
  errorCode: 0,
  highWatermark: 0,
  lastStableOffset: 0,
  logStartOffset: 0,
  diverging: undefined,
  currentLeader: undefined,
  preferredReadReplica: -1,
  abortedTransactions: [],
  records: Buffer.alloc(0)
})

/** In an order in which each finds what it needs. */
export const conversations: ReadonlyArray<Exchange> = [
  ...exchanges(apiVersions, [
    {
      scenario: "the broker's versions",
      request: () => undefined,
      check: (answer, place) => {
        assert.strictEqual(answer.errorCode, 0)
        for (const api of [fetch, produce, metadata, listOffsets]) {
          assert.strictEqual(answer.versions.get(api.key)?.max, place.highest(api.key))
          assert.isAtLeast(place.highest(api.key), api.minVersion)
        }
      }
    }
  ]),
  ...exchanges(metadata, [
    {
      scenario: "a topic",
      request: (place) => ({ topics: [topicOf(place)] }),
      check: ({ brokers, clusterId, controllerId, topics: [topic] }, place, version) => {
        assert.strictEqual(brokers.length, 1)
        const [broker] = brokers
        assert.isDefined(broker)
        assert.match(broker.host, /^[0-9a-z.]+$/)
        assert.isAbove(broker.port, 1023)
        assert.isUndefined(broker.rack)
        assert.match(clusterId ?? "", /^[-_0-9A-Za-z]{22}$/)
        assert.strictEqual(controllerId, broker.id)
        assert.strictEqual(topic?.topicId, version >= 10 ? place.topicId : undefined)
        assert.deepStrictEqual(
          topic?.partitions.toSorted((a, b) => a.partition - b.partition),
          [0, 1, 2].map((partition) => ({
            partition,
            errorCode: 0,
            leader: broker.id,
            leaderEpoch: 0,
            replicas: [broker.id],
            inSync: [broker.id]
          }))
        )
      }
    },
    {
      scenario: "a topic that is not there",
      request: () => ({ topics: [absentTopic] }),
      check: ({ topics: [topic] }) => {
        assert.strictEqual(topic?.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        assert.deepStrictEqual(topic?.partitions, [])
      }
    },
    {
      scenario: "the brokers alone",
      request: () => ({ topics: [] }),
      check: ({ brokers, topics }) => {
        assert.strictEqual(brokers.length, 1)
        assert.deepStrictEqual(topics, [])
      }
    }
  ]),
  ...exchanges(produce, [
    {
      scenario: "a batch, acknowledged by all",
      request: (place) => produceRequest(place, batch, -1),
      check: ({ partitions }, _place, version) =>
        assert.deepStrictEqual(partitions, [
          {
            partition: 0,
            errorCode: 0,
            errorMessage: undefined,
            baseOffset: (version - produce.minVersion) * producedPerVersion,
            logAppendTime: -1,
            logStartOffset: 0
          }
        ])
    },
    {
      scenario: "a batch, acknowledged by the leader",
      request: (place) => produceRequest(place, batch, 1),
      check: ({ partitions }, _place, version) =>
        assert.strictEqual(partitions[0]?.baseOffset, (version - produce.minVersion) * producedPerVersion + 1)
    },
    {
      scenario: "a record that the topic refuses",
      request: (place) => produceRequest(place, keylessBatch, -1),
      check: ({ partitions }) => {
        assert.strictEqual(partitions[0]?.errorCode, ErrorCode.INVALID_RECORD)
        assert.strictEqual(partitions[0]?.baseOffset, -1)
        assert.match(partitions[0]?.errorMessage ?? "", /key/)
        assert.match(partitions[0]?.errorMessage ?? "", /record 1/)
      }
    },
    {
      scenario: "a partition that is not there",
      request: (place) => produceRequest(place, batch, -1, 77),
      check: ({ partitions }) => {
        assert.strictEqual(partitions[0]?.partition, 77)
        assert.strictEqual(partitions[0]?.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      }
    },
    {
      scenario: "an id that is not there",
      from: 13,
      request: (place) => ({ ...produceRequest(place, batch, -1), topicId: absentId }),
      check: ({ partitions }) => assert.strictEqual(partitions[0]?.errorCode, ErrorCode.UNKNOWN_TOPIC_ID)
    }
  ]),
  ...exchanges(listOffsets, [
    {
      scenario: "the end of what is committed",
      request: (place) => listRequest(place, "latest", "read_committed"),
      check: ({ partitions }, place) =>
        assert.deepStrictEqual(
          partitions.toSorted((a, b) => a.partition - b.partition),
          [
            { partition: 0, errorCode: 0, offset: producedBy(place), leaderEpoch: 0 },
            { partition: 1, errorCode: 0, offset: 0, leaderEpoch: partitions[1]?.leaderEpoch ?? -2 }
          ]
        )
    },
    {
      scenario: "the end of everything",
      request: (place) => listRequest(place, "latest", "read_uncommitted"),
      check: ({ partitions }, place) =>
        assert.strictEqual(partitions.find(({ partition }) => partition === 0)?.offset, producedBy(place))
    },
    {
      scenario: "the start",
      request: (place) => listRequest(place, "earliest", "read_committed"),
      check: ({ partitions }) =>
        assert.deepStrictEqual(
          partitions.map(({ offset }) => offset),
          [0, 0]
        )
    },
    {
      scenario: "a leader epoch of the future",
      request: (place) => ({
        ...listRequest(place, "latest", "read_committed"),
        partitions: [{ partition: 2, leaderEpoch: 9 }]
      }),
      check: ({ partitions }) =>
        assert.deepStrictEqual(partitions, [
          { partition: 2, errorCode: ErrorCode.UNKNOWN_LEADER_EPOCH, offset: -1, leaderEpoch: -1 }
        ])
    }
  ]),
  ...exchanges(offsetForLeaderEpoch, [
    {
      scenario: "the end of an epoch",
      request: (place) => ({
        topic: topicOf(place),
        partitions: [{ partition: 0, currentLeaderEpoch: 0, leaderEpoch: 0 }]
      }),
      check: ({ partitions }, place) =>
        assert.deepStrictEqual(partitions, [
          { partition: 0, errorCode: 0, leaderEpoch: 0, endOffset: producedBy(place) }
        ])
    },
    {
      scenario: "an epoch of the future",
      request: (place) => ({
        topic: topicOf(place),
        partitions: [{ partition: 0, currentLeaderEpoch: -1, leaderEpoch: 9 }]
      }),
      check: ({ partitions }) =>
        assert.deepStrictEqual(partitions, [{ partition: 0, errorCode: 0, leaderEpoch: -1, endOffset: -1 }])
    }
  ]),
  ...exchanges(fetch, [
    {
      scenario: "records",
      request: (place) => fetchRequest(place, 0, 1),
      check: ({ errorCode, partitions }, place) => {
        assert.strictEqual(errorCode, 0)
        assert.strictEqual(partitions.length, 1)
        const { records, ...rest } = partitions[0] ?? fetchedNothing(-1)
        const end = producedBy(place)
        const { records: _, ...none } = fetchedNothing(0)
        assert.deepStrictEqual(rest, { ...none, highWatermark: end, lastStableOffset: end })
        // One batch per record, the offset in front and the leader epoch at byte 12 set by the broker.
        const expected = Array.from({ length: end - 1 }, (_, i) => {
          const copy = Buffer.from(batch)
          copy.writeBigInt64BE(BigInt(i + 1), 0)
          copy.writeInt32BE(0, 12)
          return copy
        })
        assert.deepStrictEqual(Buffer.from(records), Buffer.concat(expected))
      }
    },
    {
      scenario: "two partitions, one empty, one not there",
      request: (place) => ({
        ...fetchRequest(place, 2, 0),
        isolation: "read_uncommitted" as const,
        rack: "here",
        partitions: [2, 77].map((partition) => fetchRequest(place, partition, 0).partitions[0]!)
      }),
      check: ({ partitions }) => {
        const [empty, absent] = partitions.toSorted((a, b) => a.partition - b.partition)
        assert.deepStrictEqual({ ...empty, lastStableOffset: 0 }, fetchedNothing(2))
        assert.strictEqual(absent?.partition, 77)
        assert.strictEqual(absent?.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
      }
    },
    {
      scenario: "an offset out of range",
      request: (place) => fetchRequest(place, 0, 1000),
      check: ({ partitions }) => {
        assert.strictEqual(partitions[0]?.errorCode, ErrorCode.OFFSET_OUT_OF_RANGE)
        assert.strictEqual(partitions[0]?.highWatermark, -1)
        assert.strictEqual(partitions[0]?.records.length, 0)
      }
    },
    {
      scenario: "a leader epoch of the future",
      request: (place) => fetchRequest(place, 0, 0, { currentLeaderEpoch: 9 }),
      check: ({ partitions }) => assert.strictEqual(partitions[0]?.errorCode, ErrorCode.UNKNOWN_LEADER_EPOCH)
    },
    {
      scenario: "a position beyond the end of its epoch",
      from: 12,
      request: (place) => fetchRequest(place, 0, 1000, { lastFetchedEpoch: 0 }),
      check: ({ partitions }, place) => {
        assert.strictEqual(partitions[0]?.errorCode, 0)
        assert.deepStrictEqual(partitions[0]?.diverging, { epoch: 0, endOffset: producedBy(place) })
      }
    },
    {
      scenario: "an id that is not there",
      from: 13,
      request: (place) => ({ ...fetchRequest(place, 0, 0), topicId: absentId }),
      check: ({ errorCode, partitions }) => {
        assert.strictEqual(errorCode, 0)
        assert.strictEqual(partitions[0]?.errorCode, ErrorCode.UNKNOWN_TOPIC_ID)
      }
    }
  ]),
  ...exchanges(initProducerId, [
    {
      scenario: "a producer without transactions",
      eventually: true,
      request: () => undefined,
      check: (answer) => {
        assert.strictEqual(answer.errorCode, 0)
        assert.isTrue(answer.producerId >= 0n)
        assert.strictEqual(answer.producerEpoch, 0)
      }
    }
  ]),
  ...exchanges(incrementalAlterConfigs, [
    {
      scenario: "a setting",
      request: (place) => ({ topic: topicOf(place), set: { "max.message.bytes": "2000000" } }),
      check: (answer) => assert.strictEqual(answer.errorCode, 0)
    },
    {
      scenario: "a value that is refused",
      request: (place) => ({ topic: topicOf(place), set: { "max.message.bytes": "many" } }),
      check: (answer) => {
        // Kafka 2 called the whole request invalid.
        assert.include<number>([ErrorCode.INVALID_CONFIG, ErrorCode.INVALID_REQUEST], answer.errorCode)
        assert.include(answer.errorMessage, "many")
      }
    },
    {
      scenario: "a topic that is not there",
      request: () => ({ topic: absentTopic, set: { "max.message.bytes": "2000000" } }),
      // Kafka 2 had no name for it.
      check: (answer) =>
        assert.include<number>([ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_SERVER_ERROR], answer.errorCode)
    }
  ]),
  ...exchanges(describeConfigs, [
    {
      scenario: "a topic",
      eventually: true,
      request: (place) => ({ topics: [topicOf(place)] }),
      check: ({ topics: [topic] }) => {
        assert.isDefined(topic)
        assert.strictEqual(topic.errorCode, 0)
        assert.strictEqual(topic.settings.get("cleanup.policy"), "compact")
        assert.strictEqual(topic.settings.get("max.message.bytes"), "2000000")
        assert.strictEqual(topic.settings.get("compression.type"), "producer")
        assert.isAbove(topic.settings.size, 20)
      }
    },
    {
      scenario: "a topic that is not there",
      request: () => ({ topics: [absentTopic] }),
      check: ({ topics: [topic] }) => {
        assert.isDefined(topic)
        assert.strictEqual(topic.errorCode, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        assert.strictEqual(topic.settings.size, 0)
      }
    }
  ])
]

/** One exchange of each request in each version that tells a throttle time, with a broker that throttles its client. */
export const throttledExchanges: ReadonlyArray<Exchange> = conversations.filter(
  ({ api, version }, index) =>
    conversations.findIndex((other) => other.api === api && other.version === version) === index &&
    !(api.key === apiVersions.key && version === 0)
)

/** Records in partition 0 once every version of Produce that the broker speaks has been tried. */
const producedBy = (place: Place): number =>
  (Math.min(produce.maxVersion, place.highest(produce.key)) - produce.minVersion + 1) * producedPerVersion
