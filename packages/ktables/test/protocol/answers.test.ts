import { assert, describe, it } from "@effect/vitest"
import { decodeAnswer } from "../../src/internal/protocol/api.ts"
import { fetch } from "../../src/internal/protocol/messages/fetch.ts"
import { initProducerId } from "../../src/internal/protocol/messages/initProducerId.ts"
import { fromClients, placeOf, releases } from "./support/decodable.ts"
import { conversations, creations, throttledExchanges } from "./support/exchanges.ts"
import { type BrokerFixture, bytesOf, type Fixture, readFixture } from "./support/fixtures.ts"

describe.each(releases)("answers of Kafka %s", (release) => {
  const fixture = readFixture<BrokerFixture>(`kafka-${release}`)
  const place = placeOf(fixture)
  const spoken = [...creations, ...conversations].filter(({ api, version }) => version <= place.highest(api.key))

  it("hold one for every exchange in every version the broker speaks", () => {
    assert.deepStrictEqual(Object.keys(fixture.answers).toSorted(), spoken.map(({ name }) => name).toSorted())
  })

  it.each(spoken.map((exchange) => [exchange.name, exchange] as const))("%s", (name, exchange) => {
    const answer = decodeAnswer(exchange.api, bytesOf(fixture, name), exchange.version, exchange.request(place))
    assert.doesNotThrow(() => exchange.check(answer, place))
  })
})

describe("answers of a broker that throttles its client", () => {
  const fixture = readFixture<BrokerFixture>("throttled-4.3.1")
  const place = placeOf(fixture)

  it.each(throttledExchanges.map((exchange) => [exchange.name, exchange] as const))(
    "say for how long in %s",
    (name, { api, request, version }) => {
      const answer = decodeAnswer(api, bytesOf(fixture, name), version, request(place))
      const { throttle } = answer
      assert.isAbove(throttle, 0)
      if (api.key === fetch.key) assert.deepEqual<object>(answer, { throttle, errorCode: 0, partitions: [], version })
    }
  )
})

const transactions = readFixture<Fixture & { readonly topicId: string }>("transactions-4.3.1")
const transactionsRequest = {
  topic: "fixture-tx",
  topicId: transactions.topicId,
  isolation: "read_committed",
  maxWait: 1,
  minBytes: 1,
  maxBytes: 1,
  rack: undefined,
  partitions: [{ partition: 0, fetchOffset: 0, currentLeaderEpoch: -1, lastFetchedEpoch: -1, maxBytes: 1 }]
} as const

describe("answers with aborted transactions", () => {
  it.each([11, 12, 13, 14, 15, 16, 17])("name them in Fetch %i", (version) => {
    const answer = decodeAnswer(
      fetch,
      bytesOf(transactions, `Fetch ${version}: aborted transactions`),
      version,
      transactionsRequest
    )
    const [partition] = answer.partitions
    assert.deepStrictEqual(partition?.abortedTransactions, [
      { producerId: 1n, firstOffset: 0 },
      { producerId: 1n, firstOffset: 4 }
    ])
    assert.strictEqual(partition?.lastStableOffset, 6)
    assert.strictEqual(partition?.records.length, 464)
  })
})

describe("producer ids of brokers that give out any 63 bits", () => {
  it.each([0n, 2n ** 53n + 1n, 2n ** 62n + 1n, 2n ** 63n - 1n])(
    "are kept whole in InitProducerId: %i",
    (producerId) => {
      const body = Buffer.alloc(17)
      body.writeBigInt64BE(producerId, 6)
      body.writeInt16BE(3, 14)
      assert.deepStrictEqual(decodeAnswer(initProducerId, body, 4, undefined), {
        throttle: 0,
        errorCode: 0,
        producerId,
        producerEpoch: 3
      })
    }
  )

  it("are kept whole among the aborted transactions of Fetch", () => {
    // A copy: other tests read the same fixture.
    const body = Buffer.from(bytesOf(transactions, "Fetch 17: aborted transactions"))
    // Both transactions are of producer 1; the first one of the answer becomes another's.
    const at = body.indexOf(Buffer.from("00000000000000010000000000000000", "hex"))
    assert.isAtLeast(at, 0)
    body.writeBigInt64BE(2n ** 62n + 1n, at)
    const answer = decodeAnswer(fetch, body, 17, transactionsRequest)
    assert.deepStrictEqual(answer.partitions[0]!.abortedTransactions, [
      { producerId: 2n ** 62n + 1n, firstOffset: 0 },
      { producerId: 1n, firstOffset: 4 }
    ])
  })
})

const topicId = "00112233445566778899aabbccddeeff"
const throttle = 123

