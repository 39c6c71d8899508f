/**
 * A live table in memory, whatever it is filled from: the one interface that every shape of table has, and the operators
 * that derive tables from tables.
 *
 * **When to use**
 *
 * Take a `Table` where a function reads or follows a table and does not care for Kafka: a `KafkaTable` is one, and so is
 * whatever is derived from it.
 *
 * **Details**
 *
 * A derived table is of its source's version. What a commit changes in the source, it changes in everything that stands on
 * it before anybody is resumed: after `awaitOffset` or `barrier` the derived table shows the write, too. All changes of a
 * commit arrive as one batch. When the source is rebuilt, the derived table is made again beside its contents and put in
 * place in the same step; whoever follows it gets the difference. Its status is the source's, and closing the source closes
 * it, as closing its own scope does.
 *
 * **Example** (A function of any table)
 *
 * ```ts
 * import { Effect, Option } from "effect"
 * import type { Table } from "effect-ktables"
 *
 * export const priceOf = <E>(prices: Table.Table<string, number, E>, fruit: string) =>
 *   Effect.map(prices.get(fruit), Option.getOrElse(() => 0))
 * ```
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as Equivalence from "effect/Equivalence"
import { dual } from "effect/Function"
import * as HashMap from "effect/HashMap"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Order from "effect/Order"
import type * as Pipeable from "effect/Pipeable"
import type * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as SubscriptionRef from "effect/SubscriptionRef"
import { constant } from "./internal/operators/constant.ts"
import * as Given from "./internal/operators/given.ts"
import * as Expired from "./internal/operators/expire.ts"
import * as Grouping from "./internal/operators/grouping.ts"
import * as Joined from "./internal/operators/join.ts"
import * as Mapped from "./internal/operators/map.ts"
import * as Merged from "./internal/operators/merge.ts"
import type { Derived } from "./internal/operators/operator.ts"
import * as Refs from "./internal/operators/ref.ts"
import * as Ordered from "./internal/operators/sorted.ts"
import * as Check from "./internal/options.ts"
import type { Cell } from "./internal/table/cell.ts"
import { CellTable } from "./internal/table/cellTable.ts"
import { TypeId } from "./internal/table/typeId.ts"
import type { TableChange } from "./TableChange.ts"
import type { DerivationFailed, TableClosed } from "./TableError.ts"
import type { TablePosition } from "./TablePosition.ts"
import type { TableStatus } from "./TableStatus.ts"

export {
  /**
   * What marks a table.
   *
   * @category type IDs
   * @since 0.1.0
   */
  TypeId
}

/**
 * A live table of values `V` by keys `K`. Reads never fail and never wait: they give what was applied last, also when the
 * table has failed or is closed. `E` is what can end its filling for good.
 *
 * @category models
 * @since 0.1.0
 */
export interface Table<in out K, out V, out E = never> extends Pipeable.Pipeable {
  readonly [TypeId]: typeof TypeId

  /** The value of a key; none when it is absent. Keys are compared as `Equal` does: by value, also structs and classes. */
  readonly get: (key: K) => Effect.Effect<Option.Option<V>>
  readonly has: (key: K) => Effect.Effect<boolean>
  readonly size: Effect.Effect<number>
  /** A copy, in no promised order; so are `values` and `entries`. */
  readonly keys: Effect.Effect<ReadonlyArray<K>>
  readonly values: Effect.Effect<ReadonlyArray<V>>
  readonly entries: Effect.Effect<ReadonlyArray<readonly [K, V]>>
  /**
   * The whole table as of one version, in constant time. The first use of it, or of a stream of changes or states, makes
   * the immutable map, in slices; from then on it is kept in step.
   */
  readonly snapshot: Effect.Effect<HashMap.HashMap<K, V>>

  /**
   * The same reads without an effect, as a standard read-only map: live, of the newest version, nearly as fast as a native
   * `Map`. Keys are compared as `Equal` does, too.
   *
   * **Gotchas**
   *
   * It changes between two turns of the event loop: a loop over it that yields in between sees several versions. Take a
   * `snapshot` where that matters. `new Map(view)` is a copy of one version, but a native `Map` finds keys that are objects
   * only by the very same object.
   */
  readonly view: ReadonlyMap<K, V>

  /**
   * A snapshot, then every change after it, one at a time. A subscriber that is late by more changes than the table keeps
   * for it gets a fresh snapshot with `resync: true` instead of what it missed. Ends when the table is closed, fails when
   * its filling has failed for good.
   */
  readonly changes: Stream.Stream<TableChange<K, V>, E>
  /** As `changes`, in the batches in which they were applied: a snapshot is a batch of one. */
  readonly changeBatches: Stream.Stream<ReadonlyArray<TableChange<K, V>>, E>
  /** The newest whole state, whenever it changed since the subscriber last looked. */
  readonly states: Stream.Stream<HashMap.HashMap<K, V>, E>
  /**
   * The value of one key now, and whenever its entry changes; none while it is absent. A subscriber that is late by more
   * changes of the key than the table keeps for it is given the newest. Thousands of watched keys are fine: a change costs
   * one look-up, and wakes nobody but those who watch its key.
   */
  readonly watch: (key: K) => Stream.Stream<Option.Option<V>, E>

  readonly status: Effect.Effect<TableStatus<E>>
  /**
   * The status now, and whenever it changes; ends with `Closed`. A subscriber that is slow is given the newest progress,
   * and of many changes the last ones.
   */
  readonly statusChanges: Stream.Stream<TableStatus<E>>
  /**
   * Never succeeds; fails when the filling has failed for good, or the table was closed. Race a program with it when it must
   * not go on with frozen contents.
   */
  readonly failure: Effect.Effect<never, E | TableClosed>
  /** Succeeds when the table is complete; fails when its filling fails first. */
  readonly awaitCaughtUp: Effect.Effect<void, E | TableClosed>
  readonly isCaughtUp: Effect.Effect<boolean>
}

/**
 * Any table.
 *
 * @category models
 * @since 0.1.0
 */
// oxlint-disable-next-line typescript/no-explicit-any
export type Any = Table<any, any, any>

