/**
 * What can end a table or a write, as tagged errors that say what happened, where, and what to do next.
 *
 * **Example** (Tell a missing topic from an unreachable cluster)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, TableTopic } from "effect-ktables"
 *
 * const flags = TableTopic.make({ name: "flags", key: Schema.String, value: Schema.Boolean })
 *
 * export const size = KafkaTable.make(flags, { ensureTopic: false }).pipe(
 *   Effect.flatMap((table) => table.size),
 *   Effect.catchTags({
 *     TopicNotFound: (error) => Effect.as(Effect.logWarning(error.message), 0),
 *     Unreachable: (error) => Effect.die(error)
 *   }),
 *   Effect.scoped
 * )
 * ```
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import { printedWhole, TaggedError } from "./internal/taggedError.ts"
import type { WriteAck } from "./WriteAck.ts"

const topic = Schema.String
const partition = Schema.Int
const offset = Schema.Number

/**
 * The topic does not exist and was not to be created.
 *
 * @category errors
 * @since 0.1.0
 */
export class TopicNotFound extends TaggedError<TopicNotFound>()("TopicNotFound", { topic }) {
  override get message(): string {
    return `topic ${this.topic} does not exist: is the name right? Create it with KafkaTopic.ensure at deploy time, by starting its writer first, or with ensureTopic: { create: true }`
  }
}

/**
 * The cluster does not allow an operation on the topic.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAuthorized extends TaggedError<NotAuthorized>()("NotAuthorized", {
  topic,
  /** The ACL operation that is missing: `Read`, `Write`, `Describe`, `Create`, `IdempotentWrite`. */
  operation: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `not allowed to ${this.operation} ${this.topic}: ${this.detail}; grant the ACL to this client's principal`
  }
}

/**
 * No broker answered in time. Names every address with its last cause.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unreachable extends TaggedError<Unreachable>()("Unreachable", {
  topic,
  /** Milliseconds tried. */
  waited: Schema.Number,
  brokers: Schema.Array(Schema.Struct({ address: Schema.String, cause: Schema.String }))
}) {
  override get message(): string {
    const brokers = this.brokers.map((b) => `${b.address} (${b.cause})`).join(", ")
    return `no broker answered for ${this.topic} within ${this.waited} ms: ${brokers}; is Kafka running, and are these addresses right?`
  }
}

/**
 * The brokers refused the client: wrong or missing TLS or SASL settings.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthenticationRefused extends TaggedError<AuthenticationRefused>()("AuthenticationRefused", {
  topic,
  broker: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.broker} refused this client: ${this.detail}`
  }
}

/**
 * A topic definition that no broker would take: refused before anything is contacted.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidTopic extends TaggedError<InvalidTopic>()("InvalidTopic", { topic, detail: Schema.String }) {
  override get message(): string {
    return `invalid topic definition ${this.topic}: ${this.detail}`
  }
}

/**
 * An option that does not exist, or whose value cannot be meant: refused before anything is contacted.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOption extends TaggedError<InvalidOption>()("InvalidOption", {
  /** Of which topic's table or writer, or of which derived table; absent where the option is of a client or an operator. */
  topic: Schema.optionalKey(topic),
  /** With its path, for example `fetch.maxWait`; of an operator with its name, for example `Table.map.f`. */
  option: Schema.String,
  given: Schema.String,
  expected: Schema.String
}) {
  override get message(): string {
    const of = this.topic === undefined ? "" : ` of ${this.topic}`
    return `option ${this.option}${of} is ${this.given}: expected ${this.expected}`
  }
}

/**
 * A setting of an existing topic is not as its definition declares it, and harms a table.
 *
 * @category errors
 * @since 0.1.0
 */
export class PolicyMismatch extends TaggedError<PolicyMismatch>()("PolicyMismatch", {
  topic,
  setting: Schema.String,
  /** As declared; a `cleanup.policy` is `compact` unless the definition declares another. */
  expected: Schema.String,
  actual: Schema.String,
  /** What it does to a table. */
  harm: Schema.String
}) {
  override get message(): string {
    return `${this.topic} has ${this.setting}=${this.actual}, declared is ${this.expected}: ${this.harm}; alter the topic, or declare what it has`
  }
}

/**
 * The table was not caught up in time.
 *
 * @category errors
 * @since 0.1.0
 */
