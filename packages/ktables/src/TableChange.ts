/**
 * What a subscriber of a table hears.
 *
 * @since 0.1.0
 */
import type * as HashMap from "effect/HashMap"
import type * as Option from "effect/Option"

/**
 * A complete state, or one change to the state before it. A subscription starts with a `Snapshot`; a further `Snapshot`
 * with `resync: true` replaces everything heard so far, after a subscriber fell behind.
 *
 * @category models
 * @since 0.1.0
 */
export type TableChange<K, V> = TableChange.Snapshot<K, V> | TableChange.Set<K, V> | TableChange.Deleted<K, V>

/**
 * The members of `TableChange`.
 *
 * @since 0.1.0
 */
export declare namespace TableChange {
  /**
   * The whole table as of one version.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Snapshot<K, V> {
    readonly _tag: "Snapshot"
    readonly entries: HashMap.HashMap<K, V>
    /** False for a subscription's first, true when changes in between were dropped. */
    readonly resync: boolean
  }

  /**
   * A key has a value it did not have before, or a newer record of the same value.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Set<K, V> {
    readonly _tag: "Set"
    readonly key: K
    readonly value: V
    readonly previous: Option.Option<V>
  }

  /**
   * A key that was there is gone.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Deleted<K, V> {
    readonly _tag: "Deleted"
    readonly key: K
    readonly previous: V
  }
}
