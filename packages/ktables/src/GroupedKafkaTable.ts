/**
 * A Kafka topic as a table of groups: each member of a group is a key of its own, and a read by group costs what it gives.
 *
 * **When to use**
 *
 * Where many processes each write an entry of their own under a common name, and readers want all of them: the hosts of a
 * service, the sessions of a user, the members of a room. No two writers have a key in common, so that none reads before it
 * writes, and none overwrites another.
 *
 * **Details**
 *
 * It is a `KafkaTable` with keys of the form `{ group, member }`, and all that is promised of one holds for it. Groups are not
 * copied: the table finds its entries by group and member, and so has both at hand. A group is there while it has members.
 *
 * Topics, keys and values are those of Python's `ktables` 2.0.0: either side reads what the other writes and deletes, in any
 * number of partitions, since both place keys as Java's clients do.
 *
 * **Gotchas**
 *
 * A key of another form is one that does not decode: whether it is set or deleted, it is counted (`keyDecodeErrors` among the
 * `stats` of `health`, `ktables_errors_total` with the kind `key decode`), logged now and then, and passed over, unless
 * `onDecodeError` says something else.
 *
 * @since 0.1.0
 */
import { Context, Effect, Layer, type Scope } from "effect"
import type { GroupKey } from "./Codec.ts"
import * as Check from "./internal/options.ts"
import { GroupRoutes } from "./internal/operators/groupRoutes.ts"
import { oneGroup } from "./internal/operators/oneGroup.ts"
import type { Cell } from "./internal/table/cell.ts"
import { CellTable } from "./internal/table/cellTable.ts"
import { GroupedTableView } from "./internal/table/groupedView.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import * as KafkaTable from "./KafkaTable.ts"
import type { Table } from "./Table.ts"
import type { TableEntry, WithHeaders as EntryWithHeaders } from "./TableEntry.ts"
import type { ReaderError } from "./TableError.ts"
import { type GroupedTopic, isGrouped } from "./TableTopic.ts"

const TypeId = "~effect-ktables/GroupedKafkaTable"

// ---------------------------------------------------------------------------------------------------------------------
// models
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The view of a grouped table: a standard read-only map by keys, and the reads by group without an effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupedView<G, M, V> extends ReadonlyMap<GroupKey<G, M>, V> {
  readonly groups: () => ReadonlyArray<G>
  readonly members: (group: G) => ReadonlyArray<readonly [M, V]>
  readonly memberCount: (group: G) => number
  readonly hasGroup: (group: G) => boolean
}

/**
 * The reads by group.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupReads<in out G, in out M, in out V, out E = never> {
  readonly view: GroupedView<G, M, V>

  /** All groups: a copy, in no promised order. */
  readonly groups: Effect.Effect<ReadonlyArray<G>>
  /** The members of a group with their values: a copy, in no promised order; empty where there is no such group. */
  readonly members: (group: G) => Effect.Effect<ReadonlyArray<readonly [M, V]>>
  readonly memberCount: (group: G) => Effect.Effect<number>
  /** Whether the group has a member. */
  readonly hasGroup: (group: G) => Effect.Effect<boolean>
  /**
   * The table of one group by its members, for as long as the scope is open: to be followed, watched and derived from. It is
   * in step with this table as derived tables are, and contains nothing while the group has no member.
   *
   * **Gotchas**
   *
   * It is a copy, made in time proportional to the group. To read a group now and then, `members` needs no table.
   */
  readonly group: (group: G) => Effect.Effect<Table<M, V, E>, never, Scope.Scope>
}

/**
 * A live table of a topic whose keys are members of groups. `Entry` is what it knows of each entry, as in `KafkaTable`.
 *
 * @category models
 * @since 0.1.0
 */
export interface GroupedKafkaTable<
  in out G,
  in out M,
  in out V,
  out Entry extends TableEntry<GroupKey<G, M>, V> = TableEntry<GroupKey<G, M>, V>
>
  extends KafkaTable.KafkaTable<GroupKey<G, M>, V, Entry>, GroupReads<G, M, V, ReaderError> {
  readonly [TypeId]: typeof TypeId
  readonly view: GroupedView<G, M, V>
}

/**
 * A grouped topic's table as it was: a table that never changes, with the reads by group.
 *
 * @category models
 * @since 0.1.0
 */
export interface Past<
  in out G,
  in out M,
  in out V,
  out Entry extends TableEntry<GroupKey<G, M>, V> = TableEntry<GroupKey<G, M>, V>
>
  extends KafkaTable.Past<GroupKey<G, M>, V, Entry>, GroupReads<G, M, V> {
  readonly view: GroupedView<G, M, V>
}

/**
 * A grouped table that keeps headers.
 *
 * @category models
 * @since 0.1.0
 */
