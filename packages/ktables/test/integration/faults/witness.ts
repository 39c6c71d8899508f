/** Watches a table for what must never be: changes that do not follow from those before, positions that go back. */
import { Effect, HashMap, type Scope, Stream } from "effect"
import type { KafkaTable } from "effect-ktables/KafkaTable"
import type { TableChange } from "effect-ktables/TableChange"
import type { TableStatus } from "effect-ktables/TableStatus"

export interface Witness {
  /** What the changes so far fold to. */
  readonly folded: ReadonlyMap<string, number>
  readonly violations: ReadonlyArray<string>
  /** Every status that was seen, in order. */
  readonly statuses: ReadonlyArray<TableStatus>
}

export const watch = Effect.fnUntraced(function* (
  table: KafkaTable<string, number>
): Effect.fn.Return<Witness, never, Scope.Scope> {
  const folded = new Map<string, number>()
  const violations: Array<string> = []
  const statuses: Array<TableStatus> = []
  const positions = new Map<number, number>()
  let readings = -1
  let snapshots = 0

  const take = (change: TableChange<string, number>): void => {
    if (change._tag === "Snapshot") {
      if (snapshots++ > 0 && !change.resync) violations.push("a second snapshot that is no resync")
      folded.clear()
      for (const [key, value] of HashMap.entries(change.entries)) folded.set(key, value)
      return
    }
    const before = folded.get(change.key)
    const previous = change._tag === "Deleted" ? change.previous : valueOf(change.previous)
    if (previous !== before) violations.push(`${change._tag} ${change.key}: before it was ${before}, not ${previous}`)
    if (change._tag === "Deleted") {
      if (!folded.delete(change.key)) violations.push(`${change.key} was deleted twice`)
      return
    }
    if (change.value === before) violations.push(`${change.key} = ${change.value} was told twice`)
    folded.set(change.key, change.value)
  }

  const look = Effect.map(table.health, ({ partitions, stats }) => {
    if (stats.rebuilds + stats.reloads !== readings) positions.clear()
    readings = stats.rebuilds + stats.reloads
    for (const { partition, position } of partitions) {
      const before = positions.get(partition) ?? 0
      if (position < before) violations.push(`[${partition}] went back from ${before} to ${position}`)
      positions.set(partition, position)
    }
  })

  yield* table.changeBatches.pipe(
    Stream.runForEach((batch) => {
      for (const change of batch) take(change)
      return look
    }),
    Effect.ignore,
    Effect.forkScoped
  )
  yield* table.statusChanges.pipe(
    Stream.runForEach((status) =>
      Effect.andThen(
        Effect.sync(() => statuses.push(status)),
        look
      )
    ),
    Effect.forkScoped
  )
  return { folded, violations, statuses }
})

const valueOf = (option: { readonly _tag: "None" } | { readonly _tag: "Some"; readonly value: number }) =>
  option._tag === "None" ? undefined : option.value