/**
 * The keys of a table.
 *
 * @category models
 * @since 0.1.0
 */
export type Key<T> = T extends Table<infer K, infer _V, infer _E> ? K : never

/**
 * The values of a table.
 *
 * @category models
 * @since 0.1.0
 */
export type Value<T> = T extends Table<infer _K, infer V, infer _E> ? V : never

/**
 * What can end the filling of a table.
 *
 * @category models
 * @since 0.1.0
 */
export type Error<T> = T extends Table<infer _K, infer _V, infer E> ? E : never

/**
 * Tells whether a value is a table.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTable = (u: unknown): u is Any => typeof u === "object" && u !== null && TypeId in u

/**
 * How much of which logs the contents of a table have, as of now.
 *
 * **Gotchas**
 *
 * In the step in which an `awaitOffset` or `barrier` resumes a program the contents may be ahead of it; `Effect.yieldNow`
 * leaves it.
 *
 * @category getters
 * @since 0.1.0
 */
export const position = (self: Any): TablePosition => cellOf(self, "Table.position.self").position()

// ---------------------------------------------------------------------------------------------------------------------
// operators: what types rule out is refused when plain JavaScript gives it, by throwing `InvalidOption`
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What becomes of a table when a function that it is derived with throws: it fails with `DerivationFailed` and keeps its last
 * whole version, or only the entry is left out for as long as the function throws for it.
 *
 * @category options
 * @since 0.1.0
 */
export type OnError = "fail" | "skip"

/**
 * Options of operators.
 *
 * @category options
 * @since 0.1.0
 */
export interface OperatorOptions<Policy extends OnError = OnError> {
  /** When a function throws. Default: `"fail"`. */
  readonly onError?: Policy
}

/**
 * What can end a derived table beside what ends its source.
 *
 * @category errors
 * @since 0.1.0
 */
export type OperatorError<Policy extends OnError> = "fail" extends Policy ? DerivationFailed : never

const cellOf: <K, V, E>(table: Table<K, V, E>, option: string) => Cell<K, V, E> = Given.cellOf

const tableOf = <K, V, E>(derived: Derived<K, V, E>): Effect.Effect<Table<K, V, E>, never, Scope.Scope> =>
  Effect.map(derived, (cell) => new CellTable(cell))

/**
 * The table with each value changed by a function, under the same keys.
 *
 * **Details**
 *
 * The function runs within the commit of the source, once for each change: it should be quick, give the same for the same
 * value and key, and must not call back into the table. Changes that come to the same plain data are not passed on.
 *
 * **Gotchas**
 *
 * A function that throws fails the derived table, also while it is made: it is `Failed` then, and empty. See `OnError`.
 *
 * **Example** (Prices with tax)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * export const program = Effect.gen(function* () {
 *   const net = yield* KafkaTable.make(prices)
 *   const gross = yield* net.pipe(Table.map((price) => price * 1.19))
 *   return yield* gross.get("apple")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const map: {
  <K, V, B, Policy extends OnError = "fail">(
    f: (value: NoInfer<V>, key: NoInfer<K>) => B,
    options?: OperatorOptions<Policy>
  ): <E>(self: Table<K, V, E>) => Effect.Effect<Table<K, B, E | OperatorError<Policy>>, never, Scope.Scope>
  <K, V, E, B, Policy extends OnError = "fail">(
    self: Table<K, V, E>,
    f: (value: V, key: K) => B,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, B, E | OperatorError<Policy>>, never, Scope.Scope>
} = dual(
  Given.isDataFirst(0),
  <K, V, E, B, Policy extends OnError>(
    self: Table<K, V, E>,
    f: (value: V, key: K) => B,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, B, E | OperatorError<Policy>>, never, Scope.Scope> =>
    tableOf(
      Mapped.map(
        cellOf(self, "Table.map.self"),
        Given.functionOf(f, "Table.map.f"),
        Given.optionsOf(options, "Table.map").onError
      )
    )
)

/**
 * The entries that a predicate holds for.
 *
 * **Example** (Services that are up)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const services = TableTopic.make({
 *   name: "services",
 *   key: Schema.String,
 *   value: Schema.Struct({ host: Schema.String, isUp: Schema.Boolean })
 * })
 *
 * export const program = Effect.gen(function* () {
 *   const all = yield* KafkaTable.make(services)
 *   const up = yield* all.pipe(Table.filter(({ isUp }) => isUp))
 *   return yield* up.size
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const filter: {
  <K, V, B extends V, Policy extends OnError = "fail">(
    refinement: (value: NoInfer<V>, key: NoInfer<K>) => value is B,
    options?: OperatorOptions<Policy>
  ): <E>(self: Table<K, V, E>) => Effect.Effect<Table<K, B, E | OperatorError<Policy>>, never, Scope.Scope>
  <K, V, Policy extends OnError = "fail">(
    predicate: (value: NoInfer<V>, key: NoInfer<K>) => boolean,
    options?: OperatorOptions<Policy>
  ): <E>(self: Table<K, V, E>) => Effect.Effect<Table<K, V, E | OperatorError<Policy>>, never, Scope.Scope>
  <K, V, E, B extends V, Policy extends OnError = "fail">(
    self: Table<K, V, E>,
    refinement: (value: V, key: K) => value is B,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, B, E | OperatorError<Policy>>, never, Scope.Scope>
  <K, V, E, Policy extends OnError = "fail">(
    self: Table<K, V, E>,
    predicate: (value: V, key: K) => boolean,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, V, E | OperatorError<Policy>>, never, Scope.Scope>
} = dual(
  Given.isDataFirst(0),
  <K, V, E, Policy extends OnError>(
    self: Table<K, V, E>,
    predicate: (value: V, key: K) => boolean,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, V, E | OperatorError<Policy>>, never, Scope.Scope> =>
    tableOf(
      Mapped.filter(
        cellOf(self, "Table.filter.self"),
        Given.functionOf(predicate, "Table.filter.predicate"),
        Given.optionsOf(options, "Table.filter").onError
      )
    )
)

/**
 * `map` and `filter` in one: the entries for which a function gives a `Result` that is a success, with what it gives.
 *
 * **Example** (Addresses that are complete)
 *
 * ```ts
 * import { Effect, Result, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const services = TableTopic.make({
 *   name: "services",
 *   key: Schema.String,
 *   value: Schema.Struct({ host: Schema.String, port: Schema.optionalKey(Schema.Int) })
 * })
 *
 * export const program = Effect.gen(function* () {
 *   const all = yield* KafkaTable.make(services)
 *   const addresses = yield* all.pipe(
 *     Table.filterMap(({ host, port }) =>
 *       port === undefined ? Result.failVoid : Result.succeed(`${host}:${port}`)
 *     )
 *   )
 *   return yield* addresses.get("billing")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const filterMap: {
  <K, V, B, X, Policy extends OnError = "fail">(
    f: (value: NoInfer<V>, key: NoInfer<K>) => Result.Result<B, X>,
    options?: OperatorOptions<Policy>
  ): <E>(self: Table<K, V, E>) => Effect.Effect<Table<K, B, E | OperatorError<Policy>>, never, Scope.Scope>
  <K, V, E, B, X, Policy extends OnError = "fail">(
    self: Table<K, V, E>,
    f: (value: V, key: K) => Result.Result<B, X>,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, B, E | OperatorError<Policy>>, never, Scope.Scope>
} = dual(
  Given.isDataFirst(0),
  <K, V, E, B, X, Policy extends OnError>(
    self: Table<K, V, E>,
    f: (value: V, key: K) => Result.Result<B, X>,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, B, E | OperatorError<Policy>>, never, Scope.Scope> =>
    tableOf(
      Mapped.filterMap(
        cellOf(self, "Table.filterMap.self"),
        Given.functionOf(f, "Table.filterMap.f"),
        Given.optionsOf(options, "Table.filterMap").onError
      )
    )
)

/**
 * The key of groups that a function gives: itself, or the elements of an array.
 *
 * @category models
 * @since 0.1.0
 */
