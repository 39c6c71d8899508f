/**
 * Writes the topic of a grouped table: sets and deletes members of groups.
 *
 * **Details**
 *
 * It is a `KafkaTableWriter` whose keys are given in two parts, and all that is promised of one holds for it. Each member is a
 * key of its own: writers of different members of one group never overwrite each other.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, type Scope } from "effect"
import type { GroupKey } from "./Codec.ts"
import * as Check from "./internal/options.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import * as KafkaTableWriter from "./KafkaTableWriter.ts"
import type { SetAllError, WriteError } from "./TableError.ts"
import { type GroupedTopic, isGrouped } from "./TableTopic.ts"
import type { WriteAck } from "./WriteAck.ts"

const TypeId = "~effect-ktables/GroupedKafkaTableWriter"

/**
 * A writer of the values `V` of members `M` of groups `G` in one topic.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupedKafkaTableWriter<in G, in M, in V> {
  readonly [TypeId]: typeof TypeId
  readonly topic: string
  /** Writes the value of a member. Succeeds once the broker has acknowledged it as `acks` says. */
  readonly set: (
    group: G,
    member: M,
    value: V,
    options?: KafkaTableWriter.WriteOptions
  ) => Effect.Effect<WriteAck, WriteError>
  /** Writes a tombstone, also where the member is not in the table. A group is gone with its last member. */
  readonly delete: (group: G, member: M, options?: KafkaTableWriter.WriteOptions) => Effect.Effect<WriteAck, WriteError>
  /**
   * Writes all entries, in their order per partition, and answers with their acknowledgements in the order of the
   * entries. An entry that fails keeps no other from being written.
   */
  readonly setAll: <Key extends GroupKey<G, M>>(
    entries: Iterable<readonly [key: Key, value: V, options?: KafkaTableWriter.WriteOptions]>
  ) => Effect.Effect<ReadonlyArray<WriteAck>, SetAllError<Key>>
  /**
   * Writes the value of a member now and again every so often while the scope is open, and a tombstone when it closes, as
   * `keepAlive` of a `KafkaTableWriter` does.
   */
  readonly keepAlive: (
    group: G,
    member: M,
    value: V,
    options: KafkaTableWriter.KeepAliveOptions
  ) => Effect.Effect<KafkaTableWriter.KeepAlive, WriteError, Scope.Scope>
}

const checkTopic = Check.satisfies("a topic, as TableTopic.grouped defines it", isGrouped)

/**
 * Starts a writer, which writes until the scope closes; options and errors are those of `KafkaTableWriter.make`.
 *
 * **Example** (A host that announces itself)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { GroupedKafkaTableWriter, TableTopic } from "effect-ktables"
 *
 * const hosts = TableTopic.grouped({
 *   name: "hosts",
 *   group: Schema.String,
 *   member: Schema.String,
 *   value: Schema.Struct({ port: Schema.Int })
 * })
 *
 * export const announced = Effect.gen(function* () {
 *   const writer = yield* GroupedKafkaTableWriter.make(hosts)
 *   return yield* Effect.acquireRelease(writer.set("billing", "host-a", { port: 8080 }), () =>
 *     Effect.ignore(writer.delete("billing", "host-a"))
 *   )
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* <G, M, V, RD, RE>(
  topic: GroupedTopic<G, M, V, RD, RE>,
  options?: KafkaTableWriter.Options
): Effect.fn.Return<GroupedKafkaTableWriter<G, M, V>, KafkaTableWriter.StartError, KafkaClient | RE | Scope.Scope> {
  yield* Check.taken(checkTopic, topic, undefined, "topic")
  const writer = yield* KafkaTableWriter.make(topic, options)
  return {
    [TypeId]: TypeId,
    topic: writer.topic,
    set: (group, member, value, options) => writer.set({ group, member }, value, options),
    delete: (group, member, options) => writer.delete({ group, member }, options),
    setAll: writer.setAll,
    keepAlive: (group, member, value, options) => writer.keepAlive({ group, member }, value, options)
  }
})

/**
 * A layer of a writer under a tag of your own.
 *
 * **Gotchas**
 *
 * Layers are shared by reference: keep the result in a constant, since each call makes another writer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, G, M, V, RD, RE>(
  tag: Context.Key<Self, GroupedKafkaTableWriter<G, M, V>>,
  topic: GroupedTopic<G, M, V, RD, RE>,
  options?: KafkaTableWriter.Options
): Layer.Layer<Self, KafkaTableWriter.StartError, KafkaClient | Exclude<RE, Scope.Scope>> =>
  Layer.effect(tag, make(topic, options))

/**
 * A service class of a writer, as `Service` makes it.
 *
 * @category services
 * @since 0.1.0
 */
export interface ServiceClass<
  in out Self,
  in out Id extends string,
  in out G,
  in out M,
  in out V,
  in out RE
> extends Context.ServiceClass<Self, Id, GroupedKafkaTableWriter<G, M, V>> {
  readonly topic: GroupedTopic<G, M, V, never, RE>
  /** A writer with the default options; one value, so that all who provide it share the writer. */
  readonly layer: Layer.Layer<Self, KafkaTableWriter.StartError, KafkaClient | Exclude<RE, Scope.Scope>>
  /** A writer with options of your own; keep the result in a constant. */
  readonly layerWith: (
    options: KafkaTableWriter.Options
  ) => Layer.Layer<Self, KafkaTableWriter.StartError, KafkaClient | Exclude<RE, Scope.Scope>>
}

/**
 * Defines the service class of one topic's writer.
 *
 * **Example** (A writer of hosts)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { GroupedKafkaTableWriter, TableTopic } from "effect-ktables"
 *
 * const hosts = TableTopic.grouped({
 *   name: "hosts",
 *   group: Schema.String,
 *   member: Schema.String,
 *   value: Schema.Struct({ port: Schema.Int })
 * })
 *
 * class HostsWriter extends GroupedKafkaTableWriter.Service<HostsWriter>()("app/HostsWriter", hosts) {}
 *
 * export const announce = HostsWriter.use((writer) => writer.set("billing", "host-a", { port: 8080 })).pipe(
 *   Effect.provide(HostsWriter.layer)
 * )
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self>() =>
  <const Id extends string, G, M, V, RD, RE>(
    id: Id,
    topic: GroupedTopic<G, M, V, RD, RE>
  ): ServiceClass<Self, Id, G, M, V, RE> => {
    const tag = Context.Service<Self, GroupedKafkaTableWriter<G, M, V>>()(id)
    return Object.assign(tag, {
      topic,
      layer: layer(tag, topic),
      layerWith: (options: KafkaTableWriter.Options) => layer(tag, topic, options)
    }) as unknown as ServiceClass<Self, Id, G, M, V, RE>
  }
