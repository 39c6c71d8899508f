/**
 * Tables as atoms of `effect/reactivity`: what a user interface shows of a table, and shows again when it changes.
 *
 * **Details**
 *
 * They take any table: a `RemoteTable` in a browser, and what is derived from it. An atom follows its table while somebody
 * uses it, and a key costs no more than its own changes.
 *
 * **Example** (A price, as a component reads it)
 *
 * ```ts
 * import * as TableAtom from "@effect-ktables/http/TableAtom"
 * import * as Option from "effect/Option"
 * import * as Atom from "effect/reactivity/Atom"
 * import type * as Table from "effect-ktables/Table"
 *
 * export const priceLabel = (prices: Table.Table<string, number>) => {
 *   const priceOf = TableAtom.values(prices)
 *   return Atom.make((get) => Option.match(get(priceOf("apple")), { onNone: () => "-", onSome: String }))
 * }
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as HashMap from "effect/HashMap"
import type * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as AsyncResult from "effect/reactivity/AsyncResult"
import * as Atom from "effect/reactivity/Atom"
import type * as Cause from "effect/Cause"
import type { Table } from "effect-ktables/Table"
import type { TableStatus } from "effect-ktables/TableStatus"

/** What can be read at once, and is followed by a stream. When that ends, the atom keeps what it has. */
const following = <A, E>(now: Effect.Effect<A>, changes: Stream.Stream<A, E>): Atom.Atom<A> =>
  Atom.readable((get) => {
    const follow = Effect.runCallback(
      Effect.ignore(Stream.runForEach(changes, (value) => Effect.sync(() => get.setSelf(value))))
    )
    get.addFinalizer(() => follow())
    return Effect.runSync(now)
  })

/**
 * An atom for each key: its value now, and whenever its entry changes; none while it is absent. The same key has the same
 * atom.
 *
 * @category atoms
 * @since 0.1.0
 */
export const values = <K, V, E>(table: Table<K, V, E>): ((key: K) => Atom.Atom<Option.Option<V>>) =>
  Atom.family((key: K) => following(table.get(key), table.watch(key)))

/**
 * An atom of the whole table: a snapshot of each version that is looked at. It is `Initial` until the first is made, and a
 * failure when the table has failed for good.
 *
 * @category atoms
 * @since 0.1.0
 */
export const entries = <K, V, E>(
  table: Table<K, V, E>
): Atom.Atom<AsyncResult.AsyncResult<HashMap.HashMap<K, V>, E | Cause.NoSuchElementError>> => Atom.make(table.states)

/**
 * An atom of the status of a table.
 *
 * @category atoms
 * @since 0.1.0
 */
export const status = <K, V, E>(table: Table<K, V, E>): Atom.Atom<TableStatus<E>> =>
  following(table.status, table.statusChanges)