export interface WithHeaders<in out G, in out M, in out V> extends GroupedKafkaTable<
  G,
  M,
  V,
  EntryWithHeaders<GroupKey<G, M>, V>
> {}

/**
 * Any grouped table.
 *
 * @category models
 * @since 0.1.0
 */
// oxlint-disable-next-line typescript/no-explicit-any
export type Any = GroupedKafkaTable<any, any, any>

/**
 * Tells whether a value is a grouped table.
 *
 * @category guards
 * @since 0.1.0
 */
export const isGroupedKafkaTable = (u: unknown): u is Any => typeof u === "object" && u !== null && TypeId in u

// ---------------------------------------------------------------------------------------------------------------------
// constructors
// ---------------------------------------------------------------------------------------------------------------------

const checkTopic = Check.satisfies("a topic, as TableTopic.grouped defines it", isGrouped)

/**
 * Builds a grouped table in the current scope; options and errors are those of `KafkaTable.make`.
 *
 * **Example** (The hosts of a service)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { GroupedKafkaTable, GroupedKafkaTableWriter, TableTopic } from "effect-ktables"
 *
 * const hosts = TableTopic.grouped({
 *   name: "hosts",
 *   group: Schema.String,
 *   member: Schema.String,
 *   value: Schema.Struct({ port: Schema.Int })
 * })
 *
 * export const program = Effect.gen(function* () {
 *   const table = yield* GroupedKafkaTable.make(hosts)
 *   const writer = yield* GroupedKafkaTableWriter.make(hosts)
 *   const ack = yield* writer.set("billing", "host-a", { port: 8080 })
 *   yield* table.awaitOffset(ack)
 *   return yield* table.members("billing")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fn("GroupedKafkaTable.make")(function* <
  G,
  M,
  V,
  RD,
  RE,
  R = never,
  const Headers extends boolean = false,
  const Checkpoint extends KafkaTable.CheckpointOptions | undefined = undefined
>(
  topic: GroupedTopic<G, M, V, RD, RE>,
  options?: KafkaTable.Options<R, Headers, Checkpoint>
): Effect.fn.Return<
  GroupedKafkaTable<G, M, V, KafkaTable.Entry<GroupKey<G, M>, V, Headers>>,
  KafkaTable.StartError,
  KafkaClient | RD | R | KafkaTable.Needs<Checkpoint> | Scope.Scope
> {
  yield* Check.taken(checkTopic, topic, undefined, "topic")
  const table = yield* KafkaTable.make(topic, options)
  return Object.assign(table, { [TypeId]: TypeId, ...readsOf<G, M, V, ReaderError>(table) } as const)
})

/** Of a table whose contents are found by group and member. */
const readsOf = <G, M, V, E>(table: object): GroupReads<G, M, V, E> => {
  const cell: Cell<GroupKey<G, M>, V, E> = CellTable.cellOf(table)
  const view = new GroupedTableView(cell)
  const routes = new GroupRoutes(cell)
  return {
    view,
    groups: Effect.sync(() => view.groups()),
    members: (group) => Effect.sync(() => view.members(group)),
    memberCount: (group) => Effect.sync(() => view.memberCount(group)),
    hasGroup: (group) => Effect.sync(() => view.hasGroup(group)),
    group: (group) => Effect.map(oneGroup(routes, group), (cell) => new CellTable(cell))
  }
}

