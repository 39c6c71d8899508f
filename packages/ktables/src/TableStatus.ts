/**
 * Where a table stands.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { KeysMoved, ReaderError } from "./TableError.ts"

/**
 * The states of a table. Being disconnected is health, not status: a table that lost its brokers stays `CaughtUp` and
 * serves what it has.
 *
 * - `Loading`: replaying towards the end offsets seen at start; `replayed` and `target` count offsets.
 * - `CaughtUp`: complete as of those offsets, and following.
 * - `Degraded`: the catch-up time ran out; incomplete, following, becomes `CaughtUp` by itself.
 * - `Rebuilding`: the log was found changed under the table; the old contents are served until the new ones are complete.
 * - `Failed`: the reader has ended; the contents are frozen.
 * - `Closed`: the scope was closed; reads give the last contents.
 *
 * @category models
 * @since 0.1.0
 */
export type TableStatus<E = ReaderError> = Data.TaggedEnum<{
  Loading: { readonly replayed: number; readonly target: number }
  CaughtUp: {}
  Degraded: { readonly replayed: number; readonly target: number }
  Rebuilding: { readonly reason: E | KeysMoved; readonly replayed: number; readonly target: number }
  Failed: { readonly error: E }
  Closed: {}
}>

/**
 * Constructors and matchers.
 *
 * **Example** (A line for a health endpoint)
 *
 * ```ts
 * import { TableStatus } from "effect-ktables"
 *
 * export const describe = TableStatus.TableStatus.$match({
 *   Loading: ({ replayed, target }) => `loading, ${replayed} of ${target}`,
 *   CaughtUp: () => "complete",
 *   Degraded: ({ replayed, target }) => `incomplete, ${replayed} of ${target}`,
 *   Rebuilding: ({ reason }) => `building again: ${reason.message}`,
 *   Failed: ({ error }) => `frozen: ${error.message}`,
 *   Closed: () => "closed"
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const TableStatus = Data.taggedEnum<TableStatus>()
