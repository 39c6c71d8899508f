/**
 * Tables of one shape by name, made when they are first asked for, shared while somebody uses them, and closed when nobody
 * has for a while: one table for each tenant, region or device class, with topics that are only known at run time.
 *
 * **When to use**
 *
 * Use when a program learns at run time which topics it needs. Topics that are known beforehand are better services of their
 * own (`KafkaTable.Service`), whose layers start before the program does.
 *
 * **Details**
 *
 * Tables of one client share what can be shared: what is known of a topic, the requests that ask for it, and the connections
 * to each broker (`docs/operations.md` has the figures).
 *
 * Of grouped topics they are grouped tables: what a topic is decides, here as in `GroupedKafkaTable`.
 *
 * @since 0.1.0
 */
import { Context, type Duration, Effect, Exit, Layer, MutableHashMap, Option, RcMap, Scope } from "effect"
import type { GroupKey } from "./Codec.ts"
import * as GroupedKafkaTable from "./GroupedKafkaTable.ts"
import * as Check from "./internal/options.ts"
import { CellTable } from "./internal/table/cellTable.ts"
import type { KafkaClient } from "./KafkaClient.ts"
import * as KafkaTable from "./KafkaTable.ts"
import type { TableEntry } from "./TableEntry.ts"
import type { InvalidOption } from "./TableError.ts"
import { type GroupedTopic, isGrouped, type TableTopic } from "./TableTopic.ts"

const TypeId = "~effect-ktables/KafkaTables"

/**
 * Tables by name. Make one with `make`. `Entry` is what each knows of its entries, as in `KafkaTable`.
 *
 * @category models
 * @since 0.1.0
 */
export interface KafkaTables<in out K, in out V, out Entry extends TableEntry<K, V> = TableEntry<K, V>> {
  readonly [TypeId]: typeof TypeId
  /**
   * The table of a name, held until the scope closes. All who hold it share one, and one start of it. As `KafkaTable.make`,
   * it succeeds with a table that is complete, or fails; a start that failed is tried again by the next `get`, and so is a
   * table whose reader has failed for good. Whoever still holds the failed one keeps its last contents. A `get` that fails
   * or is interrupted holds nothing.
   *
   * Once the scope of all tables has closed, `get` interrupts.
   */
  readonly get: (name: string) => Effect.Effect<KafkaTable.KafkaTable<K, V, Entry>, KafkaTable.StartError, Scope.Scope>
  /** Has the next `get` make the table again. Whoever holds it keeps it; where nobody does, it is closed now. */
  readonly invalidate: (name: string) => Effect.Effect<void>
  /** The names of the tables that are held, starting or idle. */
  readonly names: Effect.Effect<ReadonlyArray<string>>
}

/**
 * Grouped tables by name, whose topics are grouped.
 *
 * @category models
 * @since 0.1.0
 */
export interface Grouped<
  in out G,
  in out M,
  in out V,
  out Entry extends TableEntry<GroupKey<G, M>, V> = TableEntry<GroupKey<G, M>, V>
> extends KafkaTables<GroupKey<G, M>, V, Entry> {
  readonly get: (
    name: string
  ) => Effect.Effect<GroupedKafkaTable.GroupedKafkaTable<G, M, V, Entry>, KafkaTable.StartError, Scope.Scope>
}

/**
 * Options of `make`, which are those of each table but for the first.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  out R = never,
  out Headers extends boolean = boolean,
  out Checkpoint extends CheckpointOptions | undefined = undefined
> extends KafkaTable.Options<R, Headers, Checkpoint> {
  /** How long a table is kept that nobody holds: it follows its topic meanwhile, and need not be read again. Default: 1 minute. */
  readonly idleTimeToLive?: Duration.Input | undefined
}

/**
 * How each table keeps its checkpoint, which is called as its topic.
 *
 * @category options
 * @since 0.1.0
 */
export interface CheckpointOptions extends Pick<KafkaTable.CheckpointOptions, "every"> {
  readonly name?: undefined
}

const checkOwn = Check.fields<Pick<Options, "idleTimeToLive">>({ idleTimeToLive: Check.duration({ min: 0 }) })
const checkTopicOf = Check.satisfies("a function from a name to a topic", Check.isFunction)

// Which tables there are follows from the topics: `make` says so by its types, and looks at each topic.
// oxlint-disable-next-line typescript/no-explicit-any
type AnyTopic<RD, RE> = TableTopic<any, any, RD, RE>
// oxlint-disable-next-line typescript/no-explicit-any
type AnyTables = any
// What they need says `make` by its types, too: a store of checkpoints is found where there is to be one.
type AnyOptions<R> = Options<R, boolean, CheckpointOptions | undefined>
type Making<R> = Effect.Effect<KafkaTable.Any, KafkaTable.StartError, KafkaClient | R | Scope.Scope>