export type IndexKey<A> = A extends ReadonlyArray<infer I> ? I : A

/**
 * The entries in groups, by what a function gives for each: a secondary index. A read by group costs what it gives, whatever
 * the size of the table.
 *
 * **Details**
 *
 * An array means several groups, or none when it is empty; so a group whose key is an array goes into another array. Keys of
 * groups are compared as `Equal` does. A group that loses its last entry is gone. All that a commit does to a group is one
 * change of it.
 *
 * **Gotchas**
 *
 * Groups are kept as lists of their members. The `HashMap` of a group is made when it is first read, in time proportional to the group,
 * and kept in step from then on.
 *
 * **Example** (Services by zone, and by their tags)
 *
 * ```ts
 * import { Effect, HashMap, Option, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const services = TableTopic.make({
 *   name: "services",
 *   key: Schema.String,
 *   value: Schema.Struct({ host: Schema.String, zone: Schema.String, tags: Schema.Array(Schema.String) })
 * })
 *
 * export const program = Effect.gen(function* () {
 *   const all = yield* KafkaTable.make(services)
 *   const byZone = yield* all.pipe(Table.index(({ zone }) => zone))
 *   const byTag = yield* all.pipe(Table.index(({ tags }) => tags))
 *   const inEurope = Option.getOrElse(yield* byZone.get("eu-1"), () => HashMap.empty())
 *   return [HashMap.size(inEurope), yield* byTag.has("beta")]
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const index: {
  <K, V, I, Policy extends OnError = "fail">(
    f: (value: NoInfer<V>, key: NoInfer<K>) => I,
    options?: OperatorOptions<Policy>
  ): <E>(
    self: Table<K, V, E>
  ) => Effect.Effect<Table<IndexKey<I>, HashMap.HashMap<K, V>, E | OperatorError<Policy>>, never, Scope.Scope>
  <K, V, E, I, Policy extends OnError = "fail">(
    self: Table<K, V, E>,
    f: (value: V, key: K) => I,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<IndexKey<I>, HashMap.HashMap<K, V>, E | OperatorError<Policy>>, never, Scope.Scope>
} = dual(
  Given.isDataFirst(0),
  <K, V, E, I, Policy extends OnError>(
    self: Table<K, V, E>,
    f: (value: V, key: K) => Grouping.Indices<I>,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<I, HashMap.HashMap<K, V>, E | OperatorError<Policy>>, never, Scope.Scope> =>
    tableOf(
      Grouping.index(
        cellOf(self, "Table.index.self"),
        Given.functionOf(f, "Table.index.f"),
        Given.optionsOf(options, "Table.index").onError
      )
    )
)

/**
 * Options of joins by a foreign key.
 *
 * @category options
 * @since 0.1.0
 */
export interface JoinOn<in K, in L, out J, Policy extends OnError = OnError> extends OperatorOptions<Policy> {
  /** The key of the right table that an entry of the left one refers to; undefined or null where it refers to none. */
  readonly on: (left: L, key: K) => J | null | undefined
}

const checkJoinOptions = Check.record<JoinOn<never, never, never>>({ on: Given.isFunction, onError: Given.onError })

