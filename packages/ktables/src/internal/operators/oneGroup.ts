/** The table of one group: the members that a table has in it, by themselves. */
import * as Equal from "effect/Equal"
import type { GroupKey } from "../../Codec.ts"
import type { Cell } from "../table/cell.ts"
import { Contents, type Written } from "../table/contents.ts"
import { GroupIndex } from "../table/groupIndex.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Input, type Source } from "./source.ts"

/** Whether a group is the one that is meant. Strings, as most are, are compared without `Equal`. */
const isEqualTo = <G>(group: G): ((other: G) => boolean) =>
  typeof group === "object" && group !== null
    ? (other) => Equal.equals(group, other)
    : (other) => group === other || Object.is(group, other)

/** Takes in what changes its group, and nothing else. */
class GroupInput<G, M, V, E> extends Input<GroupKey<G, M>, V, E> {
  readonly #isOurs: (group: G) => boolean

  constructor(cell: Cell<GroupKey<G, M>, V, E>, group: G) {
    super(cell)
    this.#isOurs = isEqualTo(group)
  }

  override receive({ changes, slots }: Written<GroupKey<G, M>, V>): void {
    const isOurs = (_: unknown, i: number) => this.#isOurs(changes[i]!.key.group)
    if (changes.some(isOurs)) super.receive({ changes: changes.filter(isOurs), slots: slots.filter(isOurs) })
  }
}

class OneGroup<G, M, V> implements Derivation<M, V> {
  readonly contents = new Contents<M, V>()
  readonly #source: Source<GroupKey<G, M>, V>
  readonly #group: G

  constructor(source: Source<GroupKey<G, M>, V>, group: G) {
    this.#source = source
    this.#group = group
  }

  compute(): void {}

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

/** @param source that a log fills, whose contents have an index by groups. */
export const oneGroup = <G, M, V, E>(source: Cell<GroupKey<G, M>, V, E>, group: G): Derived<M, V, E> => {
  const input = new GroupInput(source, group)
  return make<M, V, E>({
    name: `a group of ${source.name}`,
    inputs: [input],
    derive: () => new OneGroup(input.newest, group),
    same: source.same
  })
}