/**
 * Makes the map of tables in the current scope, with none in it; closing the scope closes all of them.
 *
 * **Details**
 *
 * `topicOf` says which topic a name stands for; it is called once for each table that is made. The services that the codecs
 * need are captured here, as the client is: which of them a caller of `get` has makes no difference.
 *
 * **Gotchas**
 *
 * By default a table creates its topic if it is missing. Where names come from outside, say `ensureTopic: { create: false }`:
 * an unknown name then fails with `TopicNotFound`.
 *
 * **Example** (Prices of a region)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTables, TableTopic } from "effect-ktables"
 *
 * const pricesOf = (region: string) =>
 *   TableTopic.make({ name: `prices.${region}`, key: Schema.String, value: Schema.Finite })
 *
 * const program = Effect.gen(function* () {
 *   const prices = yield* KafkaTables.make(pricesOf, { ensureTopic: { create: false }, idleTimeToLive: "5 minutes" })
 *   const priceIn = (region: string, article: string) =>
 *     Effect.scoped(Effect.flatMap(prices.get(region), (table) => table.get(article)))
 *   return yield* priceIn("eu", "apple")
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: {
  <
    G,
    M,
    V,
    RD,
    RE,
    R = never,
    const Headers extends boolean = false,
    const Checkpoint extends CheckpointOptions | undefined = undefined
  >(
    topicOf: (name: string) => GroupedTopic<G, M, V, RD, RE>,
    options?: Options<R, Headers, Checkpoint>
  ): Effect.Effect<
    Grouped<G, M, V, KafkaTable.Entry<GroupKey<G, M>, V, Headers>>,
    InvalidOption,
    KafkaClient | RD | R | KafkaTable.Needs<Checkpoint> | Scope.Scope
  >
  <
    K,
    V,
    RD,
    RE,
    R = never,
    const Headers extends boolean = false,
    const Checkpoint extends CheckpointOptions | undefined = undefined
  >(
    topicOf: (name: string) => TableTopic<K, V, RD, RE>,
    options?: Options<R, Headers, Checkpoint>
  ): Effect.Effect<
    KafkaTables<K, V, KafkaTable.Entry<K, V, Headers>>,
    InvalidOption,
    KafkaClient | RD | R | KafkaTable.Needs<Checkpoint> | Scope.Scope
  >
} = <RD, RE, R>(topicOf: (name: string) => AnyTopic<RD, RE>, options?: AnyOptions<R>) => makeAny(topicOf, options)

const makeAny = Effect.fnUntraced(function* <RD, RE, R>(
  topicOf: (name: string) => AnyTopic<RD, RE>,
  options: AnyOptions<R> = {}
): Effect.fn.Return<AnyTables, InvalidOption, KafkaClient | RD | R | Scope.Scope> {
  yield* Check.taken(checkTopicOf, topicOf, undefined, "topicOf")
  const own = yield* Check.taken<Pick<Options, "idleTimeToLive">>(checkOwn, options)
  const { idleTimeToLive: _, ...given } = options
  // What is wrong with them is said here, and not to whoever is the first to ask for a table.
  const tableOptions = yield* Check.taken(KafkaTable.checkOptions, given as KafkaTable.Options<R>)
  const scope = yield* Effect.scope
  const services = Context.omit(Scope.Scope)(yield* Effect.context<KafkaClient | RD | R | Scope.Scope>())

  /** Drops a table, unless another has taken its place. Not in the fiber of the caller, who may live in what is closed. */
  const drop = (name: string, entryScope: Scope.Scope) => {
    if (tables.state._tag === "Closed") return Effect.void
    const isCurrent = Option.exists(MutableHashMap.get(tables.state.map, name), (entry) => entry.scope === entryScope)
    return isCurrent ? Effect.forkIn(RcMap.invalidate(tables, name), scope, { startImmediately: true }) : Effect.void
  }

  const lookup = Effect.fnUntraced(function* (name: string) {
    const entryScope = yield* Effect.scope
    const dropped = Effect.suspend(() => drop(name, entryScope))
    const made = Effect.suspend((): Making<RD | R> => {
      const topic = topicOf(name)
      return isGrouped(topic) ? GroupedKafkaTable.make(topic, tableOptions) : KafkaTable.make(topic, tableOptions)
    })
    return { table: yield* Effect.onError(made, () => dropped), dropped }
  }, Effect.provideContext(services))

  interface Made {
    readonly table: KafkaTable.Any
    readonly dropped: Effect.Effect<unknown>
  }
  const tables: RcMap.RcMap<string, Made, KafkaTable.StartError> = yield* RcMap.make({
    lookup,
    idleTimeToLive: own.idleTimeToLive ?? "1 minute"
  })

  /** Whether it has ended for good: a failure is that where nothing begins again, also before the reader has ended. */
  const isOver = (table: KafkaTable.Any): boolean => {
    const { end, status } = CellTable.cellOf(table)
    return end !== undefined || (status._tag === "Failed" && tableOptions.restart === undefined)
  }

  /** Holds a table that goes on; one that did not start, or has ended, is let go of at once. */
  const get: (name: string) => Effect.Effect<KafkaTable.Any, KafkaTable.StartError, Scope.Scope> = (name) =>
    Effect.uninterruptibleMask(
      Effect.fnUntraced(function* (restore) {
        const held = yield* Scope.fork(yield* Effect.scope)
        const release = Scope.close(held, Exit.void)
        const getting = restore(Scope.provide(RcMap.get(tables, name), held))
        const { dropped, table } = yield* Effect.onError(getting, () => release)
        if (!isOver(table)) return table
        yield* Effect.andThen(dropped, release)
        return yield* restore(get(name))
      })
    )

  return {
    [TypeId]: TypeId,
    get,
    invalidate: (name: string) => RcMap.invalidate(tables, name),
    names: Effect.suspend(() =>
      tables.state._tag === "Closed" ? Effect.succeed([]) : Effect.map(RcMap.keys(tables), (names) => [...names])
    )
  }
})

