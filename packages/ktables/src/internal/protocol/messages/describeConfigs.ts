/**
 * DescribeConfigs (key 32): the settings of some topics, the broker's defaults included (KIP-133, KIP-569). Flexible from
 * version 4.
 *
 * https://kafka.apache.org/protocol.html#The_Messages_DescribeConfigs
 */
import type { Api } from "../api.ts"
import { topicResource } from "../configResource.ts"
import type { Reader } from "../primitives.ts"
import { exactlyThese } from "../exactlyOne.ts"

export interface DescribeConfigsRequest {
  /** Each once. */
  readonly topics: ReadonlyArray<string>
}

export interface TopicConfigs {
  readonly errorCode: number
  readonly errorMessage: string | undefined
  /** By name; a value is undefined when it is secret. */
  readonly settings: ReadonlyMap<string, string | undefined>
}

export interface DescribeConfigsAnswer {
  readonly throttle: number
  /** In the order of the request. */
  readonly topics: ReadonlyArray<TopicConfigs>
}

export const describeConfigs: Api<DescribeConfigsRequest, DescribeConfigsAnswer> = {
  key: 32,
  name: "DescribeConfigs",
  minVersion: 2,
  maxVersion: 4,
  flexibleFrom: 4,
  encode: (writer, request, version) => {
    writer.array(request.topics, (topic) => {
      writer.int8(topicResource)
      writer.string(topic)
      writer.nullArray() // all settings
      writer.noTaggedFields()
    })
    writer.boolean(false) // include synonyms
    if (version >= 3) writer.boolean(false) // include documentation
    writer.noTaggedFields()
  },
  decode: (reader, version, request) => {
    const throttle = reader.int32()
    const resources = reader.array((resource) => {
      const errorCode = resource.int16()
      const errorMessage = resource.nullableString()
      resource.int8() // resource type
      const name = resource.string()
      const settings = resource.array((setting) => decodeSetting(setting, version))
      resource.taggedFields()
      return { errorCode, errorMessage, name, settings: new Map(settings) }
    })
    reader.taggedFields()
    return { throttle, topics: exactlyThese(request.topics, resources) }
  }
}

const decodeSetting = (reader: Reader, version: number): readonly [string, string | undefined] => {
  const name = reader.string()
  const value = reader.nullableString()
  reader.boolean() // read only
  reader.int8() // source
  reader.boolean() // sensitive
  reader.array(decodeSynonym)
  if (version >= 3) {
    reader.int8() // type
    reader.nullableString() // documentation
  }
  reader.taggedFields()
  return [name, value]
}

const decodeSynonym = (reader: Reader): void => {
  reader.string() // name
  reader.nullableString() // value
  reader.int8() // source
  reader.taggedFields()
}