export class CatchUpTimeout extends TaggedError<CatchUpTimeout>()("CatchUpTimeout", {
  topic,
  /** Milliseconds waited. */
  waited: Schema.Number,
  /** Records' offsets replayed so far, and where the replay ends. */
  replayed: Schema.Number,
  target: Schema.Number,
  /** Why partitions could not be read when the time was over, with the addresses: each cause once. */
  away: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const next =
      this.away.length > 0
        ? `not connected: ${this.away.join("; ")}; can these addresses be reached from here?`
        : this.target > 0 && this.replayed >= this.target
          ? "what was read is still being decoded: does a codec wait for something?"
          : "raise catchUp.timeout, or start degraded"
    return `${this.topic} was not caught up within ${this.waited} ms: ${this.replayed} of ${this.target} offsets replayed; ${next}`
  }
}

/**
 * A key or value that its codec refuses.
 *
 * @category errors
 * @since 0.1.0
 */
export class DecodeError extends TaggedError<DecodeError>()("DecodeError", {
  topic,
  partition,
  offset,
  part: Schema.Literals(["key", "value"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `the ${this.part} of ${this.topic}[${this.partition}]@${this.offset} does not decode: ${this.detail}`
  }
}

/**
 * The log no longer holds what the table had read: records were truncated by an unclean election, or deleted before they
 * were read.
 *
 * @category errors
 * @since 0.1.0
 */
export class DataLoss extends TaggedError<DataLoss>()("DataLoss", {
  topic,
  partition,
  /** One past the last offset the table had applied. */
  consumedTo: offset,
  /** Where the log now continues. */
  resetTo: offset,
  detail: Schema.String
}) {
  override get message(): string {
    return `lost records of ${this.topic}[${this.partition}]: consumed to ${this.consumedTo}, reset to ${this.resetTo}: ${this.detail}`
  }
}

/**
 * The topic was deleted and made again under the same name, or the address now belongs to another cluster.
 *
 * @category errors
 * @since 0.1.0
 */
export class TopicRecreated extends TaggedError<TopicRecreated>()("TopicRecreated", {
  topic,
  previous: Schema.String,
  current: Schema.String
}) {
  override get message(): string {
    return `${this.topic} is another topic than before (${this.previous} became ${this.current})`
  }
}

/**
 * Keys have records outside their own partition, and which record counts has to be decided again, from the whole log:
 * partitions were added, or a producer with another partitioner wrote a key that may have been deleted in its own
 * partition. It is only ever the reason of a rebuild.
 *
 * @category errors
 * @since 0.1.0
 */
export class KeysMoved extends TaggedError<KeysMoved>()("KeysMoved", { topic, detail: Schema.String }) {
  override get message(): string {
    return `keys of ${this.topic} are in several partitions: ${this.detail}; reading it again settles which record counts`
  }
}

/**
 * The topic was deleted under a live table.
 *
 * @category errors
 * @since 0.1.0
 */
export class TopicDeleted extends TaggedError<TopicDeleted>()("TopicDeleted", { topic }) {
  override get message(): string {
    return `topic ${this.topic} was deleted; the table keeps its last contents`
  }
}

/**
 * A record set that cannot be read, fetched twice with the same result.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnreadableRecords extends TaggedError<UnreadableRecords>()("UnreadableRecords", {
  topic,
  partition,
  /** The first that was not read. */
  offset,
  /** `Corrupt`, `UnsupportedMagic`, `UnsupportedCompression`, `CompressionUnavailable`, `BatchTooLarge`, `OffsetTooLarge`. */
  kind: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.topic}[${this.partition}]@${this.offset} cannot be read (${this.kind}): ${this.detail}`
  }
}

/**
 * The table became larger than `maxEntries` or `maxBytes` allows: perhaps its topic is not the one that was meant.
 *
 * @category errors
 * @since 0.1.0
 */
export class TableTooLarge extends TaggedError<TableTooLarge>()("TableTooLarge", {
  topic,
  limit: Schema.Literals(["maxEntries", "maxBytes"]),
  /** What the option allows. */
  allowed: Schema.Number,
  /** How many there were when the reader gave up; there may be more. */
  counted: Schema.Number
}) {
  override get message(): string {
    const what = this.limit === "maxEntries" ? "entries" : "bytes of keys and values"
    return `the table of ${this.topic} may have ${this.allowed} ${what} (${this.limit}), and ${this.counted} were counted: is it the topic that is meant? If it is, raise ${this.limit}`
  }
}

/**
 * The cluster answered with something that retrying does not cure.
 *
 * @category errors
 * @since 0.1.0
 */
export class ClusterRefused extends TaggedError<ClusterRefused>()("ClusterRefused", {
  topic,
  detail: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `the cluster refused ${this.topic}: ${this.detail}`
  }
}

/**
 * What a barrier still waits for in a partition: records not yet read, a leader that does not answer, or a transaction that
 * is still open.
 *
 * @category models
 * @since 0.1.0
 */
export const WaitingFor: Schema.Struct<{
  readonly partition: Schema.Int
  readonly reason: Schema.Literals<readonly ["behind", "disconnected", "open transaction"]>
  readonly position: Schema.Number
  readonly target: Schema.Number
}> = Schema.Struct({
  partition,
  reason: Schema.Literals(["behind", "disconnected", "open transaction"]),
  position: offset,
  target: offset
})

/**
 * A barrier was not reached in time.
 *
 * @category errors
 * @since 0.1.0
 */
export class BarrierTimeout extends TaggedError<BarrierTimeout>()("BarrierTimeout", {
  topic,
  /** Milliseconds waited. */
  waited: Schema.Number,
  waitingFor: Schema.Array(WaitingFor)
}) {
  override get message(): string {
    const parts = this.waitingFor.map((w) => `[${w.partition}] ${w.reason}, at ${w.position} of ${w.target}`)
    return `the barrier on ${this.topic} was not reached within ${this.waited} ms: ${parts.join("; ")}`
  }
}

/**
 * A table was asked for as it was at an offset that its partition's log has not reached, or has for readers of committed
 * records not reached yet, since a transaction is open.
 *
 * @category errors
 * @since 0.1.0
 */
export class OffsetNotInLog extends TaggedError<OffsetNotInLog>()("OffsetNotInLog", {
  topic,
  partition,
  offset,
  /** One past the last offset that can be read. */
  logEnd: offset
}) {
  override get message(): string {
    return `${this.topic}[${this.partition}] ends at ${this.logEnd}, below the offset ${this.offset} that was asked for: is a transaction open, or are the offsets those of another topic?`
  }
}

/**
 * A single reading of a topic, of the past or of a key's records, was not over in time.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReadTimeout extends TaggedError<ReadTimeout>()("ReadTimeout", {
  topic,
  /** Milliseconds waited. */
  waited: Schema.Number,
  /** Offsets read so far, and in all. */
  replayed: Schema.Number,
  target: Schema.Number,
  /** What held it up: why partitions could not be read, with addresses, and why it was begun again. */
  reasons: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const why = this.reasons.length > 0 ? `: ${this.reasons.join("; ")}` : "; raise timeout"
    return `${this.topic} was not read within ${this.waited} ms, ${this.replayed} of ${this.target} offsets were${why}`
  }
}

/**
 * An offset of another topic, of a partition that the table does not read, or one whose acknowledgement carried no offset:
 * there is nothing to wait for.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAwaitable extends TaggedError<NotAwaitable>()("NotAwaitable", { topic, detail: Schema.String }) {
  override get message(): string {
    return `cannot wait on ${this.topic}: ${this.detail}`
  }
}

/**
 * An acknowledged write that is never to be read: the topic had grown, the writer did not know it yet and put the record
 * where its key belonged before, and the key's partition of today has a record, which counts. It is in the log, and no
 * table shows it. Writing again, with a writer that has learned of the growth, makes it count.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteSuperseded extends TaggedError<WriteSuperseded>()("WriteSuperseded", {
  topic,
  partition,
  offset,
  /** The partition that the key belongs to now. */
  owner: partition
}) {
  override get message(): string {
    return `the write to ${this.topic}[${this.partition}]@${this.offset} does not count: the topic has grown, its key belongs to partition ${this.owner} now and has a record there; write it again`
  }
}

/**
 * The table's scope was closed.
 *
 * @category errors
 * @since 0.1.0
 */
export class TableClosed extends TaggedError<TableClosed>()("TableClosed", { topic }) {
  override get message(): string {
    return `the table of ${this.topic} is closed`
  }
}

/** A defect that was sent or shown elsewhere may come back without its prototype, and then has no text of its own. */
const reasonOf = (cause: unknown): string =>
  typeof cause !== "object" || cause === null
    ? String(cause)
    : "message" in cause
      ? String(cause.message)
      : JSON.stringify(cause)

/**
 * The reader died of a defect: of the library, of a codec, or of a function that was handed to it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ReaderDied extends TaggedError<ReaderDied>()("ReaderDied", { topic, cause: Schema.Defect() }) {
  override get message(): string {
    return `the reader of ${this.topic} died: ${reasonOf(this.cause)}`
  }
}

/**
 * A function that a derived table was made with threw: the table keeps what it showed before, for good.
 *
 * @category errors
 * @since 0.1.0
 */
export class DerivationFailed extends TaggedError<DerivationFailed>()("DerivationFailed", {
  /** The operator, and the table that it was used on: `map(prices)`. */
  table: Schema.String,
  /** The key that it threw for, as text. */
  key: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `${this.table} failed: its function threw for the key ${this.key}: ${reasonOf(this.cause)}; let it give another value, or leave such entries out with onError: "skip"`
  }
}

/**
 * A table that was made with `catchUp: { mode: "background" }` did not get as far as reading; `reason` says why. Made with
 * `await`, the table is not made then, and that reason is what making it fails with.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotStarted extends TaggedError<NotStarted>()("NotStarted", {
  topic,
  reason: Schema.Union([
    TopicNotFound,
    NotAuthorized,
    Unreachable,
    AuthenticationRefused,
    InvalidTopic,
    PolicyMismatch,
    ClusterRefused
  ])
}) {
  override get message(): string {
    return `the table of ${this.topic} did not start: ${this.reason.message}`
  }
}

/**
 * What ends the reader of a table for good: what its `failure`, its streams and `awaitCaughtUp` fail with, and what the
 * status `Failed` shows.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReaderError =
  | NotStarted
  | NotAuthorized
  | AuthenticationRefused
  | ClusterRefused
  | DecodeError
  | DataLoss
  | TopicRecreated
  | TopicDeleted
  | UnreadableRecords
  | TableTooLarge
  | ReaderDied

/**
 * What a `barrier` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type BarrierError = ReaderError | TableClosed | BarrierTimeout | InvalidOption

/**
 * What `awaitOffset` can fail with; `DataLoss` is of the one write here.
 *
 * @category errors
 * @since 0.1.0
 */
export type AwaitOffsetError = ReaderError | TableClosed | NotAwaitable | WriteSuperseded | InvalidOption

/**
 * A key or value that its codec cannot encode: refused before anything is sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class EncodeError extends TaggedError<EncodeError>()("EncodeError", {
  topic,
  part: Schema.Literals(["key", "value"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `a ${this.part} for ${this.topic} does not encode: ${this.detail}`
  }
}

/**
 * The broker did not take the record, and will not without a change: too large, not authorized, no such topic.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteRejected extends TaggedError<WriteRejected>()("WriteRejected", {
  topic,
  partition,
  /** The protocol's error name, for example `MESSAGE_TOO_LARGE`. */
  reason: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.topic}[${this.partition}] did not take the record (${this.reason}): ${this.detail}`
  }
}