/**
 * The entries of one table, each with the entry of another that belongs to it: the one of the same key, or the one that `on`
 * names. Entries without one are left out. Both sides are live: a change of either shows in the join at once.
 *
 * **Details**
 *
 * Keys are those of the left table. A change of the right table costs as much as there are entries that refer to its key. Any
 * table may be on either side: a derived one, an `index`, or the same twice.
 *
 * **Gotchas**
 *
 * Two tables have no version in common: after every commit of either the join is of what both contain then, and a write that
 * is awaited on one of them says nothing of the other. A change that very many entries refer to is one commit, and holds the
 * process up for as long as they take.
 *
 * **Example** (Orders with what they cost now)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 * const orders = TableTopic.make({
 *   name: "orders",
 *   key: Schema.String,
 *   value: Schema.Struct({ fruit: Schema.String, count: Schema.Int })
 * })
 *
 * export const program = Effect.gen(function* () {
 *   const priceOf = yield* KafkaTable.make(prices)
 *   const open = yield* KafkaTable.make(orders)
 *   const costs = yield* open.pipe(
 *     Table.join(priceOf, (order, price) => order.count * price, { on: (order) => order.fruit })
 *   )
 *   return yield* costs.get("order-1")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const join: {
  <K, L, J, R, E1, A, Policy extends OnError = "fail">(
    right: Table<J, R, E1>,
    f: (left: NoInfer<L>, right: R, key: NoInfer<K>) => A,
    options: JoinOn<NoInfer<K>, NoInfer<L>, NoInfer<J>, Policy>
  ): <E>(self: Table<K, L, E>) => Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope>
  <K, L, R, E1, A, Policy extends OnError = "fail">(
    right: Table<K, R, E1>,
    f: (left: NoInfer<L>, right: R, key: K) => A,
    options?: OperatorOptions<Policy>
  ): <E>(self: Table<K, L, E>) => Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope>
  <K, L, E, J, R, E1, A, Policy extends OnError = "fail">(
    self: Table<K, L, E>,
    right: Table<J, R, E1>,
    f: (left: L, right: R, key: K) => A,
    options: JoinOn<K, L, NoInfer<J>, Policy>
  ): Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope>
  <K, L, E, R, E1, A, Policy extends OnError = "fail">(
    self: Table<K, L, E>,
    right: Table<K, R, E1>,
    f: (left: L, right: R, key: K) => A,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope>
} = dual(
  Given.isDataFirst(1),
  <K, L, E, J, R, E1, A, Policy extends OnError>(
    self: Table<K, L, E>,
    right: Table<J, R, E1>,
    f: (left: L, right: R, key: K) => A,
    options?: Partial<JoinOn<K, L, J, Policy>>
  ): Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope> => {
    const { on, onError } = Given.optionsOf(options, "Table.join", checkJoinOptions)
    const [lefts, rights] = [cellOf(self, "Table.join.self"), cellOf(right, "Table.join.right")]
    return tableOf(Joined.join(lefts, rights, Given.functionOf(f, "Table.join.f"), on, onError))
  }
)

/**
 * As `join`, but entries that nothing belongs to are there, too: the function is given an `Option` of the right value.
 *
 * **Example** (Categories with what is in stock)
 *
 * ```ts
 * import { Effect, Option, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const names = TableTopic.make({ name: "names", key: Schema.String, value: Schema.String })
 * const stock = TableTopic.make({ name: "stock", key: Schema.String, value: Schema.Int })
 *
 * export const program = Effect.gen(function* () {
 *   const counts = yield* KafkaTable.make(stock)
 *   const shelf = yield* KafkaTable.make(names).pipe(
 *     Effect.flatMap(Table.leftJoin(counts, (name, count) => `${name}: ${Option.getOrElse(count, () => 0)}`))
 *   )
 *   return yield* shelf.values
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const leftJoin: {
  <K, L, J, R, E1, A, Policy extends OnError = "fail">(
    right: Table<J, R, E1>,
    f: (left: NoInfer<L>, right: Option.Option<R>, key: NoInfer<K>) => A,
    options: JoinOn<NoInfer<K>, NoInfer<L>, NoInfer<J>, Policy>
  ): <E>(self: Table<K, L, E>) => Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope>
  <K, L, R, E1, A, Policy extends OnError = "fail">(
    right: Table<K, R, E1>,
    f: (left: NoInfer<L>, right: Option.Option<R>, key: K) => A,
    options?: OperatorOptions<Policy>
  ): <E>(self: Table<K, L, E>) => Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope>
  <K, L, E, J, R, E1, A, Policy extends OnError = "fail">(
    self: Table<K, L, E>,
    right: Table<J, R, E1>,
    f: (left: L, right: Option.Option<R>, key: K) => A,
    options: JoinOn<K, L, NoInfer<J>, Policy>
  ): Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope>
  <K, L, E, R, E1, A, Policy extends OnError = "fail">(
    self: Table<K, L, E>,
    right: Table<K, R, E1>,
    f: (left: L, right: Option.Option<R>, key: K) => A,
    options?: OperatorOptions<Policy>
  ): Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope>
} = dual(
  Given.isDataFirst(1),
  <K, L, E, J, R, E1, A, Policy extends OnError>(
    self: Table<K, L, E>,
    right: Table<J, R, E1>,
    f: (left: L, right: Option.Option<R>, key: K) => A,
    options?: Partial<JoinOn<K, L, J, Policy>>
  ): Effect.Effect<Table<K, A, E | E1 | OperatorError<Policy>>, never, Scope.Scope> => {
    const { on, onError } = Given.optionsOf(options, "Table.leftJoin", checkJoinOptions)
    const [lefts, rights] = [cellOf(self, "Table.leftJoin.self"), cellOf(right, "Table.leftJoin.right")]
    return tableOf(Joined.leftJoin(lefts, rights, Given.functionOf(f, "Table.leftJoin.f"), on, onError))
  }
)

/**
 * The entries of two tables in one. Where a key is in both, the entry of `that` is the one: as in `HashMap.union`, the result
 * at every version is the union of both tables' contents then.
 *
 * **When to use**
 *
 * For what lies in several topics, for example one per region, and for entries that override others: defaults and what a
 * tenant has set. A key that moves from one topic to the other is in one of them or in both meanwhile, and never absent.
 *
 * **Details**
 *
 * When a key leaves `that`, the entry of the first table shows again. Which keys are in both is a table, too:
 * `Table.join(self, that, (left, right) => …)`; where they are to be combined, take
 * `Table.union(that, combined)` with `combined` from `Table.leftJoin(self, that, …)`.
 *
 * **Example** (A tenant's settings over those of all)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const defaults = TableTopic.make({ name: "settings", key: Schema.String, value: Schema.String })
 * const ofTenant = TableTopic.make({ name: "settings.acme", key: Schema.String, value: Schema.String })
 *
 * export const program = Effect.gen(function* () {
 *   const own = yield* KafkaTable.make(ofTenant)
 *   const settings = yield* KafkaTable.make(defaults).pipe(Effect.flatMap(Table.union(own)))
 *   return yield* settings.get("theme")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const union: {
  <K, W, E1>(
    that: Table<K, W, E1>
  ): <V, E>(self: Table<K, V, E>) => Effect.Effect<Table<K, V | W, E | E1>, never, Scope.Scope>
  <K, V, E, W, E1>(
    self: Table<K, V, E>,
    that: Table<K, W, E1>
  ): Effect.Effect<Table<K, V | W, E | E1>, never, Scope.Scope>
} = dual(
  2,
  <K, V, E, W, E1>(
    self: Table<K, V, E>,
    that: Table<K, W, E1>
  ): Effect.Effect<Table<K, V | W, E | E1>, never, Scope.Scope> =>
    tableOf(Merged.union(cellOf(self, "Table.union.self"), cellOf(that, "Table.union.that")))
)

/**
 * How the entries of a key differ between two tables or snapshots.
 *
 * @category models
 * @since 0.1.0
 */
