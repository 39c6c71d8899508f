/**
 * Which version of a request to send to a broker (KIP-35: the highest that both sides know).
 */
import type { Api, Throttled } from "./api.ts"

/** A broker's side: what it says in ApiVersions, by api key. */
export type BrokerVersions = ReadonlyMap<number, { readonly min: number; readonly max: number }>

/** The version to use, or a sentence on why there is none. */
export type Negotiated =
  | { readonly _tag: "Version"; readonly version: number }
  | { readonly _tag: "None"; readonly detail: string }

/**
 * A broker's advertised minimum only ever excludes: Kafka 4.0 and later name versions of Produce that they have dropped
 * (KIP-896), and those lie below every version spoken here.
 */
export const negotiate = <Request, Answer extends Throttled>(
  api: Api<Request, Answer>,
  broker: BrokerVersions,
  cap: number = api.maxVersion
): Negotiated => {
  const range = broker.get(api.key)
  if (range === undefined) return { _tag: "None", detail: "it does not list the request" }
  const version = Math.min(api.maxVersion, range.max, cap)
  return version >= api.minVersion && version >= range.min
    ? { _tag: "Version", version }
    : {
        _tag: "None",
        detail: `it speaks versions ${range.min} to ${range.max}, wanted is one of ${api.minVersion} to ${Math.min(
          api.maxVersion,
          cap
        )}`
      }
}
