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
import type { Reader } from "../primitives.ts"
import { partitionsOf } from "../topicAnswer.ts"

/** The highest version that names topics by name. */
export const fetchByNameVersion = 12

export const fetch: Api<FetchRequest, FetchAnswer> = {
  key: 1,
  name: "Fetch",
  minVersion: 11,
  maxVersion: 17,
  flexibleFrom: 12,
  encode: (writer, request, version) => {
    if (version <= 14) writer.int32(-1) // replica id: a client
    writer.int32(request.maxWait)
    writer.int32(request.minBytes)
    writer.int32(request.maxBytes)
    writer.int8(isolationLevel(request.isolation))
    writer.int32(0) // session id
    writer.int32(-1) // session epoch
    writer.array([request.topic], (topic) => {
      if (version > fetchByNameVersion) writer.uuid(request.topicId)
      else writer.string(topic)
      writer.array(request.partitions, (partition) => {
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
    writer.string(request.rack ?? "")
    writer.noTaggedFields()
  },
  decode: (reader, version, request) => {
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
    const isHeldBack = throttle > 0 && topics.length === 0
    const partitions = errorCode !== 0 || isHeldBack ? [] : partitionsOf(request, topics)
    return { throttle, errorCode, partitions, version }
  }
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
