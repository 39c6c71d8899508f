/**
 * Fetch (key 1): record sets from one broker, without a fetch session (session id 0, epoch -1: a full fetch each time,
 * KIP-227). Version 12 is flexible and reports truncation (KIP-320, KIP-595), version 13 names topics by id (KIP-516),
 * version 15 moves the replica id into a tagged field (KIP-903), version 16 adds the new leader's address (KIP-951).
 *
 * https://kafka.apache.org/protocol.html#The_Messages_Fetch
 */
import type { AbortedTransaction, FetchAnswer, FetchedPartition, FetchRequest } from "../../../KafkaClient.ts"
import type { Api } from "../api.ts"
import { isolationLevel } from "../isolationLevel.ts"
import { ProtocolViolation, type Reader, type Writer } from "../primitives.ts"
import { partitionsOf, type TopicAnswer } from "../topicAnswer.ts"

/** The highest version that names topics by name. */
export const fetchByNameVersion = 12

/** What a request says once, however many topics it is about. */
type Terms = Pick<FetchRequest, "isolation" | "maxWait" | "minBytes" | "maxBytes" | "rack">
type TopicRequest = Pick<FetchRequest, "topic" | "topicId" | "partitions">

/** A request about several topics, each of them once, by their ids. */
export interface TopicsRequest extends Terms {
  readonly topics: ReadonlyArray<TopicRequest>
}

export interface TopicsAnswer extends Pick<FetchAnswer, "throttle" | "errorCode" | "version"> {
  /** The partitions of each topic, in the order of the request; none at all where the broker holds its answer back. */
  readonly topics: ReadonlyArray<FetchAnswer["partitions"]>
}

const versions = { key: 1, name: "Fetch", minVersion: 11, maxVersion: 17, flexibleFrom: 12 } as const

export const fetch: Api<FetchRequest, FetchAnswer> = {
  ...versions,
  encode: (writer, request, version) => encode(writer, request, [request], version),
  decode: (reader, version, request) => {
    const { isHeldBack, topics, ...answer } = decode(reader, version)
    return { ...answer, partitions: isHeldBack ? [] : partitionsOf(request, topics) }
  }
}

export const fetchTopics: Api<TopicsRequest, TopicsAnswer> = {
  ...versions,
  minVersion: fetchByNameVersion + 1,
  sizeHint: ({ topics }) => topics.reduce((bytes, { partitions }) => bytes + 32 + 40 * partitions.length, 64),
  encode: (writer, request, version) => encode(writer, request, request.topics, version),
  decode: (reader, version, request) => {
    const { isHeldBack, topics, ...answer } = decode(reader, version)
    if (isHeldBack) return { ...answer, topics: [] }
    const byId = new Map<string | undefined, Array<TopicAnswer<FetchedPartition>>>()
    for (const topic of topics) {
      const same = byId.get(topic.topicId)
      if (same === undefined) byId.set(topic.topicId, [topic])
      else same.push(topic)
    }
    const answered = request.topics.map((asked): FetchAnswer["partitions"] => {
      const parts = partitionsOf(asked, byId.get(asked.topicId) ?? [])
      byId.delete(asked.topicId)
      return parts
    })
    for (const topicId of byId.keys()) throw new ProtocolViolation(`it is about ${topicId}, which was not asked for`)
    return { ...answer, topics: answered }
  }
}

const encode = (writer: Writer, terms: Terms, topics: ReadonlyArray<TopicRequest>, version: number): void => {
  if (version <= 14) writer.int32(-1) // replica id: a client
  writer.int32(terms.maxWait)
  writer.int32(terms.minBytes)
  writer.int32(terms.maxBytes)
  writer.int8(isolationLevel(terms.isolation))
  writer.int32(0) // session id
  writer.int32(-1) // session epoch
  writer.array(topics, ({ partitions, topic, topicId }) => {
    if (version > fetchByNameVersion) writer.uuid(topicId)
    else writer.string(topic)
    writer.array(partitions, (partition) => {
      writer.int32(partition.partition)
      writer.int32(partition.currentLeaderEpoch)
      writer.int64(partition.fetchOffset)
      if (version >= 12) writer.int32(partition.lastFetchedEpoch)
      writer.int64(-1) // the follower's log start offset
      writer.int32(partition.maxBytes)
      writer.noTaggedFields()
    })
    writer.noTaggedFields()
  })
  writer.array([], () => {}) // partitions to drop from the session
  writer.string(terms.rack ?? "")
  writer.noTaggedFields()
}

interface Decoded extends Pick<FetchAnswer, "throttle" | "errorCode" | "version"> {
  readonly topics: ReadonlyArray<TopicAnswer<FetchedPartition>>
  /** Nothing is said of what was asked for. */
  readonly isHeldBack: boolean
}

const decode = (reader: Reader, version: number): Decoded => {
  const throttle = reader.int32()
  const errorCode = reader.int16()
  reader.int32() // session id
  const topics = reader.array((topic) => {
    const name = version > fetchByNameVersion ? undefined : topic.string()
    const topicId = version > fetchByNameVersion ? topic.uuid() : undefined
    const partitions = topic.array(decodePartition)
    topic.taggedFields()
    return { name, topicId, partitions }
  })
  reader.taggedFields()
  // A broker that throttles a client holds back what it would have answered, topics included (KIP-219).
  const isHeldBack = errorCode !== 0 || (throttle > 0 && topics.length === 0)
  return { throttle, errorCode, version, topics, isHeldBack }
}

const decodePartition = (reader: Reader): FetchedPartition => {
  const partition = reader.int32()
  const errorCode = reader.int16()
  const highWatermark = reader.int64()
  const lastStableOffset = reader.int64()
  const logStartOffset = reader.int64()
  const abortedTransactions = reader.nullableArray(decodeAborted) ?? []
  const preferredReadReplica = reader.int32()
  const records = reader.records()
  let diverging: FetchedPartition["diverging"]
  let currentLeader: FetchedPartition["currentLeader"]
  reader.taggedFields((tag, field) => {
    if (tag === 0) diverging = { epoch: field.int32(), endOffset: field.int64() }
    else if (tag === 1) currentLeader = { id: field.int32(), epoch: field.int32() }
  })
  return {
    partition,
    errorCode,
    highWatermark,
    lastStableOffset,
    logStartOffset,
    diverging,
    currentLeader,
    preferredReadReplica,
    abortedTransactions,
    records
  }
}

const decodeAborted = (reader: Reader): AbortedTransaction => {
  const producerId = reader.bigInt64()
  const firstOffset = reader.int64()
  reader.taggedFields()
  return { producerId, firstOffset }
}
