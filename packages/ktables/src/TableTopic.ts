/**
 * The one definition of a topic that its tables and writers share: name, codecs, and how the topic is created.
 *
 * @since 0.1.0
 */
import * as Pipeable from "effect/Pipeable"
import * as Schema from "effect/Schema"
import * as Codec from "./Codec.ts"
import * as Check from "./internal/options.ts"

const GroupedTypeId = "~effect-ktables/TableTopic/Grouped"

/**
 * A topic with keys `K` and values `V`. `RD` and `RE` are the services that its codecs need to decode and encode.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableTopic<in out K, in out V, out RD = never, out RE = never> extends Pipeable.Pipeable {
  readonly name: string
  readonly key: Codec.Codec<K, RD, RE>
  readonly value: Codec.Codec<V, RD, RE>
  /** How many partitions a created topic gets. */
  readonly partitions: number
  /** How many replicas a created topic gets; -1 for the broker's default. */
  readonly replicationFactor: number
  /** The settings a created topic gets; `cleanup.policy` is `compact` unless said otherwise. */
  readonly config: Readonly<Record<string, string>>
}

/**
 * A topic whose keys are members of groups, as `grouped` defines it: what `GroupedKafkaTable` reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupedTopic<in out G, in out M, in out V, out RD = never, out RE = never> extends TableTopic<
  Codec.GroupKey<G, M>,
  V,
  RD,
  RE
> {
  readonly [GroupedTypeId]: typeof GroupedTypeId
}

/**
 * A schema whose encoded side is a string: what a key may be.
 *
 * @category models
 * @since 0.1.0
 */
export type KeySchema = Schema.ConstraintCodec<unknown, string, unknown, unknown>

/**
 * What every topic is defined by, beside its keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions<Value extends Schema.Constraint | Codec.Any> {
  readonly name: string
  /** A schema, written as JSON, or a codec. */
  readonly value: Value
  /** For a topic that is created. Default: 1. */
  readonly partitions?: number | undefined
  /** For a topic that is created. Default: -1, the broker's default. */
  readonly replicationFactor?: number | undefined
  /** For a topic that is created, over `{ "cleanup.policy": "compact" }`. Default: nothing more. */
  readonly config?: Readonly<Record<string, string>> | undefined
}

/**
 * Settings of a topic of who is present, for `KafkaTableWriter.keepAlive` and `Table.expire`: brokers stamp the records, so that
 * ages do not depend on the clocks of those who write, and what was not written for a day is deleted from the log, also where
 * its process was killed and nobody else has its key.
 *
 * **Gotchas**
 *
 * Brokers delete whole segments, and this one takes an hour to end: entries of the dead are in the topic for up to a day and
 * an hour or so, and tables show them for as long, but for those that `Table.expire` gives.
 *
 * @category constants
 * @since 0.1.0
 */
export const presence: Readonly<Record<string, string>> = Object.freeze({
  "cleanup.policy": "compact,delete",
  "message.timestamp.type": "LogAppendTime",
  "retention.ms": "86400000",
  "segment.ms": "3600000"
})

/**
 * Options of `make`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  Key extends KeySchema | Codec.Any,
  Value extends Schema.Constraint | Codec.Any
> extends CommonOptions<Value> {
  /** A schema that encodes to a string, written as UTF-8, or a codec. */
  readonly key: Key
}

/**
 * Options of `grouped`.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupedOptions<
  Group extends KeySchema | Codec.Any,
  Member extends KeySchema | Codec.Any,
  Value extends Schema.Constraint | Codec.Any
> extends CommonOptions<Value> {
  /** A schema that encodes to a string, or a codec that gives UTF-8 text. */
  readonly group: Group
  /** As `group`. */
  readonly member: Member
}

/**
 * Options of `grouped`, for keys that are laid out in another way.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupedKeyOptions<
  G,
  M,
  RD,
  RE,
  Value extends Schema.Constraint | Codec.Any
> extends CommonOptions<Value> {
  /** A codec of its own for the whole key. Different pairs must have different keys. */
  readonly key: Codec.Codec<Codec.GroupKey<G, M>, RD, RE>
}

/** What a schema or codec decodes to. */
type TypeOf<S> =
  S extends Codec.Codec<infer A, infer _RD, infer _RE> ? A : S extends Schema.Constraint ? S["Type"] : never
type DecodingOf<S> =
  S extends Codec.Codec<infer _A, infer RD, infer _RE>
    ? RD
    : S extends Schema.Constraint
      ? S["DecodingServices"]
      : never
type EncodingOf<S> =
  S extends Codec.Codec<infer _A, infer _RD, infer RE>
    ? RE
    : S extends Schema.Constraint
      ? S["EncodingServices"]
      : never

const isSchemaOrCodec = (value: unknown): boolean => Codec.isCodec(value) || Schema.isSchema(value)
const aNumber = Check.satisfies("a number", (value) => typeof value === "number")
const aKey = Check.required(Check.satisfies("a Schema that encodes to a string, or a Codec", isSchemaOrCodec))
const common = {
  name: Check.required(Check.satisfies("a string", (value) => typeof value === "string")),
  value: Check.required(Check.satisfies("a Schema or a Codec", isSchemaOrCodec)),
  partitions: aNumber,
  replicationFactor: aNumber,
  config: Check.settings
}
const checkOptions = Check.record<Options<KeySchema, Schema.Constraint>>({ ...common, key: aKey })
const checkParts = Check.record<GroupedOptions<KeySchema, KeySchema, Schema.Constraint>>({
  ...common,
  group: aKey,
  member: aKey
})
const checkKey = Check.record<GroupedKeyOptions<unknown, unknown, unknown, unknown, Schema.Constraint>>({
  ...common,
  key: Check.required(Check.satisfies("a Codec", Codec.isCodec))
})

