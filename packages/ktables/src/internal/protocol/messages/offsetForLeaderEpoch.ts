/**
 * OffsetForLeaderEpoch (key 23): where an epoch ended, to find out whether the log was truncated below what was consumed
 * (KIP-101, KIP-320). Flexible from version 4.
 *
 * https://kafka.apache.org/protocol.html#The_Messages_OffsetForLeaderEpoch
 */
import type { EpochEndOffset, EpochEndOffsetRequest } from "../../../KafkaClient.ts"
import type { Api } from "../api.ts"
import type { Reader } from "../primitives.ts"
import { readByName } from "../topicAnswer.ts"

export interface OffsetForLeaderEpochAnswer {
  readonly throttle: number
  readonly partitions: ReadonlyArray<EpochEndOffset>
}

export const offsetForLeaderEpoch: Api<EpochEndOffsetRequest, OffsetForLeaderEpochAnswer> = {
  key: 23,
  name: "OffsetForLeaderEpoch",
  minVersion: 3,
  maxVersion: 4,
  flexibleFrom: 4,
  encode: (writer, request) => {
    writer.int32(-1) // replica id: a client
    writer.array([request.topic], (topic) => {
      writer.string(topic)
      writer.array(request.partitions, ({ currentLeaderEpoch, leaderEpoch, partition }) => {
        writer.int32(partition)
        writer.int32(currentLeaderEpoch)
        writer.int32(leaderEpoch)
        writer.noTaggedFields()
      })
      writer.noTaggedFields()
    })
    writer.noTaggedFields()
  },
  decode: (reader, _version, request) => readByName(reader, request, decodePartition)
}

const decodePartition = (reader: Reader): EpochEndOffset => {
  const errorCode = reader.int16()
  const partition = reader.int32()
  const leaderEpoch = reader.int32()
  const endOffset = reader.int64()
  reader.taggedFields()
  return { partition, errorCode, leaderEpoch, endOffset }
}