export type Difference<V> = Merged.Difference<V>

/**
 * Options of `diff`.
 *
 * @category options
 * @since 0.1.0
 */
export interface DiffOptions<in V, Policy extends OnError = OnError> extends OperatorOptions<Policy> {
  /**
   * When two values count as one. Default: `Equal.equals`, by what they hold, also of classes; fields that a class hides are
   * not seen by it.
   */
  readonly equivalence?: Equivalence.Equivalence<V>
}

/**
 * A table, or what one contained when a snapshot was taken.
 *
 * @category models
 * @since 0.1.0
 */
export type Comparable<K, V, E = never> = Table<K, V, E> | HashMap.HashMap<K, V>

const comparedCell = <K, V, E>(it: Comparable<K, V, E>, option: string): Effect.Effect<Cell<K, V, E>> =>
  HashMap.isHashMap(it) ? constant(it) : Effect.succeed(cellOf(it, option))

const checkDiffOptions = Check.record<DiffOptions<never>>({ equivalence: Given.isFunction, onError: Given.onError })

/**
 * What has to change in one table to make the other of it, as a table: the keys whose entries differ, and how. It is live as
 * long as one of them is, and empty while both contain the same.
 *
 * **When to use**
 *
 * For two clusters or two topics that should agree: staging's feature flags and production's, a topic and the one that
 * mirrors it. And for what has changed since some moment: compare a snapshot of then with the table.
 *
 * **Details**
 *
 * Either side is a table or a `HashMap`. Both are compared once, in slices, and from then on only what changes. `size` tells
 * whether they agree, `changes` when that changes, and `snapshot` is a difference to keep.
 *
 * **Gotchas**
 *
 * Values that are compared by what they hold take as long as they are large. An equivalence that throws fails the table with
 * `DerivationFailed`, as functions of other operators do.
 *
 * **Example** (What a deployment changes)
 *
 * ```ts
 * import { Console, Effect, Schema, Stream } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const flags = TableTopic.make({ name: "flags", key: Schema.String, value: Schema.Boolean })
 *
 * export const watchDeployment = Effect.gen(function* () {
 *   const table = yield* KafkaTable.make(flags)
 *   const changed = yield* Table.diff(yield* table.snapshot, table)
 *   yield* Stream.runForEach(changed.states, (differences) =>
 *     Effect.forEach(differences, ([flag, difference]) => {
 *       switch (difference._tag) {
 *         case "Added":
 *           return Console.log(`+ ${flag}: ${difference.to}`)
 *         case "Removed":
 *           return Console.log(`- ${flag}: ${difference.from}`)
 *         case "Changed":
 *           return Console.log(`~ ${flag}: ${difference.from} to ${difference.to}`)
 *       }
 *     })
 *   )
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const diff = <K, V, E = never, E1 = never, Policy extends OnError = "fail">(
  from: Comparable<K, V, E>,
  to: Comparable<K, V, E1>,
  options?: DiffOptions<V, Policy>
): Effect.Effect<Table<K, Difference<V>, E | E1 | OperatorError<Policy>>, never, Scope.Scope> => {
  const { equivalence = Equal.equals, onError } = Given.optionsOf(options, "Table.diff", checkDiffOptions)
  return Effect.flatMap(
    Effect.all([comparedCell(from, "Table.diff.from"), comparedCell(to, "Table.diff.to")]),
    ([before, after]) => tableOf(Merged.diff(before, after, equivalence, onError))
  )
}

/**
 * A value that says when it was written, in milliseconds since the epoch, as `KafkaTable.withMetadata` gives them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Timestamped {
  readonly timestamp: number
}

/**
 * Options of `expire`.
 *
 * @category options
 * @since 0.1.0
 */
export interface ExpireOptions {
  /** The age at which entries go, of at least a millisecond. */
  readonly ttl: Duration.Input
}

