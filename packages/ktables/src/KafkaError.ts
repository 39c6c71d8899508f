/**
 * What can go wrong between a `KafkaClient` and a cluster.
 *
 * Every error says which broker and request it concerns, and `isRetriable` tells whether the same call may succeed later
 * without anybody changing anything. Error codes and their retriability follow the table "Error Codes" of the Kafka
 * protocol guide (https://kafka.apache.org/protocol.html#protocol_error_codes).
 *
 * @since 0.1.0
 */
import { Schema } from "effect"
import { errorName, isRetriableCode } from "./internal/protocol/errorCodes.ts"
import { TaggedError } from "./internal/taggedError.ts"

/**
 * No connection to a broker could be opened, or an open one was lost with the request outstanding: whether the broker
 * carried the request out is unknown.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionFailed extends TaggedError<ConnectionFailed>()("ConnectionFailed", {
  /** `host:port`. */
  broker: Schema.String,
  /** What was being done: `connect`, or the request's name. */
  request: Schema.String,
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  readonly isRetriable: boolean = true
  override get message(): string {
    return `${this.request} on ${this.broker}: ${this.detail}`
  }
}

/**
 * A broker took the request and did not answer in time; its connection is given up.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestTimedOut extends TaggedError<RequestTimedOut>()("RequestTimedOut", {
  broker: Schema.String,
  request: Schema.String,
  /** Milliseconds waited. */
  timeout: Schema.Number
}) {
  readonly isRetriable: boolean = true
  override get message(): string {
    return `${this.request} on ${this.broker}: no answer within ${this.timeout} ms`
  }
}

/**
 * The TLS handshake or the SASL exchange was refused. Retrying does not help.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthenticationFailed extends TaggedError<AuthenticationFailed>()("AuthenticationFailed", {
  broker: Schema.String,
  /** A sentence with the likely cause: "is TLS misconfigured on the client or the broker?". */
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  readonly isRetriable: boolean = false
  override get message(): string {
    return `${this.broker} refused the connection: ${this.detail}`
  }
}

/**
 * None of the addresses answered. Names every address with its last cause.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokersUnreachable extends TaggedError<BrokersUnreachable>()("BrokersUnreachable", {
  brokers: Schema.Array(Schema.Struct({ address: Schema.String, cause: Schema.String }))
}) {
  readonly isRetriable: boolean = true
  override get message(): string {
    return `no broker could be reached: ${this.brokers.map((b) => `${b.address} (${b.cause})`).join(", ")}`
  }
}

/**
 * A broker answered with an error code.
 *
 * @category errors
 * @since 0.1.0
 */
export class BrokerError extends TaggedError<BrokerError>()("BrokerError", {
  broker: Schema.String,
  request: Schema.String,
  /** The protocol's error code, for example 3. */
  code: Schema.Int,
  topic: Schema.optionalKey(Schema.String),
  partition: Schema.optionalKey(Schema.Int),
  /** The broker's own words, where the answer carries some. */
  detail: Schema.optionalKey(Schema.String)
}) {
  /** The protocol's name of the code, for example `UNKNOWN_TOPIC_OR_PARTITION`. */
  get errorName(): string {
    return errorName(this.code)
  }
  get isRetriable(): boolean {
    return isRetriableCode(this.code)
  }
  override get message(): string {
    const where =
      this.topic === undefined
        ? ""
        : this.partition === undefined
          ? ` for ${this.topic}`
          : ` for ${this.topic}[${this.partition}]`
    return `${this.request} on ${this.broker} answered ${this.errorName}${where}${this.detail ? `: ${this.detail}` : ""}`
  }
}

/**
 * A broker does not speak any version of a request that this library speaks.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedRequest extends TaggedError<UnsupportedRequest>()("UnsupportedRequest", {
  broker: Schema.String,
  request: Schema.String,
  detail: Schema.String
}) {
  readonly isRetriable: boolean = false
  override get message(): string {
    return `${this.broker} cannot answer ${this.request}: ${this.detail}`
  }
}

/**
 * An answer that does not follow the protocol, or holds a number that this library refuses (an offset above 2^53-1).
 *
 * @category errors
 * @since 0.1.0
 */
export class MalformedAnswer extends TaggedError<MalformedAnswer>()("MalformedAnswer", {
  broker: Schema.String,
  request: Schema.String,
  detail: Schema.String
}) {
  readonly isRetriable: boolean = false
  override get message(): string {
    return `${this.request} on ${this.broker}: the answer cannot be read: ${this.detail}`
  }
}

/**
 * Everything a `KafkaClient` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type KafkaError =
  | ConnectionFailed
  | RequestTimedOut
  | AuthenticationFailed
  | BrokersUnreachable
  | BrokerError
  | UnsupportedRequest
  | MalformedAnswer
