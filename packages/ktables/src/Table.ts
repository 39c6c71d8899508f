/**
 * A live table in memory, whatever it is filled from: the one interface that every shape of table has.
 *
 * **When to use**
 *
 * Take a `Table` where a function reads or follows a table and does not care for Kafka: a `KafkaTable` is one, and so is
 * whatever is derived from it.
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
import type * as Effect from "effect/Effect"
import type * as HashMap from "effect/HashMap"
import type * as Option from "effect/Option"
import type * as Pipeable from "effect/Pipeable"
import type * as Stream from "effect/Stream"
import { TypeId } from "./internal/table/typeId.ts"
import type { TableChange } from "./TableChange.ts"
import type { TableClosed } from "./TableError.ts"
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