/**
 * The entries that are younger than `ttl`: each goes when nobody has written it again for so long.
 *
 * **When to use**
 *
 * For who is present, by heartbeats (`KafkaTableWriter.keepAlive` sends them), for leases, sessions and caches. Nothing is
 * written to the topic: what has expired here is still in it, until somebody deletes it or the topic's retention does.
 *
 * **Details**
 *
 * Age counts from the timestamp of the value or from its arrival in this table, whichever is earlier, so that a producer whose
 * clock is ahead makes no entry live longer. Values without a timestamp (-1) have their arrival. What is too old when it comes,
 * at the start, too, is never shown.
 *
 * An entry that goes is a change in a commit of its own, at most a few milliseconds late; of very many that go at once some are
 * later than others, each commit being small. It is the one operator that depends on this process's clocks, those of Effect's
 * `Clock`: the greater of what the wall clock and the monotonic one have seen pass counts, so that a clock that is set back
 * keeps nothing alive.
 *
 * **Gotchas**
 *
 * It stands on tables of values that have a `timestamp`, since others do not pass on that an entry was written again: `map`
 * the values out after it, not before. A write that was awaited by `awaitOffset` may be absent, because it has expired.
 *
 * Entries also go while brokers are away, when nobody's heartbeats arrive, and when this process's clock is ahead of those
 * that stamp the records by more than `ttl`. A table that has failed, or was closed, is frozen: nothing goes any more.
 *
 * **Example** (Services that were heard of within the last 15 seconds)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const services = TableTopic.make({ name: "services", key: Schema.String, value: Schema.Struct({ host: Schema.String }) })
 *
 * export const program = Effect.gen(function* () {
 *   const all = yield* KafkaTable.make(services)
 *   const entries = yield* KafkaTable.withMetadata(all)
 *   const young = yield* entries.pipe(Table.expire({ ttl: "15 seconds" }))
 *   const live = yield* young.pipe(Table.map(({ value }) => value))
 *   return yield* live.get("billing")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const expire: {
  (
    options: ExpireOptions
  ): <K, V extends Timestamped, E>(self: Table<K, V, E>) => Effect.Effect<Table<K, V, E>, never, Scope.Scope>
  <K, V extends Timestamped, E>(
    self: Table<K, V, E>,
    options: ExpireOptions
  ): Effect.Effect<Table<K, V, E>, never, Scope.Scope>
} = dual(
  Given.isOptionsDataFirst,
  <K, V extends Timestamped, E>(
    self: Table<K, V, E>,
    options: ExpireOptions
  ): Effect.Effect<Table<K, V, E>, never, Scope.Scope> => {
    const { ttl } = Check.takenOrThrow(checkExpireOptions, options, "Table.expire")
    return tableOf(Expired.expire(cellOf(self, "Table.expire.self"), Duration.toMillis(ttl)))
  }
)

const checkExpireOptions = Check.record<ExpireOptions>({
  ttl: Check.required(Check.duration({ min: 1, max: Number.MAX_SAFE_INTEGER }))
})

/**
 * Keys that have an order of their own: numbers and bigints by size, strings by their UTF-16 code units (as `<` compares
 * them, not as a language sorts them), dates by time. Keys of several types lie type by type, in this sequence.
 *
 * @category models
 * @since 0.1.0
 */
export type NaturalKey = number | bigint | string | Date

/**
 * Which entries of a sorted table are meant: all, where nothing is said, and those that every bound holds for, where several
 * are given. `Prefix` is what a prefix may be, and `never` where there is none.
 *
 * @category options
 * @since 0.1.0
 */
export interface RangeOptions<out K, out Prefix = never> {
  /** The first key; entries of keys that the order calls equal are in the range, too. */
  readonly from?: K | undefined
  /** What the range ends before: entries of this key are not in it. */
  readonly to?: K | undefined
  /**
   * What keys begin with, as `String.startsWith` sees it: by code units, so that half of an emoji is a prefix of it. Only
   * where strings are in their own order, since keys with one prefix lie side by side there.
   */
  readonly prefix?: Prefix | undefined
  /** The most entries, a whole number: the first ones, or the last ones with `reverse`. Default: all. */
  readonly limit?: number | undefined
  /** From the last to the first; `from` stays the lower bound. Default: false. */
  readonly reverse?: boolean | undefined
}

/**
 * The view of a sorted table: its iterators go in the order of keys.
 *
 * @category models
 * @since 0.1.0
 */
export interface SortedView<K, V, in Prefix = never> extends ReadonlyMap<K, V> {
  /** The entries of a range, in order: a copy, of one version. */
  readonly range: (options?: RangeOptions<K, Prefix>) => ReadonlyArray<readonly [K, V]>
}

/**
 * A table in the order of its keys: `keys`, `values`, `entries` and `view` give them in order. A `snapshot` and changes are in
 * no order, as those of any table.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sorted<in out K, out V, out E = never, in Prefix = never> extends Table<K, V, E> {
  readonly view: SortedView<K, V, Prefix>
  /** The entries of a range, in order. It costs what it gives, whatever the size of the table. */
  readonly range: (options?: RangeOptions<K, Prefix>) => Effect.Effect<ReadonlyArray<readonly [K, V]>>
  /**
   * The entries of a range now, and whenever a change touched it: each time all of them, of one version. A subscriber that is
   * slow is given the newest alone.
   *
   * **Gotchas**
   *
   * Each change is compared with the bounds of each range that is watched, and the whole range is read again when one lies
   * within them: set a `limit`, or watch a `prefix`, where the table is large and changes often.
   */
  readonly watchRange: (options?: RangeOptions<K, Prefix>) => Stream.Stream<ReadonlyArray<readonly [K, V]>, E>
}

/**
 * What a prefix of keys may be: any string, where there are strings among the keys.
 *
 * @category models
 * @since 0.1.0
 */
export type PrefixOf<K> = K extends string ? string : never

