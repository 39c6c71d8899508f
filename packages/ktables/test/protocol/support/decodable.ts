/**
 * Every kept answer with what it takes to decode it, for tests that damage them.
 */
import type { FetchRequest, ProduceRequest } from "effect-ktables/KafkaClient"
import { type Api, decodeAnswer, type Throttled } from "../../../src/internal/protocol/api.ts"
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
import { conversations, creations, type Place } from "./exchanges.ts"
import { type BrokerFixture, bytesOf, type Fixture, readFixture } from "./fixtures.ts"

export interface Decodable {
  readonly name: string
  readonly bytes: Buffer
  readonly decode: (bytes: Buffer) => Throttled
}

export const releases = ["4.3.1", "3.9.2", "2.4.1"] as const

export const placeOf = (fixture: BrokerFixture): Place => ({
  prefix: fixture.prefix,
  topicId: fixture.topicId,
  highest: (key) => fixture.highest[key] ?? -1
})

export const fromBrokers = (): ReadonlyArray<Decodable> =>
  releases.flatMap((release) => {
    const fixture = readFixture<BrokerFixture>(`kafka-${release}`)
    const place = placeOf(fixture)
    return [...creations, ...conversations]
      .filter(({ name }) => name in fixture.answers)
      .map(({ api, name, request, version }) => ({
        name: `${release}: ${name}`,
        bytes: bytesOf(fixture, name),
        decode: (bytes: Buffer) => decodeAnswer(api, bytes, version, request(place))
      }))
  })

const topicId = "00112233445566778899aabbccddeeff"

const fetchRequest: FetchRequest = {
  topic: "t",
  topicId,
  isolation: "read_committed",
  maxWait: 1,
  minBytes: 1,
  maxBytes: 1,
  rack: undefined,
  partitions: [5, 6].map((partition) => ({
    partition,
    fetchOffset: 0,
    currentLeaderEpoch: 0,
    lastFetchedEpoch: 0,
    maxBytes: 1
  }))
}

const produceRequest: ProduceRequest = {
  topic: "t",
  topicId,
  acks: -1,
  timeout: 1,
  partitions: [{ partition: 5, records: new Uint8Array() }]
}

const createRequest = { topic: "t", partitions: 1, replicationFactor: 1, config: {}, timeout: 1 }
const listRequest = {
  topic: "t",
  at: "latest" as const,
  isolation: "read_committed" as const,
  partitions: [{ partition: 5, leaderEpoch: 0 }]
}
const epochRequest = { topic: "t", partitions: [{ partition: 5, currentLeaderEpoch: 0, leaderEpoch: 0 }] }

const decoder = (version: number) => {
  const of = <Request, Answer extends Throttled>(api: Api<Request, Answer>, request: Request) =>
    [api.name, (bytes: Buffer): Throttled => decodeAnswer(api, bytes, version, request)] as const
  return new Map([
    of(fetch, fetchRequest),
    of(produce, produceRequest),
    of(metadata, { topics: ["t"] }),
    of(listOffsets, listRequest),
    of(offsetForLeaderEpoch, epochRequest),
    of(initProducerId, undefined),
    of(createTopics, createRequest),
    of(describeConfigs, { topics: ["t"] }),
    of(incrementalAlterConfigs, { topic: "t", set: {} }),
    of(apiVersions, undefined)
  ])
}

/** Answers with every field set, as Kafka's own message classes write them. */
export const fromClients = (): ReadonlyArray<Decodable> => {
  const fixture = readFixture<Fixture>("clients-4.3.1")
  return Object.keys(fixture.answers).map((name) => {
    const [api = "", version = ""] = name.slice(0, name.indexOf(":")).split(" ")
    const decode = decoder(Number(version)).get(api)
    if (decode === undefined) throw new Error(`no decoder for "${name}"`)
    return { name, bytes: bytesOf(fixture, name), decode }
  })
}
