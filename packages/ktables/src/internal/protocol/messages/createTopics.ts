/**
 * CreateTopics (key 19): one topic, its replicas placed by the cluster (KIP-464). All versions spoken are flexible.
 *
 * https://kafka.apache.org/protocol.html#The_Messages_CreateTopics
 */
import type { CreateTopicRequest } from "../../../KafkaClient.ts"
import type { Api } from "../api.ts"
import type { Reader } from "../primitives.ts"
import { exactlyOne } from "../exactlyOne.ts"

export interface CreateTopicsAnswer {
  readonly throttle: number
  readonly errorCode: number
  readonly errorMessage: string | undefined
}

export const createTopics: Api<CreateTopicRequest, CreateTopicsAnswer> = {
  key: 19,
  name: "CreateTopics",
  minVersion: 5,
  maxVersion: 7,
  flexibleFrom: 5,
  encode: (writer, request) => {
    writer.array([request], (topic) => {
      writer.string(topic.topic)
      writer.int32(topic.partitions)
      writer.int16(topic.replicationFactor)
      writer.array([], () => {}) // manual replica assignments
      writer.array(Object.entries(topic.config), ([name, value]) => {
        writer.string(name)
        writer.string(value)
        writer.noTaggedFields()
      })
      writer.noTaggedFields()
    })
    writer.int32(request.timeout)
    writer.boolean(false) // validate only
    writer.noTaggedFields()
  },
  decode: (reader, version, request) => {
    const throttle = reader.int32()
    const topics = reader.array((topic) => decodeTopic(topic, version))
    reader.taggedFields()
    const { errorCode, errorMessage } = exactlyOne(request.topic, topics)
    return { throttle, errorCode, errorMessage }
  }
}

const decodeTopic = (reader: Reader, version: number) => {
  const name = reader.string()
  if (version >= 7) reader.uuid()
  const errorCode = reader.int16()
  const errorMessage = reader.nullableString()
  reader.int32() // number of partitions
  reader.int16() // replication factor
  reader.nullableArray(decodeConfig)
  reader.taggedFields()
  return { name, errorCode, errorMessage }
}

const decodeConfig = (reader: Reader): void => {
  reader.string() // name
  reader.nullableString() // value
  reader.boolean() // read only
  reader.int8() // source
  reader.boolean() // sensitive
  reader.taggedFields()
}
