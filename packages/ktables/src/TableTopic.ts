/**
 * The one definition of a topic that its tables and writers share: name, codecs, and how the topic is created.
 *
 * @since 0.1.0
 */
import * as Pipeable from "effect/Pipeable"
import * as Schema from "effect/Schema"
import * as Codec from "./Codec.ts"
import * as Check from "./internal/options.ts"

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
 * A schema whose encoded side is a string: what a key may be.
 *
 * @category models
 * @since 0.1.0
 */
export type KeySchema = Schema.ConstraintCodec<unknown, string, unknown, unknown>

/**
 * Options of `make`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Key extends KeySchema | Codec.Any, Value extends Schema.Constraint | Codec.Any> {
  readonly name: string
  /** A schema that encodes to a string, written as UTF-8, or a codec. */
  readonly key: Key
  /** A schema, written as JSON, or a codec. */
  readonly value: Value
  /** For a topic that is created. Default: 1. */
  readonly partitions?: number | undefined
  /** For a topic that is created. Default: -1, the broker's default. */
  readonly replicationFactor?: number | undefined
  /** For a topic that is created, over `{ "cleanup.policy": "compact" }`. Default: nothing more. */
  readonly config?: Readonly<Record<string, string>> | undefined
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
const checkOptions = Check.record<Options<KeySchema, Schema.Constraint>>({
  name: Check.required(Check.satisfies("a string", (value) => typeof value === "string")),
  key: Check.required(Check.satisfies("a Schema that encodes to a string, or a Codec", isSchemaOrCodec)),
  value: Check.required(Check.satisfies("a Schema or a Codec", isSchemaOrCodec)),
  partitions: aNumber,
  replicationFactor: aNumber,
  config: Check.settings
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
  const key = Codec.isCodec(options.key) ? options.key : Codec.text(options.key as KeySchema)
  const value = Codec.isCodec(options.value) ? options.value : Codec.json(options.value as Schema.Constraint)
  return Object.assign(Object.create(Proto), {
    name: options.name,
    key,
    value,
    partitions: options.partitions ?? 1,
    replicationFactor: options.replicationFactor ?? -1,
    config: { "cleanup.policy": "compact", ...options.config }
  })
}

const Proto = new (class extends Pipeable.Class {})()
