/** How what a cluster refuses becomes the typed errors of tables and writers. */
import type { AuthenticationFailed, BrokerError, MalformedAnswer, UnsupportedRequest } from "../../KafkaError.ts"
import { AuthenticationRefused, ClusterRefused, NotAuthorized } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"

/** The answer says that an ACL is missing, on the topic or on the cluster. */
export const isNotAuthorized = (code: number): boolean =>
  code === ErrorCode.TOPIC_AUTHORIZATION_FAILED || code === ErrorCode.CLUSTER_AUTHORIZATION_FAILED

export const notAuthorized = (topic: string, operation: string, error: BrokerError): NotAuthorized =>
  new NotAuthorized({ topic, operation, detail: error.message })

export const authenticationRefused = (topic: string, error: AuthenticationFailed): AuthenticationRefused =>
  new AuthenticationRefused({ topic, broker: error.broker, detail: error.detail })

export const clusterRefused = (
  topic: string,
  error: BrokerError | UnsupportedRequest | MalformedAnswer
): ClusterRefused => new ClusterRefused({ topic, detail: error.message, cause: error })

/** A refused `operation`: the missing ACL when it is one, else the broker's answer as it is. */
export const refused = (
  topic: string,
  operation: string,
  error: BrokerError | UnsupportedRequest
): NotAuthorized | ClusterRefused =>
  error._tag === "BrokerError" && isNotAuthorized(error.code)
    ? notAuthorized(topic, operation, error)
    : clusterRefused(topic, error)