/**
 * The table in the order of its keys, with reads of ranges: their own order, or a given one.
 *
 * **When to use**
 *
 * For pages, prefixes, the first or the last entries, and all that lies between two keys. For an order of values put them
 * into the key: `index` by what they are to be sorted by, and sort that.
 *
 * **Details**
 *
 * A key that comes or goes costs a binary search, a new value of a key that stays costs none. Keys that the order calls equal
 * though they differ are all there, in the sequence in which they came.
 *
 * **Gotchas**
 *
 * Prefixes need strings in their own order: there is none where an order is given, even if it is that of strings. An order
 * that throws fails the table with `DerivationFailed`; one that contradicts itself gives ranges that mean nothing.
 *
 * **Example** (A page, the newest entries, and a prefix that is watched)
 *
 * ```ts
 * import { Console, Effect, Order, Schema, Stream } from "effect"
 * import { Codec, KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const services = TableTopic.make({ name: "services", key: Schema.String, value: Schema.String })
 * const visits = TableTopic.make({
 *   name: "visits",
 *   key: Codec.json(Schema.Struct({ at: Schema.Finite, page: Schema.String })),
 *   value: Schema.Int
 * })
 *
 * export const program = Effect.gen(function* () {
 *   const byName = yield* KafkaTable.make(services).pipe(Effect.flatMap(Table.sorted()))
 *   const page = yield* byName.range({ from: "billing", limit: 20 })
 *   yield* Console.log(page.map(([name]) => name))
 *
 *   const all = yield* KafkaTable.make(visits)
 *   const byTime = yield* all.pipe(Table.sorted(Order.Struct({ at: Order.Number, page: Order.String })))
 *   yield* Console.log(byTime.view.range({ reverse: true, limit: 10 }))
 *
 *   yield* Stream.runForEach(byName.watchRange({ prefix: "eu-1/" }), (entries) => Console.log(entries.length))
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const sorted: {
  (): <K extends NaturalKey, V, E>(
    self: Table<K, V, E>
  ) => Effect.Effect<Sorted<K, V, E, PrefixOf<K>>, never, Scope.Scope>
  <O>(
    order: Order.Order<O>
  ): <K extends O, V, E>(self: Table<K, V, E>) => Effect.Effect<Sorted<K, V, E | DerivationFailed>, never, Scope.Scope>
  <K extends NaturalKey, V, E>(self: Table<K, V, E>): Effect.Effect<Sorted<K, V, E, PrefixOf<K>>, never, Scope.Scope>
  <K, V, E>(
    self: Table<K, V, E>,
    order: Order.Order<K>
  ): Effect.Effect<Sorted<K, V, E | DerivationFailed>, never, Scope.Scope>
} = dual(
  Given.isSortedDataFirst,
  <K, V, E>(
    self: Table<K, V, E>,
    order?: Order.Order<K>
  ): Effect.Effect<Sorted<K, V, E | DerivationFailed, PrefixOf<K>>, never, Scope.Scope> =>
    Effect.map(
      Ordered.sorted<K, V, E, DerivationFailed>(
        cellOf(self, "Table.sorted.self"),
        order === undefined ? undefined : Given.functionOf(order, "Table.sorted.order")
      ),
      (cell) => new Ordered.SortedTable(cell, order === undefined)
    )
)

// ---------------------------------------------------------------------------------------------------------------------
// beside tables
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The table as a `SubscriptionRef` of its newest snapshot, for as long as the scope is open: for code that takes one.
 *
 * **When to use**
 *
 * Where something is to be given a `SubscriptionRef`. Else `snapshot` and `states` of the table itself give the same for
 * less, and `states` skips what a slow subscriber is too late for.
 *
 * **Details**
 *
 * It is written within the table's commits: after `awaitOffset` or `barrier` it has the write, and a rebuild sets it once.
 * Each version is published, so that the work of a subscriber is in proportion to the commits. It says nothing of the
 * table's status. When the table is closed or has failed for good, it keeps the last version, and its `changes` end, as they
 * do when the scope is closed: what a subscriber has not taken by then is dropped. Race with `failure` of the table to learn
 * why. It is read-only: `SubscriptionRef.set` and its like die.
 *
 * **Gotchas**
 *
 * It has the table keep its immutable map in step with every change: 4 to 6 microseconds for each, at 100,000 keys. A
 * `SubscriptionRef` keeps each version for a subscriber until that takes it, without bound: one that is stuck costs about
 * 1.5 KB with each commit of a change, where streams of the table keep a bounded number of changes, and `states` only the
 * newest.
 *
 * **Example** (The sum of all prices, for code that knows nothing of tables)
 *
 * ```ts
 * import { Console, Effect, HashMap, Schema, Stream, SubscriptionRef } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * const report = (ref: SubscriptionRef.SubscriptionRef<HashMap.HashMap<string, number>>) =>
 *   SubscriptionRef.changes(ref).pipe(
 *     Stream.runForEach((all) => Console.log(HashMap.reduce(all, 0, (sum, price) => sum + price)))
 *   )
 *
 * export const program = Effect.gen(function* () {
 *   const table = yield* KafkaTable.make(prices)
 *   const ref = yield* Table.ref(table)
 *   return yield* Effect.raceFirst(report(ref), table.failure)
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const ref = <K, V, E>(
  self: Table<K, V, E>
): Effect.Effect<SubscriptionRef.SubscriptionRef<HashMap.HashMap<K, V>>, never, Scope.Scope> =>
  Refs.ref(cellOf(self, "Table.ref.self"))

/**
 * What each element of a stream waits for before it is looked up: the whole stream once for the table to be complete, or
 * each element for an effect, for example `awaitOffset` of the write that it may depend on.
 *
 * @category options
 * @since 0.1.0
 */
export type LookupWait<A, E = never, R = never> = "caughtUp" | ((element: A) => Effect.Effect<unknown, E, R>)

/**
 * Options of `lookup`.
 *
 * @category options
 * @since 0.1.0
 */
export interface LookupOptions<out Wait extends LookupWait<never, unknown, unknown>> {
  /** Default: nothing, an element is looked up in what the table contains when it passes. */
  readonly waitFor: Wait
}

const isStream = Check.satisfies("a stream", Stream.isStream)
const isAnyTable = Check.satisfies("a table, and no effect that makes one", isTable)
const checkLookupOptions = Check.record<LookupOptions<LookupWait<never>>>({
  waitFor: Check.either(Check.oneOf("caughtUp"), Given.isFunction)
})

/**
 * Each element of a stream with the value that a table has for it when it passes: a stream that is enriched by a table, which
 * Kafka Streams calls a join with a global table.
 *
 * **When to use**
 *
 * Where what passes is to have the values of its time, once. Where it is to follow later changes of the table, too, make a
 * table of it and use `join`.
 *
 * **Details**
 *
 * Elements keep their order, and each comes out, with none where `keyOf` gives undefined or null or the table has no such
 * key. With `waitFor: "caughtUp"` the stream begins when the table is complete, and fails with what ends the table before
 * that. With `waitFor: (element) => …` each element waits for an effect of its own, and those after it wait, too; what fails
 * it fails the stream. What is awaited of a table holds for all that are derived from it.
 *
 * **Gotchas**
 *
 * Looking up never fails: once the table has failed for good, elements are given what it contained last. Add
 * `Stream.interruptWhen(table.failure)` where the stream should fail with it.
 *
 * **Example** (Orders with their prices, each at least as new as the write that the order names)
 *
 * ```ts
 * import { Effect, Option, Schema, Stream } from "effect"
 * import { KafkaTable, Table, TableTopic, type WriteAck } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * interface Order {
 *   readonly fruit: string
 *   readonly count: number
 *   readonly priced: WriteAck.WriteAck
 * }
 *
 * export const costs = (orders: Stream.Stream<Order>) =>
 *   Stream.unwrap(
 *     Effect.map(KafkaTable.make(prices), (table) =>
 *       orders.pipe(
 *         Table.lookup(table, (order) => order.fruit, { waitFor: (order) => table.awaitOffset(order.priced) }),
 *         Stream.interruptWhen(table.failure),
 *         Stream.map(([order, price]) => order.count * Option.getOrElse(price, () => 0))
 *       )
 *     )
 *   )
 * ```
 *
 * @category streams
 * @since 0.1.0
 */