/**
 * A layer that makes tables by name for a service of your own.
 *
 * **Gotchas**
 *
 * Layers are shared by reference: keep the result in a constant, since each call makes other tables.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: {
  <Self, G, M, V, RD, RE, R = never, Checkpoint extends CheckpointOptions | undefined = undefined>(
    tag: Context.Key<Self, Grouped<G, M, V>>,
    topicOf: (name: string) => GroupedTopic<G, M, V, RD, RE>,
    options?: Options<R, boolean, Checkpoint>
  ): Layer.Layer<Self, InvalidOption, LayerNeeds<RD | R, Checkpoint>>
  <Self, K, V, RD, RE, R = never, Checkpoint extends CheckpointOptions | undefined = undefined>(
    tag: Context.Key<Self, KafkaTables<K, V>>,
    topicOf: (name: string) => TableTopic<K, V, RD, RE>,
    options?: Options<R, boolean, Checkpoint>
  ): Layer.Layer<Self, InvalidOption, LayerNeeds<RD | R, Checkpoint>>
} = <Self, RD, RE, R>(
  tag: Context.Key<Self, AnyTables>,
  topicOf: (name: string) => AnyTopic<RD, RE>,
  options?: AnyOptions<R>
) => Layer.effect(tag, makeAny(topicOf, options))

type LayerNeeds<R, Checkpoint extends CheckpointOptions | undefined> =
  | KafkaClient
  | Exclude<R | KafkaTable.Needs<Checkpoint>, Scope.Scope>

/**
 * A service class whose service is tables by name.
 *
 * @category services
 * @since 0.1.0
 */
export interface ServiceClass<
  in out Self,
  in out Id extends string,
  in out Tables,
  out RD
> extends Context.ServiceClass<Self, Id, Tables> {
  /** The tables with default options; the same ones wherever it is provided. */
  readonly layer: Layer.Layer<Self, InvalidOption, KafkaClient | Exclude<RD, Scope.Scope>>
  /** A new layer with these options; keep it in a constant. */
  readonly layerWith: <R = never, Checkpoint extends CheckpointOptions | undefined = undefined>(
    options: Options<R, boolean, Checkpoint>
  ) => Layer.Layer<Self, InvalidOption, LayerNeeds<RD | R, Checkpoint>>
}

/**
 * Defines a service for tables by name.
 *
 * **Example** (Features of a tenant)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { KafkaTables, TableTopic } from "effect-ktables"
 * import * as MemoryKafka from "effect-ktables/MemoryKafka"
 *
 * class Features extends KafkaTables.Service<Features>()("app/Features", (tenant) =>
 *   TableTopic.make({ name: `features.${tenant}`, key: Schema.String, value: Schema.Boolean })
 * ) {
 *   static readonly kept = Features.layerWith({ idleTimeToLive: "10 minutes" })
 * }
 *
 * const isOn = Effect.fn("isOn")(function* (tenant: string, feature: string) {
 *   const features = yield* Features
 *   const table = yield* features.get(tenant)
 *   return table.view.get(feature) === true
 * }, Effect.scoped)
 *
 * export const main = isOn("acme", "dark-mode").pipe(Effect.provide(Layer.provide(Features.kept, MemoryKafka.layer)))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service = <Self>(): {
  <const Id extends string, G, M, V, RD = never, RE = never>(
    id: Id,
    topicOf: (name: string) => GroupedTopic<G, M, V, RD, RE>
  ): ServiceClass<Self, Id, Grouped<G, M, V>, RD>
  <const Id extends string, K, V, RD = never, RE = never>(
    id: Id,
    topicOf: (name: string) => TableTopic<K, V, RD, RE>
  ): ServiceClass<Self, Id, KafkaTables<K, V>, RD>
} => serviceOf

const serviceOf = <Self, const Id extends string, RD, RE>(
  id: Id,
  topicOf: (name: string) => AnyTopic<RD, RE>
): ServiceClass<Self, Id, AnyTables, RD> => {
  const tag = Context.Service<Self, AnyTables>()(id)
  const layerWith = <R>(options: AnyOptions<R>) => Layer.effect(tag, makeAny(topicOf, options))
  return Object.assign(tag, { layer: layerWith({}), layerWith }) as ServiceClass<Self, Id, AnyTables, RD>
}
