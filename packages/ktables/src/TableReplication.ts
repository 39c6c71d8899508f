/**
 * What carries a table to another place: its changes with their positions at the one end, and a table that is filled by hand
 * at the other.
 *
 * **When to use**
 *
 * For a way to hand tables on that is not here yet. `@effect-ktables/http` is made with it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as HashMap from "effect/HashMap"
import type * as Scope from "effect/Scope"
import * as Given from "./internal/operators/given.ts"
import { isSameWhole } from "./internal/operators/isSame.ts"
import { inSlices } from "./internal/slice.ts"
import { Cell } from "./internal/table/cell.ts"
import { CellTable } from "./internal/table/cellTable.ts"
import { Contents } from "./internal/table/contents.ts"
import type { Table } from "./Table.ts"
import type { TableChange } from "./TableChange.ts"
import type { TablePosition } from "./TablePosition.ts"
import type { TableStatus } from "./TableStatus.ts"

/**
 * One change of a key.
 *
 * @category models
 * @since 0.1.0
 */
export type Change<K, V> = TableChange.Set<K, V> | TableChange.Deleted<K, V>

/**
 * A table as somebody sees it who follows each of its commits.
 *
 * @category models
 * @since 0.1.0
 */
export interface Followed<in out K, in out V> {
  /** All entries as of now, in constant time. Changes that were handed over before this call are in it, and no later ones. */
  readonly entries: () => HashMap.HashMap<K, V>
  /** The position of those entries. */
  readonly position: () => TablePosition
}

/**
 * Hands over the changes of each commit, within the step that publishes it, for as long as the scope is open.
 *
 * **Details**
 *
 * `receive` is called after the table, all that is derived from it, and its position have the commit, and should do no more
 * than to put the changes by. A rebuild is handed over as its difference; the position may be lower after it. Nothing is kept
 * for who is slow: that is for `receive` to bound.
 *
 * **Gotchas**
 *
 * `entries` and `position` belong together only outside of commits: do not call them in `receive`, nor in the step in which
 * an `awaitOffset` or `barrier` resumes a program; `Effect.yieldNow` leaves it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const follow = <K, V, E>(
  table: Table<K, V, E>,
  receive: (changes: ReadonlyArray<Change<K, V>>) => void
): Effect.Effect<Followed<K, V>, never, Scope.Scope> =>
  Effect.suspend(() => {
    const cell = Given.cellOf<K, V, E>(table, "TableReplication.follow.table")
    Given.functionOf(receive, "TableReplication.follow.receive")
    return Effect.suspend(() => cell.contents.prepareMap).pipe(
      Effect.andThen(
        Effect.acquireRelease(
          Effect.sync(() => cell.feed.tap(receive)),
          (leave) => Effect.sync(leave)
        )
      ),
      Effect.as({ entries: () => cell.contents.map(), position: () => cell.position() })
    )
  })

/**
 * A table that is filled by hand, and what fills it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Replica<in out K, in out V, in out E> {
  readonly table: Table<K, V, E>
  /** Applies changes in one commit: the table has them, and the position, before anybody is resumed. */
  readonly commit: (changes: ReadonlyArray<EntryChange<K, V>>, position: TablePosition) => void
  /**
   * Puts entries in place of all that the table has, in one commit that is prepared in slices; who follows it gets the
   * difference. There must be no commit until it ends.
   */
  readonly replace: (entries: Iterable<readonly [K, V]>, position: TablePosition) => Effect.Effect<void>
  readonly setStatus: (status: TableStatus<E>) => void
  /** It ends for good, and keeps what it has. */
  readonly fail: (error: E) => void
  readonly close: () => void
}

/**
 * What becomes of a key: a value, or its deletion.
 *
 * @category models
 * @since 0.1.0
 */
export type EntryChange<K, V> = readonly [key: K, value: V] | readonly [key: K]

/**
 * A table that is filled by hand, `Loading` at first. Close it when nothing more comes.
 *
 * @param capacity changes that a slow subscriber may be late by before it is handed a fresh snapshot. Default: 16,384.
 * @category constructors
 * @since 0.1.0
 */
export const makeReplica = <K, V, E = never>(name: string, capacity = 16_384): Replica<K, V, E> => {
  let position: TablePosition = []
  const cell = new Cell<K, V, E>({
    name,
    contents: new Contents<K, V>(),
    same: (a, b) => isSameWhole(a, b) || Equal.equals(a, b),
    capacity,
    position: () => position
  })
  return {
    table: new CellTable(cell),
    commit: (changes, next) => {
      const { contents } = cell
      cell.commit(
        () => {
          for (const change of changes) {
            if (change.length === 2) contents.set(change[0], change[1])
            else contents.delete(change[0])
          }
        },
        () => {
          position = next
        }
      )
    },
    replace: (entries, position_) =>
      Effect.suspend(() => {
        const next = new Contents<K, V>()
        const rest = entries[Symbol.iterator]()
        const fill = inSlices(
          () => {
            const entry = rest.next()
            if (entry.done === true) return false
            next.set(entry.value[0], entry.value[1])
            return true
          },
          { commit: (slice) => void next.mutate(slice, false) }
        )
        return Effect.andThen(
          fill,
          cell.replace(next, () => {
            position = position_
          })
        )
      }),
    setStatus: (status) => cell.setStatus(status),
    fail: (error) => cell.fail(error),
    close: () => cell.close()
  }
}