const keyCodec = (key: KeySchema | Codec.Any): Codec.Any => (Codec.isCodec(key) ? key : Codec.text(key))

const define = (options: CommonOptions<Schema.Constraint | Codec.Any>, key: Codec.Any, marks: object = {}) =>
  Object.assign(Object.create(Proto), {
    ...marks,
    name: options.name,
    key,
    value: Codec.isCodec(options.value) ? options.value : Codec.json(options.value as Schema.Constraint),
    partitions: options.partitions ?? 1,
    replicationFactor: options.replicationFactor ?? -1,
    config: { "cleanup.policy": "compact", ...options.config }
  })

/**
 * Defines a topic. Nothing is contacted.
 *
 * **Gotchas**
 *
 * A name or number that no broker takes is refused as `InvalidTopic` by what creates or reads the topic, before it
 * connects. What no type would let pass (an unknown option, a key that is no schema) throws `InvalidOption` here.
 *
 * **Example** (A registry of services)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { TableTopic } from "effect-ktables"
 *
 * class ServiceRecord extends Schema.Class<ServiceRecord>("ServiceRecord")({
 *   host: Schema.String,
 *   port: Schema.Int
 * }) {}
 *
 * export const services = TableTopic.make({ name: "my.registry", key: Schema.String, value: ServiceRecord })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const Key extends KeySchema | Codec.Any, const Value extends Schema.Constraint | Codec.Any>(
  given: Options<Key, Value>
): TableTopic<TypeOf<Key>, TypeOf<Value>, DecodingOf<Key> | DecodingOf<Value>, EncodingOf<Key> | EncodingOf<Value>> => {
  const options = Check.takenOrThrow(checkOptions, given)
  return define(options, keyCodec(options.key))
}

/**
 * Defines a topic whose keys are members of groups. Nothing is contacted.
 *
 * **When to use**
 *
 * Where many processes each write an entry of their own, and readers want all entries of one group: the hosts of a service,
 * the sessions of a user. Each pair of group and member is a key of its own, so that no two writers have one in common, and
 * nothing is read before it is written.
 *
 * **Details**
 *
 * Keys are those of Python's `ktables`: see `Codec.grouped`. A `GroupedKafkaTable` reads the topic by group; a `KafkaTable` of
 * it works as well, and has keys of the form `{ group, member }`.
 *
 * **Gotchas**
 *
 * Keep other keys out of the topic: one that happens to have this form is taken for a member. What has another form is a key
 * that does not decode; it is counted and passed over.
 *
 * **Example** (The hosts of each service)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { TableTopic } from "effect-ktables"
 *
 * export const hosts = TableTopic.grouped({
 *   name: "hosts",
 *   group: Schema.String,
 *   member: Schema.String,
 *   value: Schema.Struct({ port: Schema.Int })
 * })
 * ```
 *
 * **Example** (Keys of one's own form)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Codec, TableTopic } from "effect-ktables"
 *
 * // Services have no slash in their names.
 * const path = Codec.string.pipe(
 *   Codec.map(
 *     (text) => {
 *       const at = text.indexOf("/")
 *       if (at < 0) throw new Error("there is no slash")
 *       return { group: text.slice(0, at), member: text.slice(at + 1) }
 *     },
 *     ({ group, member }) => `${group}/${member}`
 *   )
 * )
 *
 * export const hosts = TableTopic.grouped({ name: "hosts", key: path, value: Schema.Int })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const grouped: {
  <
    const Group extends KeySchema | Codec.Any,
    const Member extends KeySchema | Codec.Any,
    const Value extends Schema.Constraint | Codec.Any
  >(
    options: GroupedOptions<Group, Member, Value>
  ): GroupedTopic<
    TypeOf<Group>,
    TypeOf<Member>,
    TypeOf<Value>,
    DecodingOf<Group> | DecodingOf<Member> | DecodingOf<Value>,
    EncodingOf<Group> | EncodingOf<Member> | EncodingOf<Value>
  >
  <G, M, RD, RE, const Value extends Schema.Constraint | Codec.Any>(
    options: GroupedKeyOptions<G, M, RD, RE, Value>
  ): GroupedTopic<G, M, TypeOf<Value>, RD | DecodingOf<Value>, RE | EncodingOf<Value>>
} = (
  given:
    | GroupedOptions<KeySchema | Codec.Any, KeySchema | Codec.Any, Schema.Constraint | Codec.Any>
    | GroupedKeyOptions<unknown, unknown, unknown, unknown, Schema.Constraint | Codec.Any>
) => {
  const marks = { [GroupedTypeId]: GroupedTypeId }
  if (typeof given === "object" && given !== null && "key" in given) {
    const options = Check.takenOrThrow(checkKey, given)
    return define(options, options.key, marks)
  }
  const options = Check.takenOrThrow(checkParts, given)
  return define(options, Codec.grouped(keyCodec(options.group), keyCodec(options.member)), marks)
}

/**
 * Tells whether a topic's keys are members of groups.
 *
 * @category guards
 * @since 0.1.0
 */
// oxlint-disable-next-line typescript/no-explicit-any
export const isGrouped = (u: unknown): u is GroupedTopic<any, any, any, any, any> =>
  typeof u === "object" && u !== null && GroupedTypeId in u

const Proto = new (class extends Pipeable.Class {})()
