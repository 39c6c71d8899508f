/**
 * A remote table as a collection of TanStack DB: live queries over it, and optimistic writes that are acknowledged.
 *
 * **Details**
 *
 * A row is `{ key, value }`. What is inserted, updated or deleted shows at once, is written through the server, and stays once
 * the copy has it; a write that fails is taken back, and its transaction fails with the error of the write.
 *
 * **Example** (The options of a collection)
 *
 * ```ts
 * import type * as RemoteTable from "@effect-ktables/http/RemoteTable"
 * import * as TanStackDb from "@effect-ktables/http/TanStackDb"
 *
 * // createCollection(flagsOptions(flags)), with createCollection of @tanstack/db
 * export const flagsOptions = (flags: RemoteTable.RemoteTable<string, boolean>) => TanStackDb.options(flags, { id: "flags" })
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as TableReplication from "effect-ktables/TableReplication"
import type { RemoteTable } from "./RemoteTable.ts"

/**
 * A row of a collection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row<out K, out V> {
  readonly key: K
  readonly value: V
}

/**
 * What a collection hands over to be filled: a part of `SyncConfig` of `@tanstack/db`.
 *
 * @category models
 * @since 0.1.0
 */
export interface SyncParams<K, V> {
  readonly begin: () => void
  readonly write: (
    message:
      | { readonly type: "insert" | "update"; readonly value: Row<K, V> }
      | { readonly type: "delete"; readonly key: K }
  ) => void
  readonly commit: () => unknown
  readonly markReady: () => void
}

/**
 * What a collection wants to have written: a part of `MutationFnParams` of `@tanstack/db`.
 *
 * @category models
 * @since 0.1.0
 */
export interface MutationParams<K, V> {
  readonly transaction: {
    readonly mutations: ReadonlyArray<{ readonly key: K; readonly modified: Row<K, V> }>
  }
}

/**
 * The options of a collection: what `createCollection` of `@tanstack/db` takes.
 *
 * @category models
 * @since 0.1.0
 */
export interface CollectionOptions<K extends string | number, V> {
  readonly id: string
  readonly getKey: (row: Row<K, V>) => K
  readonly sync: {
    readonly rowUpdateMode: "full"
    readonly sync: (params: SyncParams<K, V>) => () => void
  }
  readonly onInsert: (params: MutationParams<K, V>) => Promise<void>
  readonly onUpdate: (params: MutationParams<K, V>) => Promise<void>
  readonly onDelete: (params: MutationParams<K, V>) => Promise<void>
}

/**
 * The options of a collection that shows a remote table, for as long as the table is open.
 *
 * @category constructors
 * @since 0.1.0
 */
export const options = <K extends string | number, V>(
  table: RemoteTable<K, V>,
  { id = table.url }: { readonly id?: string | undefined } = {}
): CollectionOptions<K, V> => {
  const written =
    (write: (mutation: MutationParams<K, V>["transaction"]["mutations"][number]) => ReturnType<typeof table.delete>) =>
    ({ transaction }: MutationParams<K, V>): Promise<void> =>
      // A collection lets go of what it shows ahead when this ends: by then the copy has the write.
      Effect.runPromise(
        Effect.forEach(transaction.mutations, (mutation) => Effect.flatMap(write(mutation), table.awaitAck), {
          concurrency: "unbounded",
          discard: true
        })
      )
  const put = written(({ key, modified }) => table.set(key, modified.value))
  return {
    id,
    getKey: ({ key }) => key,
    sync: { rowUpdateMode: "full", sync: (params) => Effect.runCallback(Effect.scoped(fill(table, params))) },
    onInsert: put,
    onUpdate: put,
    onDelete: written(({ key }) => table.delete(key))
  }
}

/** Hands on what the table has, and each of its commits in the step that makes it. */
const fill = Effect.fnUntraced(function* <K extends string | number, V>(
  table: RemoteTable<K, V>,
  { begin, commit, markReady, write }: SyncParams<K, V>
) {
  let isFilled = false
  const followed: TableReplication.Followed<K, V> = yield* TableReplication.follow(table, (changes) => {
    // What came before is part of the entries.
    if (!isFilled) return
    begin()
    for (const change of changes) {
      const { key } = change
      if (change._tag === "Deleted") write({ type: "delete", key })
      else write({ type: change.previous._tag === "None" ? "insert" : "update", value: { key, value: change.value } })
    }
    commit()
  })
  isFilled = true
  begin()
  for (const [key, value] of followed.entries()) write({ type: "insert", value: { key, value } })
  commit()
  yield* Effect.andThen(table.awaitCaughtUp, Effect.sync(markReady))
  return yield* Effect.never
})
