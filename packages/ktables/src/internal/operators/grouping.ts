/** Tables of groups: the entries of a table by what a function gives for each. */
import * as Equal from "effect/Equal"
import type * as HashMap from "effect/HashMap"
import { setAt } from "../bySlot.ts"
import type { Cell } from "../table/cell.ts"
import { Looks } from "../table/looks.ts"
import { type OnError, refusal, type Refuse } from "./guarded.ts"
import { Groups, type Member } from "./groups.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Input, type Source } from "./source.ts"

/** What a function gives: a key of groups, or several. */
export type Indices<I> = I | ReadonlyArray<I>

class Grouped<K, V, I> implements Derivation<I, HashMap.HashMap<K, V>> {
  readonly contents = new Groups<I, K, V>()
  readonly #source: Source<K, V>
  readonly #f: (value: V, key: K) => Indices<I>
  readonly #refuse: Refuse
  /** What became of the source's entries, by their slots: where it is in several groups, an array. */
  readonly #memberships: Array<Member<I, K, V> | ReadonlyArray<Member<I, K, V>> | undefined> = []
  readonly #looks = new Looks<I>(this.contents.index)
  #outputs: Array<Indices<I> & {}> = []

  constructor(source: Source<K, V>, f: (value: V, key: K) => Indices<I>, refuse: Refuse) {
    this.#source = source
    this.#f = f
    this.#refuse = refuse
  }

  compute(): void {
    const outputs: Array<Indices<I> & {}> = []
    this.#looks.begin()
    for (const { changes } of this.#source.received) {
      for (const change of changes) {
        outputs.push(change._tag === "Set" ? this.#indicesOf(change.value, change.key) : nowhere)
      }
    }
    this.#outputs = outputs
  }

  write(): void {
    let at = 0
    for (const { changes, slots } of this.#source.received) {
      changes.forEach((change, i) =>
        this.#move(slots[i]!, change.key, this.#outputs[at++]!, change._tag === "Set" ? change.value : undefined)
      )
    }
    this.#outputs = []
  }

  fill(): () => boolean {
    return this.#source.walk((key, value, slot) => {
      this.#looks.begin()
      this.#move(slot, key, this.#indicesOf(value, key), value)
    })
  }

  #indicesOf(value: V, key: K): Indices<I> & {} {
    try {
      const given = this.#f(value, key)
      if (!Array.isArray(given)) {
        this.#looks.at(given as I)
        return given ?? [given as I]
      }
      for (const one of given as ReadonlyArray<I>) this.#looks.at(one)
      return distinct(given)
    } catch (cause) {
      this.#refuse(key, cause)
      return nowhere
    }
  }

  /** @param value of the key, which has no meaning where it is to be in no group. */
  #move(slot: number, key: K, to: Indices<I> & {}, value: V | undefined): void {
    const from = this.#memberships[slot]
    const isOne = !Array.isArray(to)
    if (isOne && from !== undefined && !isSeveral(from) && Object.is(from.group.key, to)) {
      return this.contents.assign(from, value as V)
    }
    const before = from === undefined ? nowhere : isSeveral(from) ? from : [from]
    const after: ReadonlyArray<I> = isOne ? [to as I] : (to as ReadonlyArray<I>)
    const kept = after.map((index) => before.find(({ group }) => Equal.equals(group.key, index)))
    for (const member of before) if (!kept.includes(member)) this.contents.leave(member)
    const members = kept.map((member, i) => {
      if (member === undefined) return this.contents.enter(after[i]!, key, value as V)
      this.contents.assign(member, value as V)
      return member
    })
    setAt(this.#memberships, slot, members.length < 2 ? members[0] : members)
  }
}

const isSeveral = <A extends {}>(given: A | ReadonlyArray<A>): given is ReadonlyArray<A> => Array.isArray(given)

const nowhere: ReadonlyArray<never> = []

const distinct = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> =>
  all.length < 2 ? all : all.filter((one, i) => !all.some((other, j) => j < i && Equal.equals(one, other)))

export const index = <K, V, E, I, E2>(
  source: Cell<K, V, E>,
  f: (value: V, key: K) => Indices<I>,
  onError: OnError | undefined
): Derived<I, HashMap.HashMap<K, V>, E | E2> => {
  const input = new Input(source)
  const name = `index(${source.name})`
  const refuse = refusal(name, onError)
  return make<I, HashMap.HashMap<K, V>, E | E2>({
    name,
    inputs: [input],
    derive: () => new Grouped(input.newest, f, refuse)
  })
}
