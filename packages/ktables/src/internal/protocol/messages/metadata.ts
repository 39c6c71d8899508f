/**
 * Metadata (key 3): the brokers, and the partitions and leaders of some topics. Topic ids from version 10 (KIP-516); the
 * broker is told not to create them.
 *
 * https://kafka.apache.org/protocol.html#The_Messages_Metadata
 */
import type { Broker, PartitionDescription } from "../../../KafkaClient.ts"
import type { Api } from "../api.ts"
import type { Reader } from "../primitives.ts"
import { type Named, exactlyThese } from "../exactlyOne.ts"

export interface MetadataRequest {
  /** Each once; none asks for the brokers alone. */
  readonly topics: ReadonlyArray<string>
}

export interface MetadataTopic {
  readonly errorCode: number
  readonly topicId: string | undefined
  readonly partitions: ReadonlyArray<PartitionDescription>
}

export interface MetadataAnswer {
  readonly throttle: number
  readonly brokers: ReadonlyArray<Broker>
  readonly clusterId: string | undefined
  /** -1 when the broker knows of none. */
  readonly controllerId: number
  /** In the order of the request. */
  readonly topics: ReadonlyArray<MetadataTopic>
}

export const metadata: Api<MetadataRequest, MetadataAnswer> = {
  key: 3,
  name: "Metadata",
  minVersion: 9,
  maxVersion: 12,
  flexibleFrom: 9,
  encode: (writer, request, version) => {
    writer.array(request.topics, (topic) => {
      if (version >= 10) writer.uuid(undefined)
      writer.string(topic)
      writer.noTaggedFields()
    })
    writer.boolean(false) // allow auto topic creation
    if (version <= 10) writer.boolean(false) // include the cluster's authorized operations
    writer.boolean(false) // include the topics' authorized operations
    writer.noTaggedFields()
  },
  decode: (reader, version, request) => {
    const throttle = reader.int32()
    const brokers = reader.array(decodeBroker)
    const clusterId = reader.nullableString()
    const controllerId = reader.int32()
    const topics = reader.array((topic) => decodeTopic(topic, version))
    if (version <= 10) reader.int32() // the cluster's authorized operations
    reader.taggedFields()
    return { throttle, brokers, clusterId, controllerId, topics: exactlyThese(request.topics, topics) }
  }
}

const decodeBroker = (reader: Reader): Broker => {
  const id = reader.int32()
  const host = reader.string()
  const port = reader.int32()
  const rack = reader.nullableString()
  reader.taggedFields()
  return { id, host, port, rack }
}

const decodeTopic = (reader: Reader, version: number): MetadataTopic & Named => {
  const errorCode = reader.int16()
  const name = version >= 12 ? reader.nullableString() : reader.string()
  const topicId = version >= 10 ? reader.uuid() : undefined
  reader.boolean() // is internal
  const partitions = reader.array(decodePartition)
  reader.int32() // the topic's authorized operations
  reader.taggedFields()
  return { errorCode, name, topicId, partitions }
}

const decodePartition = (reader: Reader): PartitionDescription => {
  const errorCode = reader.int16()
  const partition = reader.int32()
  const leader = reader.int32()
  const leaderEpoch = reader.int32()
  reader.array(decodeInt32) // replicas
  reader.array(decodeInt32) // replicas in sync
  reader.array(decodeInt32) // replicas offline
  reader.taggedFields()
  return { partition, errorCode, leader, leaderEpoch }
}

const decodeInt32 = (reader: Reader): number => reader.int32()
