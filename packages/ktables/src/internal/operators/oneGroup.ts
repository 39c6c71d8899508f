/** The table of one group: the members that a table has in it, by themselves. */
import * as Equal from "effect/Equal"
import type { GroupKey } from "../../Codec.ts"
import { type Change, Contents } from "../table/contents.ts"
import { GroupIndex } from "../table/groupIndex.ts"
import { Looks } from "../table/looks.ts"
import type { GroupRoutes } from "./groupRoutes.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Input, type Source } from "./source.ts"

class OneGroup<G, M, V> implements Derivation<M, V> {
  readonly contents = new Contents<M, V>()
  readonly #source: Source<GroupKey<G, M>, V>
  readonly #group: G
  readonly #looks = new Looks<M>(this.contents.index)
  /** What was found, to be written. */
  #changes: Array<Change<GroupKey<G, M>, V>> = []

  constructor(source: Source<GroupKey<G, M>, V>, group: G) {
    this.#source = source
    this.#group = group
  }

  /**
   * The members were compared with each other where they are few, and here they are looked for as keys are. Changes are of this
   * group, but for those whose group could not be compared with others.
   */
  compute(): void {
    this.#looks.begin()
    this.#changes = []
    for (const { changes } of this.#source.received) {
      for (const change of changes) {
        const { group, member } = change.key
        if (!Equal.equals(group, this.#group)) continue
        this.#looks.at(member)
        this.#changes.push(change)
      }
    }
  }

  write(): void {
    for (const change of this.#changes) {
      const { member } = change.key
      if (change._tag === "Set") this.contents.set(member, change.value)
      else this.contents.delete(member)
    }
    this.#changes = []
  }

  fill(): () => boolean {
    const from = this.#source.contents
    const members = GroupIndex.of(from).membersOf(this.#group)?.[Symbol.iterator]()
    return () => {
      const next = members?.next()
      if (next === undefined || next.done === true) return false
      this.contents.set(next.value[0], from.valueAt(next.value[1]))
      return true
    }
  }
}

export const oneGroup = <G, M, V, E>(routes: GroupRoutes<G, M, V, E>, group: G): Derived<M, V, E> => {
  const { cell } = routes
  const input = new Input(cell, (receiver) => routes.attach(group, receiver))
  return make<M, V, E>({
    name: `a group of ${cell.name}`,
    inputs: [input],
    derive: () => new OneGroup(input.newest, group),
    same: cell.same
  })
}