export const lookup: {
  <A, K, V, E1>(
    table: Table<K, V, E1>,
    keyOf: (element: NoInfer<A>) => NoInfer<K> | null | undefined
  ): <E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<readonly [A, Option.Option<V>], E, R>
  <A, K, V, E1>(
    table: Table<K, V, E1>,
    keyOf: (element: NoInfer<A>) => NoInfer<K> | null | undefined,
    options: LookupOptions<"caughtUp">
  ): <E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<readonly [A, Option.Option<V>], E | E1 | TableClosed, R>
  <A, K, V, E1, E2, R2>(
    table: Table<K, V, E1>,
    keyOf: (element: NoInfer<A>) => NoInfer<K> | null | undefined,
    options: LookupOptions<(element: NoInfer<A>) => Effect.Effect<unknown, E2, R2>>
  ): <E, R>(self: Stream.Stream<A, E, R>) => Stream.Stream<readonly [A, Option.Option<V>], E | E2, R | R2>
  <A, E, R, K, V, E1>(
    self: Stream.Stream<A, E, R>,
    table: Table<K, V, E1>,
    keyOf: (element: A) => NoInfer<K> | null | undefined
  ): Stream.Stream<readonly [A, Option.Option<V>], E, R>
  <A, E, R, K, V, E1>(
    self: Stream.Stream<A, E, R>,
    table: Table<K, V, E1>,
    keyOf: (element: A) => NoInfer<K> | null | undefined,
    options: LookupOptions<"caughtUp">
  ): Stream.Stream<readonly [A, Option.Option<V>], E | E1 | TableClosed, R>
  <A, E, R, K, V, E1, E2, R2>(
    self: Stream.Stream<A, E, R>,
    table: Table<K, V, E1>,
    keyOf: (element: A) => NoInfer<K> | null | undefined,
    options: LookupOptions<(element: A) => Effect.Effect<unknown, E2, R2>>
  ): Stream.Stream<readonly [A, Option.Option<V>], E | E2, R | R2>
} = dual(
  Given.isDataFirst(1),
  <A, E, R, K, V, E1, E2, R2>(
    self: Stream.Stream<A, E, R>,
    table: Table<K, V, E1>,
    keyOf: (element: A) => K | null | undefined,
    options?: LookupOptions<LookupWait<A, E2, R2>>
  ): Stream.Stream<readonly [A, Option.Option<V>], E | E1 | E2 | TableClosed, R | R2> => {
    const elements = Check.takenOrThrow(isStream, self, "Table.lookup.self")
    const { awaitCaughtUp, view } = Check.takenOrThrow(isAnyTable, table, "Table.lookup.table")
    const { waitFor } = Given.optionsOf(options, "Table.lookup", checkLookupOptions)
    Given.functionOf(keyOf, "Table.lookup.keyOf")
    const found = (element: A): readonly [A, Option.Option<V>] => {
      const key = keyOf(element)
      if (key === undefined || key === null) return [element, Option.none()]
      const value = view.get(key)
      return [element, value !== undefined || view.has(key) ? Option.some(value as V) : Option.none()]
    }
    if (waitFor === undefined) return Stream.map(elements, found)
    if (waitFor === "caughtUp") return Stream.unwrap(Effect.as(awaitCaughtUp, Stream.map(elements, found)))
    return Stream.mapEffect(elements, (element) => Effect.map(waitFor(element), () => found(element)))
  }
)

// ---------------------------------------------------------------------------------------------------------------------
// layers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A layer that makes a table, of whatever shape, for a service of your own: for as long as the layer is in use.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, T extends Any, E, R>(
  tag: Context.Key<Self, T>,
  make: Effect.Effect<NoInfer<T>, E, R>
): Layer.Layer<Self, E, Exclude<R, Scope.Scope>> => Layer.effect(tag, make)

/**
 * A service class whose service is a table that is made of others.
 *
 * @category services
 * @since 0.1.0
 */
export interface ServiceClass<
  in out Self,
  in out Id extends string,
  in out T extends Any,
  out E,
  out R
> extends Context.ServiceClass<Self, Id, T> {
  /** The table; made once wherever it is provided, out of the services that it is made of. */
  readonly layer: Layer.Layer<Self, E, Exclude<R, Scope.Scope>>
}

/**
 * Defines a service for a table that is made of others, by an effect that makes it.
 *
 * **Example** (Gross prices, out of the table of net prices)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 * import * as MemoryKafka from "effect-ktables/MemoryKafka"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * class Prices extends KafkaTable.Service<Prices>()("app/Prices", prices) {}
 * class GrossPrices extends Table.Service<GrossPrices>()(
 *   "app/GrossPrices",
 *   Prices.use(Table.map((price) => price * 1.19))
 * ) {}
 *
 * const program = Effect.gen(function* () {
 *   const gross = yield* GrossPrices
 *   return yield* gross.get("apple")
 * })
 *
 * // Whoever needs `Prices`, too, is given the very table that gross prices are made of.
 * const tables = GrossPrices.layer.pipe(Layer.provideMerge(Prices.layer))
 *
 * export const main = program.pipe(Effect.provide(tables), Effect.provide(MemoryKafka.layer))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self>() =>
  <const Id extends string, T extends Any, E, R>(
    id: Id,
    make: Effect.Effect<T, E, R>
  ): ServiceClass<Self, Id, T, E, R> => {
    const tag = Context.Service<Self, T>()(id)
    return Object.assign(tag, { layer: layer(tag, make) }) as ServiceClass<Self, Id, T, E, R>
  }
