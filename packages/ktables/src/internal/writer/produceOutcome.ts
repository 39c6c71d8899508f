/**
 * What a failed produce means for its batch (https://kafka.apache.org/protocol.html#protocol_error_codes): whether the
 * broker may hold the records all the same decides what may be done with them.
 */
import type { KafkaError } from "../../KafkaError.ts"
import { NotAuthorized, WriteRejected, type WriteError } from "../../TableError.ts"
import { ErrorCode, errorName, isRetriableCode } from "../protocol/errorCodes.ts"
import { authenticationRefused, clusterRefused } from "../topic/refusal.ts"

export type ProduceOutcome =
  /** Passes by itself: the same bytes again. */
  | { readonly _tag: "Again"; readonly mayBeWritten: boolean; readonly detail: string }
  /** The broker does not accept the numbering, and did not take the batch. */
  | { readonly _tag: "Renumber"; readonly freshIdentity: boolean; readonly detail: string }
  /** One record among those of the batch is to blame; alone, it is refused with `error`. */
  | { readonly _tag: "Split"; readonly error: WriteError }
  /** This principal may not write with idempotence. */
  | { readonly _tag: "NotIdempotent"; readonly detail: string }
  | { readonly _tag: "Refused"; readonly error: WriteError }
  | { readonly _tag: "Unknown"; readonly detail: string }

/** Refused before the leader appended anything; any other retriable answer may come after an append. */
const beforeAppend: ReadonlySet<number> = new Set([
  ErrorCode.CORRUPT_MESSAGE,
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.NOT_ENOUGH_REPLICAS,
  ErrorCode.THROTTLING_QUOTA_EXCEEDED,
  ErrorCode.UNKNOWN_TOPIC_ID,
  ErrorCode.INCONSISTENT_TOPIC_ID,
  ErrorCode.INCONSISTENT_CLUSTER_ID
])

/** Requests that come before a produce on a new connection: the produce itself was not sent. */
const beforeProduce: ReadonlySet<string> = new Set([
  "connect",
  "ApiVersions",
  "SaslHandshake",
  "SaslAuthenticate",
  "Metadata"
])

/** Judges the error code of a partition's answer, or of a whole answer. */
export const ofCode = (
  where: { readonly topic: string; readonly partition: number },
  code: number,
  brokerSays: string | undefined
): ProduceOutcome => {
  const reason = errorName(code)
  const detail = brokerSays === undefined ? reason : `${reason}: ${brokerSays}`
  const rejected = (advice: string) => new WriteRejected({ ...where, reason, detail: brokerSays ?? advice })
  switch (code) {
    case ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER:
    case ErrorCode.UNKNOWN_PRODUCER_ID:
      return { _tag: "Renumber", freshIdentity: false, detail }
    case ErrorCode.INVALID_PRODUCER_EPOCH:
    case ErrorCode.PRODUCER_FENCED:
    case ErrorCode.INVALID_PRODUCER_ID_MAPPING:
      return { _tag: "Renumber", freshIdentity: true, detail }
    case ErrorCode.MESSAGE_TOO_LARGE:
    case ErrorCode.RECORD_LIST_TOO_LARGE:
      return { _tag: "Split", error: rejected("larger than the topic's max.message.bytes") }
    case ErrorCode.INVALID_RECORD:
    case ErrorCode.INVALID_TIMESTAMP:
      return { _tag: "Split", error: rejected("the broker does not accept the record") }
    case ErrorCode.CLUSTER_AUTHORIZATION_FAILED:
      return { _tag: "NotIdempotent", detail }
    case ErrorCode.TOPIC_AUTHORIZATION_FAILED:
      return { _tag: "Refused", error: new NotAuthorized({ topic: where.topic, operation: "Write", detail }) }
    case ErrorCode.INCONSISTENT_CLUSTER_ID:
      // The next description is of the cluster that answers now.
      return { _tag: "Again", mayBeWritten: false, detail }
    case ErrorCode.UNKNOWN_SERVER_ERROR:
      return { _tag: "Unknown", detail }
    default:
      return isRetriableCode(code)
        ? { _tag: "Again", mayBeWritten: !beforeAppend.has(code), detail }
        : { _tag: "Refused", error: rejected("the broker refused the batch") }
  }
}

/** Judges the failure of a whole produce. */
export const ofError = (
  where: { readonly topic: string; readonly partition: number },
  error: KafkaError
): ProduceOutcome => {
  switch (error._tag) {
    case "BrokerError":
      return ofCode(where, error.code, error.detail)
    case "ConnectionFailed":
    case "RequestTimedOut":
      return { _tag: "Again", mayBeWritten: !beforeProduce.has(error.request), detail: error.message }
    case "BrokersUnreachable":
      return { _tag: "Again", mayBeWritten: false, detail: error.message }
    case "AuthenticationFailed":
      return { _tag: "Refused", error: authenticationRefused(where.topic, error) }
    case "UnsupportedRequest":
      return { _tag: "Refused", error: clusterRefused(where.topic, error) }
    case "MalformedAnswer":
      return { _tag: "Unknown", detail: error.message }
  }
}
