/**
 * ListOffsets (key 2): the start or the end of partitions, the end as the isolation level sees it, or the first record
 * that is stamped at a time or later (KIP-79). Current leader epochs fence an old leader (KIP-320); flexible from version 6.
 *
 * https://kafka.apache.org/protocol.html#The_Messages_ListOffsets
 */
import type { ListedOffset, ListOffsetsRequest } from "../../../KafkaClient.ts"
import type { Api } from "../api.ts"
import { isolationLevel } from "../isolationLevel.ts"
import type { Reader } from "../primitives.ts"
import { readByName } from "../topicAnswer.ts"

export interface ListOffsetsAnswer {
  readonly throttle: number
  readonly partitions: ReadonlyArray<ListedOffset>
}

// Timestamps that stand for an end of the log.
const ends = { latest: -1, earliest: -2 }

export const listOffsets: Api<ListOffsetsRequest, ListOffsetsAnswer> = {
  key: 2,
  name: "ListOffsets",
  minVersion: 5,
  maxVersion: 7,
  flexibleFrom: 6,
  encode: (writer, request) => {
    writer.int32(-1) // replica id: a client
    writer.int8(isolationLevel(request.isolation))
    writer.array([request.topic], (topic) => {
      writer.string(topic)
      writer.array(request.partitions, ({ leaderEpoch, partition }) => {
        writer.int32(partition)
        writer.int32(leaderEpoch)
        writer.int64(typeof request.at === "number" ? request.at : ends[request.at])
        writer.noTaggedFields()
      })
      writer.noTaggedFields()
    })
    writer.noTaggedFields()
  },
  decode: (reader, _version, request) => readByName(reader, request, decodePartition)
}

const decodePartition = (reader: Reader): ListedOffset => {
  const partition = reader.int32()
  const errorCode = reader.int16()
  reader.int64() // timestamp
  const offset = reader.int64()
  const leaderEpoch = reader.int32()
  reader.taggedFields()
  return { partition, errorCode, offset, leaderEpoch }
}
