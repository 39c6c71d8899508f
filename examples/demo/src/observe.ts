/** Follows a table for the screen: its newest changes, their rate, and the rows around the last of them. */
import { Clock, Duration, Effect, HashMap, Option, type Scope, Stream } from "effect"
import type { KafkaTable, TableChange } from "effect-ktables"
import type { Change, Column, Picture, TableState } from "./terminal/Picture.ts"

/** How the entries of a table look. */
export interface Display<V> {
  readonly columns: ReadonlyArray<Column>
  readonly cells: (key: string, value: V) => ReadonlyArray<string>
  readonly detail: (value: V, previous: Option.Option<V>) => string
}

/** The part of a picture that comes from the table. */
export type Observation = Pick<Picture, "columns" | "table" | "rate" | "rows" | "changes">

export interface Observer {
  readonly look: Effect.Effect<Observation>
}

/** Milliseconds for which a changed row stands out. */
const FRESH = 800
/** Milliseconds before the rows may move on to where the next change is. */
const STAY = 600
const REMEMBERED = 200
/** Rows are put in order for every picture, so of a huge table only this many are. */
const SORTED = 10_000

type Single<V> = Exclude<TableChange.TableChange<string, V>, { readonly _tag: "Snapshot" }>

/** A change in the words of the screen. */
export const toChange = <V>(display: Display<V>, change: Single<V>): Change =>
  change._tag === "Deleted"
    ? { kind: "removed", key: change.key, detail: "" }
    : {
        kind: Option.isNone(change.previous) ? "added" : "changed",
        key: change.key,
        detail: display.detail(change.value, change.previous)
      }

const stateOf = (health: KafkaTable.Health): TableState => ({
  status: health.status._tag,
  replayed: health.progress.replayed,
  target: health.progress.target,
  catchUp: Option.getOrUndefined(
    Option.map(health.stats.catchUp, ({ duration, replayed }) => ({
      records: replayed,
      millis: Duration.toMillis(duration)
    }))
  ),
  entries: health.stats.entries,
  records: health.stats.records,
  tombstones: health.stats.tombstones,
  undecodable: health.stats.keyDecodeErrors + health.stats.valueDecodeErrors,
  lag: health.partitions.reduce((sum, partition) => sum + partition.lag, 0),
  partitions: health.partitions.length,
  disconnected: health.partitions.filter((partition) => !partition.connected).length
})

/** `onBatch` hears what the observer hears. */
export const observe = Effect.fnUntraced(function* <V>(
  table: KafkaTable.KafkaTable<string, V>,
  display: Display<V>,
  onBatch: (batch: ReadonlyArray<TableChange.TableChange<string, V>>) => void = () => {}
): Effect.fn.Return<Observer, never, Scope.Scope> {
  const changes: Array<Change> = []
  const marks = new Map<string, { readonly kind: Change["kind"]; readonly at: number }>()
  const arrivals: Array<{ readonly at: number; readonly count: number }> = []
  let latest = ""
  let anchor = { key: "", at: 0 }

  const remember = (change: Change, at: number): void => {
    changes.unshift(change)
    marks.set(change.key, { kind: change.kind, at })
    latest = change.key
  }

  const take = Effect.fnUntraced(function* (batch: ReadonlyArray<TableChange.TableChange<string, V>>) {
    const at = yield* Clock.currentTimeMillis
    onBatch(batch)
    arrivals.push({ at, count: batch.filter((change) => change._tag !== "Snapshot").length })
    // Only the last of a great batch will be seen.
    for (const change of batch.slice(-REMEMBERED)) {
      if (change._tag !== "Snapshot") remember(toChange(display, change), at)
    }
    changes.length = Math.min(changes.length, REMEMBERED)
  })

  // Changes count from the catch-up on. A failure here is the table's own, which the program waits for.
  yield* table.awaitCaughtUp.pipe(
    Effect.andThen(Stream.runForEach(table.changeBatches, take)),
    Effect.ignore,
    Effect.forkScoped
  )

  let ordered: { readonly of: HashMap.HashMap<string, V>; readonly keys: ReadonlyArray<string> } | undefined
  const keysOf = (snapshot: HashMap.HashMap<string, V>): ReadonlyArray<string> => {
    if (ordered?.of !== snapshot) {
      const keys: Array<string> = []
      for (const key of HashMap.keys(snapshot)) if (keys.push(key) === SORTED) break
      ordered = { of: snapshot, keys: keys.sort() }
    }
    return ordered.keys
  }

  const rowsOf = (snapshot: HashMap.HashMap<string, V>, now: number) => (limit: number) => {
    const keys = keysOf(snapshot)
    const found = keys.findIndex((key) => key >= anchor.key)
    const first = (found === -1 ? keys.length : found) - Math.floor(limit / 4)
    const start = Math.max(0, Math.min(first, keys.length - limit))
    return keys.slice(start, start + limit).map((key) => {
      const mark = marks.get(key)
      return {
        cells: display.cells(key, HashMap.getUnsafe(snapshot, key)),
        mark: mark !== undefined && now - mark.at < FRESH ? mark.kind : undefined
      }
    })
  }

  const look = Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const health = yield* table.health
    const snapshot = yield* table.snapshot
    while (arrivals[0] !== undefined && now - arrivals[0].at > 1000) arrivals.shift()
    if (latest !== anchor.key && now - anchor.at > STAY) anchor = { key: latest, at: now }
    for (const [key, mark] of marks) if (now - mark.at > FRESH) marks.delete(key)
    return {
      columns: display.columns,
      table: stateOf(health),
      rate: arrivals.reduce((sum, { count }) => sum + count, 0),
      rows: rowsOf(snapshot, now),
      changes
    }
  })
  return { look }
})
