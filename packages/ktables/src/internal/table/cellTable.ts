/** A cell as its readers see it: what `Table` says of a table. */
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import type * as HashMap from "effect/HashMap"
import type * as Option from "effect/Option"
import * as Pipeable from "effect/Pipeable"
import * as Stream from "effect/Stream"
import type { TableChange } from "../../TableChange.ts"
import type { TableClosed } from "../../TableError.ts"
import type { TableStatus } from "../../TableStatus.ts"
import type { Cell } from "./cell.ts"
import type { Contents } from "./contents.ts"
import { TypeId } from "./typeId.ts"
import { TableView } from "./view.ts"

export class CellTable<K, V, E, C extends Contents<K, V> = Contents<K, V>> extends Pipeable.Class {
  readonly [TypeId]: typeof TypeId = TypeId
  readonly #cell: Cell<K, V, E, C>
  readonly view: ReadonlyMap<K, V>
  readonly size: Effect.Effect<number>
  readonly keys: Effect.Effect<ReadonlyArray<K>>
  readonly values: Effect.Effect<ReadonlyArray<V>>
  readonly entries: Effect.Effect<ReadonlyArray<readonly [K, V]>>
  readonly snapshot: Effect.Effect<HashMap.HashMap<K, V>>
  readonly changes: Stream.Stream<TableChange<K, V>, E>
  readonly changeBatches: Stream.Stream<ReadonlyArray<TableChange<K, V>>, E>
  readonly states: Stream.Stream<HashMap.HashMap<K, V>, E>
  readonly status: Effect.Effect<TableStatus<E>>
  readonly statusChanges: Stream.Stream<TableStatus<E>>
  readonly failure: Effect.Effect<never, E | TableClosed>
  readonly awaitCaughtUp: Effect.Effect<void, E | TableClosed>
  readonly isCaughtUp: Effect.Effect<boolean>

  constructor(cell: Cell<K, V, E, C>) {
    super()
    this.#cell = cell
    this.view = new TableView(cell)
    this.size = Effect.sync(() => cell.contents.size)
    this.keys = Effect.sync(() => cell.contents.keys())
    this.values = Effect.sync(() => cell.contents.values())
    this.entries = Effect.sync(() => cell.contents.entries())
    this.snapshot = Effect.suspend(() => Effect.map(cell.contents.prepareMap, () => cell.contents.map()))
    this.changeBatches = Stream.flatMap(cell.feed.deliveries, (delivery) =>
      delivery._tag === "Snapshot"
        ? Stream.succeed([delivery])
        : Stream.fromIterable<ReadonlyArray<TableChange<K, V>>>(delivery.batches)
    )
    this.changes = Stream.flattenIterable(this.changeBatches)
    this.states = cell.feed.states
    this.status = Effect.sync(() => cell.status)
    this.statusChanges = cell.statuses.changes
    this.failure = cell.failure
    this.awaitCaughtUp = cell.awaitCaughtUp
    this.isCaughtUp = Effect.sync(() => cell.status._tag === "CaughtUp")
    // Its fields say nothing of what it holds.
    Equal.byReferenceUnsafe(this)
  }

  /** What is behind a table of this class. */
  static cellOf<K, V, E>(table: object): Cell<K, V, E> {
    return (table as CellTable<K, V, E>).#cell
  }

  readonly get = (key: K): Effect.Effect<Option.Option<V>> => Effect.sync(() => this.#cell.contents.find(key))
  readonly has = (key: K): Effect.Effect<boolean> => Effect.sync(() => this.#cell.contents.has(key))
  readonly watch = (key: K): Stream.Stream<Option.Option<V>, E> => this.#cell.feed.watch(key)
}
