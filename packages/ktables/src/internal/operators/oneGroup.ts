/** The table of one group: the members that a table has in it, by themselves. */
import type { GroupKey } from "../../Codec.ts"
import { Contents } from "../table/contents.ts"
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

  constructor(source: Source<GroupKey<G, M>, V>, group: G) {
    this.#source = source
    this.#group = group
  }

  /** The members were compared with each other where they are few, and here they are looked for as keys are. */
  compute(): void {
    this.#looks.begin()
    for (const { changes } of this.#source.received) for (const { key } of changes) this.#looks.at(key.member)
  }

  write(): void {
    for (const { changes } of this.#source.received) {
      for (const change of changes) {
        const { member } = change.key
        if (change._tag === "Set") this.contents.set(member, change.value)
        else this.contents.delete(member)
      }
    }
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
