/**
 * An entry of a table with what its record says beside key and value.
 *
 * @since 0.1.0
 */

/**
 * A header of a record. Several of one record may have the same key, and their order is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Header {
  readonly key: string
  readonly value: Uint8Array | null
}

/**
 * An entry with the place of its record in the log, and its time.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableEntry<out K, out V> {
  readonly key: K
  readonly value: V
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the epoch, as the record or its topic stamped it; -1 where neither did. */
  readonly timestamp: number
}

/**
 * An entry of a table that keeps headers.
 *
 * @category models
 * @since 0.1.0
 */
export interface WithHeaders<out K, out V> extends TableEntry<K, V> {
  /** In their order. Their values are bytes of their own, which hold no more memory than their length. */
  readonly headers: ReadonlyArray<Header>
}
