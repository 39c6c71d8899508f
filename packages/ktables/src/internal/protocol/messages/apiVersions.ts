/**
 * ApiVersions (key 18): which versions of which requests a broker speaks. Flexible from version 3, whose answer keeps the
 * old response header; a broker that does not know version 3 answers in version 0 with UNSUPPORTED_VERSION (KIP-511).
 *
 * https://kafka.apache.org/protocol.html#The_Messages_ApiVersions
 */
import type { Api } from "../api.ts"
import { ErrorCode } from "../errorCodes.ts"
import type { Reader } from "../primitives.ts"
import type { BrokerVersions } from "../versions.ts"

export interface ApiVersionsAnswer {
  readonly throttle: number
  readonly errorCode: number
  readonly versions: BrokerVersions
}

// Brokers show these in their metrics (KIP-511).
const softwareName = "effect-ktables"
const softwareVersion = "0.1"

const decodeVersions = (reader: Reader): BrokerVersions =>
  new Map(
    reader.array((api) => {
      const key = api.int16()
      const min = api.int16()
      const max = api.int16()
      api.taggedFields()
      return [key, { min, max }] as const
    })
  )

export const apiVersions: Api<void, ApiVersionsAnswer> = {
  key: 18,
  name: "ApiVersions",
  minVersion: 0,
  maxVersion: 3,
  flexibleFrom: 3,
  plainResponseHeader: true,
  encode: (writer, _request, version) => {
    if (version < 3) return
    writer.string(softwareName)
    writer.string(softwareVersion)
    writer.noTaggedFields()
  },
  decode: (reader, version) => {
    const errorCode = reader.int16()
    if (errorCode === ErrorCode.UNSUPPORTED_VERSION && version > 0) {
      reader.rest()
      return { throttle: 0, errorCode, versions: new Map() }
    }
    const versions = decodeVersions(reader)
    const throttle = version >= 1 ? reader.int32() : 0
    reader.taggedFields()
    return { throttle, errorCode, versions }
  }
}
