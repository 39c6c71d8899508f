/**
 * Produce (key 0): appends record batches. Version 8 says which records a broker refuses (KIP-467), version 9 is flexible,
 * version 10 adds the new leader (KIP-951), version 13 names topics by id (KIP-516).
 *
 * https://kafka.apache.org/protocol.html#The_Messages_Produce
 */
import type { ProducedPartition, ProduceRequest } from "../../../KafkaClient.ts"
import type { Api } from "../api.ts"
import type { Reader } from "../primitives.ts"
import { partitionsOf } from "../topicAnswer.ts"

export interface ProduceAnswer {
  readonly throttle: number
  readonly partitions: ReadonlyArray<ProducedPartition>
}

/** The highest version that names topics by name. */
export const produceByNameVersion = 12

export const produce: Api<ProduceRequest, ProduceAnswer> = {
  key: 0,
  name: "Produce",
  minVersion: 8,
  maxVersion: 13,
  flexibleFrom: 9,
  sizeHint: (request) =>
    request.partitions.reduce((bytes, { records }) => bytes + records.length + 16, 64 + request.topic.length * 3),
  encode: (writer, request, version) => {
    writer.nullString() // transactional id
    writer.int16(request.acks)
    writer.int32(request.timeout)
    writer.array([request.topic], (topic) => {
      if (version > produceByNameVersion) writer.uuid(request.topicId)
      else writer.string(topic)
      writer.array(request.partitions, ({ partition, records }) => {
        writer.int32(partition)
        writer.records(records)
        writer.noTaggedFields()
      })
      writer.noTaggedFields()
    })
    writer.noTaggedFields()
  },
  decode: (reader, version, request) => {
    const topics = reader.array((topic) => {
      const name = version > produceByNameVersion ? undefined : topic.string()
      const topicId = version > produceByNameVersion ? topic.uuid() : undefined
      const partitions = topic.array(decodePartition)
      topic.taggedFields()
      return { name, topicId, partitions }
    })
    const throttle = reader.int32()
    reader.taggedFields()
    return { throttle, partitions: partitionsOf(request, topics) }
  }
}

const decodePartition = (reader: Reader): ProducedPartition => {
  const partition = reader.int32()
  const errorCode = reader.int16()
  const baseOffset = reader.int64()
  const logAppendTime = reader.int64()
  const logStartOffset = reader.int64()
  const recordErrors = reader.array(decodeRecordError)
  const message = reader.nullableString()
  reader.taggedFields()
  return {
    partition,
    errorCode,
    errorMessage: describeErrors(message, recordErrors),
    baseOffset,
    logAppendTime,
    logStartOffset
  }
}

const decodeRecordError = (reader: Reader): string => {
  const index = reader.int32()
  const message = reader.nullableString()
  reader.taggedFields()
  return message === undefined ? `record ${index}` : `record ${index}: ${message}`
}

const describeErrors = (message: string | undefined, records: ReadonlyArray<string>): string | undefined =>
  records.length === 0 ? message : [...(message === undefined ? [] : [message]), ...records].join("; ")
