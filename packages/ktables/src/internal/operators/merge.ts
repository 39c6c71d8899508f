/** Tables over the keys of two others together: each entry is made of what the two contain for its key. */
import type { Cell } from "../table/cell.ts"
import { Contents } from "../table/contents.ts"
import { absent, type Absent, type OnError, refusal } from "./guarded.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Places, writeAt } from "./places.ts"
import { Input, type Source } from "./source.ts"

/** What a key comes to by the values of two sides; absent where one has none, which is never so of both. */
type Combine<K, X, Y, A> = (one: X | Absent, other: Y | Absent, key: K) => A | Absent

/** One of the two tables, and where that lies which was made of its entries. */
class Side<K, V> {
  readonly source: Source<K, V>
  readonly #places = new Places()

  constructor(source: Source<K, V>) {
    this.source = source
  }

  slotOf(key: K): number | undefined {
    return this.source.contents.slotOf(key)
  }
  valueAt(slot: number | undefined): V | Absent {
    return slot === undefined ? absent : this.source.contents.valueAt(slot)
  }
  placeOf(slot: number): number {
    return this.#places.of(slot)
  }
  /** @param place -1 where nothing was made of the entry, or it is gone. */
  put(slot: number | undefined, place: number): void {
    if (slot === undefined) return
    if (place < 0) this.#places.delete(slot)
    else this.#places.set(slot, place)
  }
}

class Merged<K, L, R, A> implements Derivation<K, A> {
  readonly contents = new Contents<K, A>()
  readonly #left: Side<K, L>
  readonly #right: Side<K, R>
  readonly #ofLeft: Combine<K, L, R, A>
  readonly #ofRight: Combine<K, R, L, A>
  /** What was found is written by these, in their order. */
  #writes: Array<() => void> = []

  constructor(left: Source<K, L>, right: Source<K, R>, combine: Combine<K, L, R, A>) {
    this.#left = new Side(left)
    this.#right = new Side(right)
    this.#ofLeft = combine
    this.#ofRight = (one, other, key) => combine(other, one, key)
  }

  compute(): void {
    this.#writes = []
    const [left, right] = [this.#left, this.#right]
    if (right.source.received.length === 0) this.#ofOne(left, right, this.#ofLeft)
    else if (left.source.received.length === 0) this.#ofOne(right, left, this.#ofRight)
    else this.#ofBoth()
  }

  write(): void {
    for (const write of this.#writes) write()
    this.#writes = []
  }

  fill(): () => boolean {
    const [left, right] = [this.#left, this.#right]
    const lefts = left.source.walk((key, value, slot) => this.#found(left, right, this.#ofLeft, slot, key, value)())
    const rights = right.source.walk((key, value, slot) => this.#found(right, left, this.#ofRight, slot, key, value)())
    return () => lefts() || rights()
  }

  /** Of the changes of one side, while the other has none. */
  #ofOne<X, Y>(own: Side<K, X>, other: Side<K, Y>, combine: Combine<K, X, Y, A>): void {
    for (const { changes, slots } of own.source.received) {
      changes.forEach((change, i) => {
        const value = change._tag === "Set" ? change.value : absent
        this.#writes.push(this.#found(own, other, combine, slots[i]!, change.key, value))
      })
    }
  }

  /** What a side's entry comes to, which has this value now or is gone: the other side has what it had. */
  #found<X, Y>(
    own: Side<K, X>,
    other: Side<K, Y>,
    combine: Combine<K, X, Y, A>,
    slot: number,
    key: K,
    value: X | Absent
  ): () => void {
    const otherSlot = other.slotOf(key)
    const it = value === absent && otherSlot === undefined ? absent : combine(value, other.valueAt(otherSlot), key)
    return () => {
      const before = otherSlot === undefined ? own.placeOf(slot) : other.placeOf(otherSlot)
      const place = writeAt(this.contents, before, key, it)
      own.put(slot, value === absent ? -1 : place)
      other.put(otherSlot, place)
    }
  }

  /** Of the keys that a commit changed when it has changed both sides. */
  #ofBoth(): void {
    const [left, right] = [this.#left, this.#right]
    const keys: Array<K> = []
    for (const side of [left, right]) {
      for (const { changes, slots } of side.source.received) {
        changes.forEach(({ _tag, key }, i) => {
          keys.push(key)
          // Before all else: a slot that an entry had may be another's by now.
          if (_tag === "Deleted") this.#writes.push(() => side.put(slots[i], -1))
        })
      }
    }
    for (const key of keys) {
      const [leftSlot, rightSlot] = [left.slotOf(key), right.slotOf(key)]
      const isGone = leftSlot === undefined && rightSlot === undefined
      const it = isGone ? absent : this.#ofLeft(left.valueAt(leftSlot), right.valueAt(rightSlot), key)
      this.#writes.push(() => {
        const place = writeAt(this.contents, this.contents.slotOf(key) ?? -1, key, it)
        left.put(leftSlot, place)
        right.put(rightSlot, place)
      })
    }
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
  merged<K, L, E, R, E1, L | R, never>(`union(${left.name}, ${right.name})`, left, right, (left, right) =>
    right === absent ? left : right
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
  return merged<K, V, E, V, E1, Difference<V>, E2>(name, from, to, (was, is, key) => {
    if (is === absent) return was === absent ? absent : { _tag: "Removed", from: was }
    if (was === absent) return { _tag: "Added", to: is }
    try {
      return equivalent(was, is) ? absent : { _tag: "Changed", from: was, to: is }
    } catch (cause) {
      return refuse(key, cause)
    }
  })
}
