/** Hands each change of a table to the tables of its group alone: what one costs does not depend on how many there are. */
import * as Effect from "effect/Effect"
import type { GroupKey } from "../../Codec.ts"
import type { Cell } from "../table/cell.ts"
import type { Commit, Dependent, Receiver, Replacement } from "../table/commit.ts"
import type { Change, Written } from "../table/contents.ts"
import { KeyIndex } from "../table/keyIndex.ts"

/** Who follows a group, and what has changed in it in the commit that is under way. */
class Route<G, M, V> {
  readonly receivers = new Set<Receiver<GroupKey<G, M>, V>>()
  #changes: Array<Change<GroupKey<G, M>, V>> = []
  #slots: Array<number> = []

  /** Whether it is the first of its commit. */
  add(change: Change<GroupKey<G, M>, V>, slot: number): boolean {
    this.#slots.push(slot)
    return this.#changes.push(change) === 1
  }
  take(): Written<GroupKey<G, M>, V> {
    const written = { changes: this.#changes, slots: this.#slots }
    this.#changes = []
    this.#slots = []
    return written
  }
}

/** Stands between a table that a log fills and the tables of its groups. It is attached while there are any. */
export class GroupRoutes<G, M, V, E> implements Dependent, Receiver<GroupKey<G, M>, V> {
  readonly cell: Cell<GroupKey<G, M>, V, E>
  readonly height: number
  readonly #routes = new KeyIndex<G, Route<G, M, V>>()
  #size = 0
  #touched: Array<Route<G, M, V>> = []
  #detach = nothing

  constructor(cell: Cell<GroupKey<G, M>, V, E>) {
    this.cell = cell
    // As the tables of groups, which get there only by this.
    this.height = cell.height + 1
  }

  /** As `attach` of the table, of changes of one group. */
  attach(group: G, receiver: Receiver<GroupKey<G, M>, V>): () => void {
    let route = this.#routes.get(group)
    if (route === undefined) {
      if (this.#size++ === 0) this.#detach = this.cell.attach(this)
      this.#routes.set(group, (route = new Route()))
    }
    const { receivers } = route
    receivers.add(receiver)
    return () => {
      if (!receivers.delete(receiver) || receivers.size > 0) return
      this.#routes.delete(group)
      if (--this.#size === 0) this.#detach()
    }
  }

  // ---------------------------------------------------------------------------------------------- changes

  get dependent(): Dependent {
    return this
  }

  receive({ changes, slots }: Written<GroupKey<G, M>, V>): void {
    changes.forEach((change, i) => {
      try {
        const route = this.#routes.get(change.key.group)
        if (route !== undefined) this.#add(route, change, slots[i]!)
      } catch {
        // Whose group cannot be compared nobody knows: each table compares its own, and fails by what that throws.
        for (const [, route] of this.#routes) this.#add(route, change, slots[i]!)
      }
    })
  }

  #add(route: Route<G, M, V>, change: Change<GroupKey<G, M>, V>, slot: number): void {
    if (route.add(change, slot)) this.#touched.push(route)
  }

  /** What a log fills is not changed before it is there. */
  receiveNext(): void {}

  propagate(commit: Commit): void {
    const touched = this.#touched
    this.#touched = []
    for (const route of touched) commit.hand(route.receivers, route.take())
  }

  // ---------------------------------------------------------------------------------------------- replacement

  /** It contains nothing: the tables of groups are made of what the table is to contain. */
  prepare(replacement: Replacement): Effect.Effect<void> {
    return Effect.sync(() => {
      replacement.pass(() => this.#receivers())
    })
  }

  *#receivers(): Iterable<Receiver<GroupKey<G, M>, V>> {
    for (const [, { receivers }] of this.#routes) yield* receivers
  }
}

const nothing = () => {}