/**
 * Whether the record is in the log is not known: the connection was lost or the time ran out after it was sent. Reading the
 * table behind a `barrier` shows which.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteOutcomeUnknown extends TaggedError<WriteOutcomeUnknown>()("WriteOutcomeUnknown", {
  topic,
  partition,
  detail: Schema.String
}) {
  override get message(): string {
    return `whether ${this.topic}[${this.partition}] holds the record is unknown: ${this.detail}`
  }
}

/**
 * The record was not sent in time, and never will be.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriteTimeout extends TaggedError<WriteTimeout>()("WriteTimeout", {
  topic,
  partition,
  /** Milliseconds waited. */
  waited: Schema.Number,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.topic}[${this.partition}]: the record was not sent within ${this.waited} ms: ${this.detail}`
  }
}

/**
 * The writer's scope was closed before the record was sent.
 *
 * @category errors
 * @since 0.1.0
 */
export class WriterClosed extends TaggedError<WriterClosed>()("WriterClosed", { topic }) {
  override get message(): string {
    return `the writer of ${this.topic} is closed`
  }
}

/**
 * A compression whose optional package is not installed.
 *
 * @category errors
 * @since 0.1.0
 */
export class CompressionUnavailable extends TaggedError<CompressionUnavailable>()("CompressionUnavailable", {
  topic,
  compression: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `cannot write ${this.topic} with ${this.compression}: ${this.detail}`
  }
}

/**
 * Everything that a write can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type WriteError =
  | EncodeError
  | InvalidOption
  | WriteRejected
  | WriteOutcomeUnknown
  | WriteTimeout
  | WriterClosed
  | TopicNotFound
  | NotAuthorized
  | AuthenticationRefused
  | ClusterRefused

/**
 * Some entries of a `setAll` were not written, or it is not known whether they were. Names each of them with its own
 * error, and the others with their acknowledgements, both in the order of the entries.
 *
 * @category errors
 * @since 0.1.0
 */
export class SetAllError<K> extends printedWhole(Data.TaggedError("SetAllError"))<{
  readonly topic: string
  readonly failures: ReadonlyArray<{ readonly key: K; readonly error: WriteError }>
  readonly acks: ReadonlyArray<{ readonly key: K; readonly ack: WriteAck }>
}> {
  override get message(): string {
    const first = this.failures[0]
    const total = this.failures.length + this.acks.length
    return `${this.failures.length} of ${total} entries were not acknowledged by ${this.topic}${first === undefined ? "" : `, the first: ${first.error.message}`}`
  }
}
