/**
 * IncrementalAlterConfigs (key 44): sets single settings of one topic and leaves the others alone (KIP-339). Flexible from
 * version 1.
 *
 * https://kafka.apache.org/protocol.html#The_Messages_IncrementalAlterConfigs
 */
import type { Api } from "../api.ts"
import { topicResource } from "../configResource.ts"
import { exactlyOne } from "../exactlyOne.ts"

export interface IncrementalAlterConfigsRequest {
  readonly topic: string
  readonly set: Readonly<Record<string, string>>
}

export interface IncrementalAlterConfigsAnswer {
  readonly throttle: number
  readonly errorCode: number
  readonly errorMessage: string | undefined
}

// The operation that sets a value.
const set = 0

export const incrementalAlterConfigs: Api<IncrementalAlterConfigsRequest, IncrementalAlterConfigsAnswer> = {
  key: 44,
  name: "IncrementalAlterConfigs",
  minVersion: 0,
  maxVersion: 1,
  flexibleFrom: 1,
  encode: (writer, request) => {
    writer.array([request], (resource) => {
      writer.int8(topicResource)
      writer.string(resource.topic)
      writer.array(Object.entries(resource.set), ([name, value]) => {
        writer.string(name)
        writer.int8(set)
        writer.string(value)
        writer.noTaggedFields()
      })
      writer.noTaggedFields()
    })
    writer.boolean(false) // validate only
    writer.noTaggedFields()
  },
  decode: (reader, _version, request) => {
    const throttle = reader.int32()
    const resources = reader.array((resource) => {
      const errorCode = resource.int16()
      const errorMessage = resource.nullableString()
      resource.int8() // resource type
      const name = resource.string()
      resource.taggedFields()
      return { errorCode, errorMessage, name }
    })
    reader.taggedFields()
    const { errorCode, errorMessage } = exactlyOne(request.topic, resources)
    return { throttle, errorCode, errorMessage }
  }
}
