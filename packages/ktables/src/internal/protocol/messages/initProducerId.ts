/**
 * InitProducerId (key 22): an identity for an idempotent producer without transactions (KIP-98, KIP-360). Flexible from
 * version 2.
 *
 * https://kafka.apache.org/protocol.html#The_Messages_InitProducerId
 */
import type { Api } from "../api.ts"

export interface InitProducerIdAnswer {
  readonly throttle: number
  readonly errorCode: number
  readonly producerId: bigint
  readonly producerEpoch: number
}

export const initProducerId: Api<void, InitProducerIdAnswer> = {
  key: 22,
  name: "InitProducerId",
  minVersion: 2,
  maxVersion: 4,
  flexibleFrom: 2,
  encode: (writer, _request, version) => {
    writer.nullString() // transactional id
    writer.int32(0) // transaction timeout
    if (version >= 3) {
      writer.int64(-1) // current producer id
      writer.int16(-1) // current producer epoch
    }
    writer.noTaggedFields()
  },
  decode: (reader) => {
    const throttle = reader.int32()
    const errorCode = reader.int16()
    const producerId = reader.bigInt64()
    const producerEpoch = reader.int16()
    reader.taggedFields()
    return { throttle, errorCode, producerId, producerEpoch }
  }
}
