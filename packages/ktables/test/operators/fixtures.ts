/** Roots that tests fill by hand, and what is derived from them. */
import { Effect, HashMap, Stream } from "effect"
import type { Table, TableError } from "effect-ktables"
import { vi } from "@effect/vitest"
import { Cell } from "../../src/internal/table/cell.ts"
import { CellTable } from "../../src/internal/table/cellTable.ts"
import { type Change, Contents } from "../../src/internal/table/contents.ts"

export interface Root<K, V> {
  readonly table: Table.Table<K, V, TableError.TopicDeleted>
  readonly cell: Cell<K, V, TableError.TopicDeleted>
}

export const rootOf = <K, V>(name = "root", entries: Iterable<readonly [K, V]> = []): Root<K, V> => {
  const cell = new Cell<K, V, TableError.TopicDeleted>({
    name,
    contents: contentsOf(entries),
    same: Object.is,
    capacity: 100_000
  })
  cell.setStatus({ _tag: "CaughtUp" })
  return { cell, table: new CellTable(cell) }
}

export const contentsOf = <K, V>(entries: Iterable<readonly [K, V]>): Contents<K, V> => {
  const contents = new Contents<K, V>()
  contents.mutate(() => {
    for (const [key, value] of entries) contents.set(key, value)
  }, false)
  return contents
}

const nothing = () => {}

/** One commit; undefined deletes. */
export const put = <K, V>(
  { cell }: Root<K, V>,
  entries: Iterable<readonly [K, V | undefined]>,
  reached: () => void = nothing
): void =>
  cell.commit(() => {
    for (const [key, value] of entries) {
      if (value === undefined) cell.contents.delete(key)
      else cell.contents.set(key, value)
    }
  }, reached)

/** From here on runs `look` on the stack of whoever hands out a batch of changes. */
export const onBatch = <K, V, E>(table: Table.Table<K, V, E>, look: (changes: ReadonlyArray<Change<K, V>>) => void) =>
  Effect.andThen(
    // A subscriber has the map made first, and on a slow machine it would begin after this has ended.
    table.snapshot,
    Effect.forkScoped(
      Stream.runForEach(table.changeBatches, (batch) =>
        Effect.sync(() => {
          const changes = batch.flatMap((change) => (change._tag === "Snapshot" ? [] : [change]))
          if (changes.length > 0) look(changes)
        })
      ),
      { startImmediately: true }
    )
  )

/** What a table contains, as a plain value with its keys in order; groups as plain values, too. */
export const shown = (entries: Iterable<readonly [unknown, unknown]>): unknown =>
  Array.from(
    entries,
    ([key, value]) => [key, HashMap.isHashMap(value) ? shown(HashMap.entries(value)) : value] as const
  ).sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))

/** Lets every look at the clock be a slice's last, so that whatever works in slices yields as often as it can. */
export const hurried = Effect.acquireRelease(
  Effect.sync(() => {
    let at = 0
    return vi.spyOn(performance, "now").mockImplementation(() => (at += 100))
  }),
  (spy) => Effect.sync(() => spy.mockRestore())
)