/** What `clients-4.3.1.json` was written with, by request, as far as the version carries it. */
const everything: Readonly<Record<string, (version: number) => unknown>> = {
  Fetch: (version) => ({
    version,
    throttle,
    errorCode: 0,
    partitions: [
      {
        partition: 5,
        errorCode: 6,
        highWatermark: Number.MAX_SAFE_INTEGER,
        lastStableOffset: 41,
        logStartOffset: 7,
        diverging: version >= 12 ? { epoch: 4, endOffset: 17 } : undefined,
        currentLeader: version >= 12 ? { id: 3, epoch: 8 } : undefined,
        preferredReadReplica: 2,
        abortedTransactions: [
          { producerId: 4_000_000_000n, firstOffset: 12 },
          { producerId: 1n, firstOffset: 4_294_967_296 }
        ],
        records: Buffer.from([1, 2, 3])
      },
      {
        partition: 6,
        errorCode: 0,
        highWatermark: 3,
        lastStableOffset: -1,
        logStartOffset: -1,
        diverging: undefined,
        currentLeader: undefined,
        preferredReadReplica: -1,
        abortedTransactions: [],
        records: Buffer.alloc(0)
      }
    ]
  }),
  Produce: () => ({
    throttle,
    partitions: [
      {
        partition: 5,
        errorCode: 6,
        errorMessage: "moved; record 2: bad; record 3",
        baseOffset: 4_294_967_297,
        logAppendTime: 1_700_000_000_123,
        logStartOffset: 3
      }
    ]
  }),
  Metadata: (version) => ({
    throttle,
    brokers: [
      { id: 1, host: "a.example", port: 9092, rack: "west" },
      { id: 2, host: "::1", port: 9093, rack: undefined }
    ],
    clusterId: undefined,
    controllerId: -1,
    topics: [
      {
        errorCode: 0,
        name: "t",
        isInternal: true,
        topicId: version >= 10 ? topicId : undefined,
        partitions: [
          { partition: 1, errorCode: 5, leader: -1, leaderEpoch: 4, replicas: [1, 2], inSync: [] },
          { partition: 0, errorCode: 0, leader: 2, leaderEpoch: -1, replicas: [1, 2], inSync: [2] }
        ]
      }
    ]
  }),
  ListOffsets: () => ({
    throttle,
    partitions: [{ partition: 5, errorCode: 0, offset: 4_294_967_297, leaderEpoch: 8 }]
  }),
  OffsetForLeaderEpoch: () => ({
    throttle,
    partitions: [{ partition: 5, errorCode: 74, leaderEpoch: 8, endOffset: 4_294_967_297 }]
  }),
  InitProducerId: () => ({ throttle, errorCode: 53, producerId: 4_294_967_297n, producerEpoch: 9 }),
  CreateTopics: () => ({ throttle, errorCode: 44, errorMessage: "no" }),
  DescribeConfigs: () => ({
    throttle,
    topics: [
      {
        errorCode: 0,
        errorMessage: undefined,
        name: "t",
        settings: new Map([
          ["secret", undefined],
          ["open", "ö"]
        ])
      }
    ]
  }),
  IncrementalAlterConfigs: () => ({ throttle, errorCode: 44, errorMessage: "no" }),
  ApiVersions: (version) => ({
    throttle: version >= 1 ? throttle : 0,
    errorCode: 0,
    versions: new Map([[1, { min: 4, max: 18 }]])
  })
}

describe("answers with every field set", () => {
  const complete = fromClients().filter(({ name }) => name.endsWith(": everything"))

  it.each(complete.map((answer) => [answer.name, answer] as const))("%s", (name, { bytes, decode }) => {
    const [api = "", version = ""] = name.slice(0, name.indexOf(":")).split(" ")
    assert.deepStrictEqual<unknown>(decode(bytes), everything[api]?.(Number(version)))
  })

  it("a fetch that fails as a whole has no partitions", () => {
    const failed = fromClients().filter(({ name }) => name.endsWith(": an error of the whole"))
    assert.strictEqual(failed.length, 7)
    for (const { bytes, decode, name } of failed) {
      const version = Number(/\d+/.exec(name)![0])
      assert.deepStrictEqual<unknown>(decode(bytes), { throttle: 0, errorCode: 70, partitions: [], version })
    }
  })

  it("a broker that does not know ApiVersions 3 says so in version 0", () => {
    const refused = fromClients().find(({ name }) => name === "ApiVersions 3: refused, in version 0")
    assert.deepStrictEqual<unknown>(refused?.decode(refused.bytes), { throttle: 0, errorCode: 35, versions: new Map() })
  })
})

describe("records", () => {
  it("are a view into the answer, not a copy", () => {
    const answer = fromClients().find(({ name }) => name === "Fetch 17: everything")
    assert.isDefined(answer)
    const decoded = answer.decode(answer.bytes) as ReturnType<typeof fetch.decode>
    assert.strictEqual(decoded.partitions[0]?.records.buffer, answer.bytes.buffer)
  })
})
