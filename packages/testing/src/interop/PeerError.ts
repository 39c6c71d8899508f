/**
 * What can go wrong with a peer: a process of another Kafka client that tests compare with.
 */
import { Schema } from "effect"

/** The peer cannot run on this machine; `detail` says what is missing or what its installation said. */
export class PeerUnavailable extends Schema.TaggedError<PeerUnavailable>()("PeerUnavailable", {
  peer: Schema.String,
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `the ${this.peer} peer cannot run here: ${this.detail}`
  }
}

/** The peer answered that a request failed, with the type of its own error. */
export class PeerFailed extends Schema.TaggedError<PeerFailed>()("PeerFailed", {
  peer: Schema.String,
  request: Schema.String,
  /** The class of the error in the peer: `org.apache.kafka.common.errors.TopicExistsException`. */
  type: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.request} in the ${this.peer} peer: ${this.type}: ${this.detail}`
  }
}

/** The peer ended, or gave no answer in time; `detail` ends with its last words on stderr. */
export class PeerLost extends Schema.TaggedError<PeerLost>()("PeerLost", {
  peer: Schema.String,
  request: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.request} in the ${this.peer} peer: ${this.detail}`
  }
}

export type PeerError = PeerUnavailable | PeerFailed | PeerLost
