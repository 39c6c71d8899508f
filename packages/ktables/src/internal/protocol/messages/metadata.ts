/**
 * Metadata (key 3): the brokers, and the partitions and leaders of some topics, or the names of all. Topic ids from version 10 (KIP-516); the
 * broker is told not to create them.
 *
 * https://kafka.apache.org/protocol.html#The_Messages_Metadata
 */
import type { Broker, PartitionDescription } from "../../../KafkaClient.ts"
import type { Api, Throttled } from "../api.ts"
import type { Reader, Writer } from "../primitives.ts"
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

/** A topic that the client may know of. */
export interface NamedTopic {
  readonly name: string
  /** Kafka's own, such as `__consumer_offsets`. */
  readonly isInternal: boolean
}

const versions = { key: 3, name: "Metadata", minVersion: 9, maxVersion: 12, flexibleFrom: 9 } as const

export const metadata: Api<MetadataRequest, MetadataAnswer> = {
  ...versions,
  encode: (writer, request, version) => {
    writer.array(request.topics, (topic) => {
      if (version >= 10) writer.uuid(undefined)
      writer.string(topic)
      writer.noTaggedFields()
    })
    encodeOptions(writer, version)
  },
  decode: (reader, version, request) => {
    const { topics, ...cluster } = decodeAll(reader, version)
    return { ...cluster, topics: exactlyThese(request.topics, topics) }
  }
}

export const allTopics: Api<void, Throttled & { readonly topics: ReadonlyArray<NamedTopic> }> = {
  ...versions,
  encode: (writer, _, version) => {
    writer.nullArray()
    encodeOptions(writer, version)
  },
  decode: (reader, version) => {
    const { throttle, topics } = decodeAll(reader, version)
    return {
      throttle,
      topics: topics.flatMap(({ isInternal, name }) => (name === undefined ? [] : [{ name, isInternal }]))
    }
  }
}

const encodeOptions = (writer: Writer, version: number): void => {
  writer.boolean(false) // allow auto topic creation
  if (version <= 10) writer.boolean(false) // include the cluster's authorized operations
  writer.boolean(false) // include the topics' authorized operations
  writer.noTaggedFields()
}

const decodeAll = (reader: Reader, version: number) => {
  const throttle = reader.int32()
  const brokers = reader.array(decodeBroker)
  const clusterId = reader.nullableString()
  const controllerId = reader.int32()
  const topics = reader.array((topic) => decodeTopic(topic, version))
  if (version <= 10) reader.int32() // the cluster's authorized operations
  reader.taggedFields()
  return { throttle, brokers, clusterId, controllerId, topics }
}

const decodeBroker = (reader: Reader): Broker => {
  const id = reader.int32()
  const host = reader.string()
  const port = reader.int32()
  const rack = reader.nullableString()
  reader.taggedFields()
  return { id, host, port, rack }
}

const decodeTopic = (reader: Reader, version: number): MetadataTopic & Named & Pick<NamedTopic, "isInternal"> => {
  const errorCode = reader.int16()
  const name = version >= 12 ? reader.nullableString() : reader.string()
  const topicId = version >= 10 ? reader.uuid() : undefined
  const isInternal = reader.boolean()
  const partitions = reader.array(decodePartition)
  reader.int32() // the topic's authorized operations
  reader.taggedFields()
  return { errorCode, name, topicId, isInternal, partitions }
}

const decodePartition = (reader: Reader): PartitionDescription => {
  const errorCode = reader.int16()
  const partition = reader.int32()
  const leader = reader.int32()
  const leaderEpoch = reader.int32()
  const replicas = reader.array(decodeInt32)
  const inSync = reader.array(decodeInt32)
  reader.array(decodeInt32) // replicas offline
  reader.taggedFields()
  return { partition, errorCode, leader, leaderEpoch, replicas, inSync }
}

const decodeInt32 = (reader: Reader): number => reader.int32()
