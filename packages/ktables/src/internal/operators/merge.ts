/** Tables over the keys of two others together: each entry is made of what the two contain for its key. */
import type { Cell } from "../table/cell.ts"
import { Contents } from "../table/contents.ts"
import { absent, type Absent, type OnError, refusal } from "./guarded.ts"
import { isSame } from "./isSame.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Input, type Source } from "./source.ts"

/** What a key comes to, with the slots of both sides' entries; undefined where there is none, which it never is in both. */
type Combine<K, L, R, A> = (
  left: Contents<K, L>,
  leftSlot: number | undefined,
  right: Contents<K, R>,
  rightSlot: number | undefined,
  key: K
) => A | Absent

class Merged<K, L, R, A> implements Derivation<K, A> {
  readonly contents = new Contents<K, A>()
  readonly #left: Source<K, L>
  readonly #right: Source<K, R>
  readonly #combine: Combine<K, L, R, A>
  /** Keys and what they come to, one after the other. */
  #keys: Array<K> = []
  #outputs: Array<A | Absent> = []

  constructor(left: Source<K, L>, right: Source<K, R>, combine: Combine<K, L, R, A>) {
    this.#left = left
    this.#right = right
    this.#combine = combine
  }

  compute(): void {
    const keys: Array<K> = []
    const outputs: Array<A | Absent> = []
    for (const { received } of [this.#left, this.#right]) {
      for (const { changes } of received) {
        for (const { key } of changes) {
          keys.push(key)
          outputs.push(this.#outputOf(key))
        }
      }
    }
    this.#keys = keys
    this.#outputs = outputs
  }

  write(): void {
    for (let i = 0; i < this.#keys.length; i++) this.#put(this.#keys[i]!, this.#outputs[i]!)
    this.#keys = []
    this.#outputs = []
  }

  fill(): () => boolean {
    const put = (key: K): void => this.#put(key, this.#outputOf(key))
    const [left, right] = [this.#left.walk(put), this.#right.walk(put)]
    return () => left() || right()
  }

  #outputOf(key: K): A | Absent {
    const [left, right] = [this.#left.contents, this.#right.contents]
    const [leftSlot, rightSlot] = [left.slotOf(key), right.slotOf(key)]
    return leftSlot === undefined && rightSlot === undefined
      ? absent
      : this.#combine(left, leftSlot, right, rightSlot, key)
  }

  #put(key: K, output: A | Absent): void {
    if (output === absent) this.contents.delete(key)
    else this.contents.update(key, output, isSame)
  }
}

const merged = <K, L, E, R, E1, A, E2>(
  name: string,
  left: Cell<K, L, E>,
  right: Cell<K, R, E1>,
  combine: Combine<K, L, R, A>
): Derived<K, A, E | E1 | E2> => {
  const [lefts, rights] = [new Input(left), new Input(right)]
  return make<K, A, E | E1 | E2>({
    name,
    inputs: [lefts, rights],
    derive: () => new Merged(lefts.newest, rights.newest, combine)
  })
}

/** All entries of both; where a key is in both, that of the right one. */
export const union = <K, L, E, R, E1>(left: Cell<K, L, E>, right: Cell<K, R, E1>): Derived<K, L | R, E | E1> =>
  merged<K, L, E, R, E1, L | R, never>(
    `union(${left.name}, ${right.name})`,
    left,
    right,
    (lefts, leftSlot, rights, rightSlot) =>
      rightSlot === undefined ? lefts.valueAt(leftSlot!) : rights.valueAt(rightSlot)
  )

/** How the entries of a key differ: what the one that a table is compared from has, and what the other. */
export type Difference<V> =
  | { readonly _tag: "Added"; readonly to: V }
  | { readonly _tag: "Removed"; readonly from: V }
  | { readonly _tag: "Changed"; readonly from: V; readonly to: V }

/** The keys whose entries differ, and how. */
export const diff = <K, V, E, E1, E2>(
  from: Cell<K, V, E>,
  to: Cell<K, V, E1>,
  equivalent: (from: V, to: V) => boolean,
  onError: OnError | undefined
): Derived<K, Difference<V>, E | E1 | E2> => {
  const name = `diff(${from.name}, ${to.name})`
  const refuse = refusal(name, onError)
  return merged<K, V, E, V, E1, Difference<V>, E2>(name, from, to, (before, fromSlot, after, toSlot, key) => {
    if (fromSlot === undefined) return { _tag: "Added", to: after.valueAt(toSlot!) }
    const was = before.valueAt(fromSlot)
    if (toSlot === undefined) return { _tag: "Removed", from: was }
    const is = after.valueAt(toSlot)
    try {
      return equivalent(was, is) ? absent : { _tag: "Changed", from: was, to: is }
    } catch (cause) {
      return refuse(key, cause)
    }
  })
}