/**
 * The table as it was at a time, or at offsets, with the reads by group; point, options and errors are those of
 * `KafkaTable.at`, as is what is proven of it.
 *
 * **Example** (Who was in the room at noon)
 *
 * ```ts
 * import { Schema, Effect } from "effect"
 * import { GroupedKafkaTable, TableTopic } from "effect-ktables"
 *
 * const rooms = TableTopic.grouped({ name: "rooms", group: Schema.String, member: Schema.String, value: Schema.String })
 *
 * export const atNoon = Effect.gen(function* () {
 *   const past = yield* GroupedKafkaTable.at(rooms, new Date("2026-05-01T12:00:00Z"))
 *   return yield* past.members("lobby")
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const at = Effect.fn("GroupedKafkaTable.at")(function* <
  G,
  M,
  V,
  RD,
  RE,
  R = never,
  const Headers extends boolean = false
>(
  topic: GroupedTopic<G, M, V, RD, RE>,
  point: KafkaTable.LogPoint,
  options?: KafkaTable.AtOptions<R, Headers>
): Effect.fn.Return<
  Past<G, M, V, KafkaTable.Entry<GroupKey<G, M>, V, Headers>>,
  KafkaTable.AtError,
  KafkaClient | RD | R
> {
  yield* Check.taken(checkTopic, topic, undefined, "topic")
  const past = yield* KafkaTable.at(topic, point, options)
  return Object.assign(past, readsOf<G, M, V, never>(past))
})

// ---------------------------------------------------------------------------------------------------------------------
// layers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A layer that builds a grouped table for a service of your own.
 *
 * **Gotchas**
 *
 * Layers are shared by reference: keep the result in a constant, since each call makes another reader.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: {
  <Self, G, M, V, RD, RE, R = never, Checkpoint extends KafkaTable.CheckpointOptions | undefined = undefined>(
    tag: Context.Key<Self, WithHeaders<G, M, V>>,
    topic: GroupedTopic<G, M, V, RD, RE>,
    options: KafkaTable.Options<R, true, Checkpoint> & { readonly headers: true }
  ): Layer.Layer<Self, KafkaTable.StartError, LayerNeeds<RD | R, Checkpoint>>
  <
    Self,
    Shape extends GroupedKafkaTable<G, M, V>,
    G,
    M,
    V,
    RD,
    RE,
    R = never,
    Checkpoint extends KafkaTable.CheckpointOptions | undefined = undefined
  >(
    tag: Context.Key<Self, Shape> & Makes<GroupedKafkaTable<G, M, V>, Shape>,
    topic: GroupedTopic<G, M, V, RD, RE>,
    options?: KafkaTable.Options<R, boolean, Checkpoint>
  ): Layer.Layer<Self, KafkaTable.StartError, LayerNeeds<RD | R, Checkpoint>>
} = <Self, G, M, V, RD, RE, R = never, Checkpoint extends KafkaTable.CheckpointOptions | undefined = undefined>(
  tag: Context.Key<Self, GroupedKafkaTable<G, M, V>>,
  topic: GroupedTopic<G, M, V, RD, RE>,
  options?: KafkaTable.Options<R, boolean, Checkpoint>
): Layer.Layer<Self, KafkaTable.StartError, LayerNeeds<RD | R, Checkpoint>> => Layer.effect(tag, make(topic, options))

/** As of a table of a topic: its codecs' services, but for the scope, which is the layer's own, and the store. */
type LayerNeeds<R, Checkpoint extends KafkaTable.CheckpointOptions | undefined> =
  | KafkaClient
  | Exclude<R | KafkaTable.Needs<Checkpoint>, Scope.Scope>

/** No tag of a table that keeps headers: these are asked for by the option. */
type Makes<Made, Shape> = [Made] extends [Shape] ? unknown : never

/**
 * A service class whose service is a grouped table.
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
  out RD,
  out RE
> extends Context.ServiceClass<Self, Id, GroupedKafkaTable<G, M, V>> {
  readonly topic: GroupedTopic<G, M, V, RD, RE>
  /** The table with default options; one reader wherever it is provided. */
  readonly layer: Layer.Layer<Self, KafkaTable.StartError, KafkaClient | Exclude<RD, Scope.Scope>>
  /** A new layer with these options; keep it in a constant. */
  readonly layerWith: <R = never, Checkpoint extends KafkaTable.CheckpointOptions | undefined = undefined>(
    options: KafkaTable.Options<R, boolean, Checkpoint>
  ) => Layer.Layer<Self, KafkaTable.StartError, LayerNeeds<RD | R, Checkpoint>>
}

/**
 * Defines a service for the grouped table of a topic.
 *
 * **Example** (The hosts of each service)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { GroupedKafkaTable, TableTopic } from "effect-ktables"
 * import * as MemoryKafka from "effect-ktables/MemoryKafka"
 *
 * const hosts = TableTopic.grouped({
 *   name: "hosts",
 *   group: Schema.String,
 *   member: Schema.String,
 *   value: Schema.Struct({ port: Schema.Int })
 * })
 *
 * class Hosts extends GroupedKafkaTable.Service<Hosts>()("app/Hosts", hosts) {}
 *
 * export const main = Hosts.use((table) => table.members("billing")).pipe(
 *   Effect.provide(Hosts.layer),
 *   Effect.provide(MemoryKafka.layer)
 * )
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self>() =>
  <const Id extends string, G, M, V, RD = never, RE = never>(
    id: Id,
    topic: GroupedTopic<G, M, V, RD, RE>
  ): ServiceClass<Self, Id, G, M, V, RD, RE> => {
    const tag = Context.Service<Self, GroupedKafkaTable<G, M, V>>()(id)
    const layerWith = <R, Checkpoint extends KafkaTable.CheckpointOptions | undefined = undefined>(
      options: KafkaTable.Options<R, boolean, Checkpoint>
    ) => layer(tag, topic, options)
    return Object.assign(tag, { topic, layer: layerWith({}), layerWith }) as ServiceClass<Self, Id, G, M, V, RD, RE>
  }
