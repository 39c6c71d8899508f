/** Tables whose entries are made of those of two: the left one's, each with the entry of the right one that it refers to. */
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import { setAt } from "../bySlot.ts"
import type { Cell } from "../table/cell.ts"
import { Contents } from "../table/contents.ts"
import { KeyIndex } from "../table/keyIndex.ts"
import { KeyMap } from "../table/keyMap.ts"
import { Looks } from "../table/looks.ts"
import { absent, type Absent, type OnError, refusal, type Refuse } from "./guarded.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Places } from "./places.ts"
import { Input, type Source } from "./source.ts"

/** What an entry of the left table comes to, with the slot of the right one's; undefined where there is none. */
type Combine<K, L, J, R, A> = (left: L, right: Contents<J, R>, slot: number | undefined, key: K) => A | Absent

/** The key of the right table that an entry of the left one refers to; nothing where it refers to none. */
export type On<K, L, J> = (left: L, key: K) => J | null | undefined

interface Functions<K, L, J, R, A> {
  readonly combine: Combine<K, L, J, R, A>
  /** Undefined where both tables have the same keys. */
  readonly on: On<K, L, J> | undefined
  readonly refuse: Refuse
}

class Joined<K, L, J, R, A> implements Derivation<K, A> {
  readonly contents = new Contents<K, A>()
  readonly #left: Source<K, L>
  readonly #right: Source<J, R>
  readonly #functions: Functions<K, L, J, R, A>
  readonly #references: References<K, J> | undefined
  readonly #places = new Places()
  #outputs: Array<Output<K, J, A>> = []

  constructor(left: Source<K, L>, right: Source<J, R>, functions: Functions<K, L, J, R, A>) {
    this.#left = left
    this.#right = right
    this.#functions = functions
    this.#references = functions.on === undefined ? undefined : new References()
  }

  compute(): void {
    const outputs: Array<Output<K, J, A>> = []
    this.#references?.looks.begin()
    if (this.#right.received.length === 0) {
      for (const { changes, slots } of this.#left.received) {
        changes.forEach((change, i) => {
          const slot = slots[i]!
          outputs.push(
            change._tag === "Set" ? this.#outputOf(slot, change.key, change.value) : nothingOf(slot, change.key)
          )
        })
      }
    } else this.#computeOnce(outputs)
    this.#outputs = outputs
  }

  /** Of all left keys that a change of either table concerns, each once. */
  #computeOnce(outputs: Array<Output<K, J, A>>): void {
    const done = new KeyIndex<K, true>()
    const left = this.#left.contents
    // What was deleted first: its slot may be another's by now, and its key in another slot.
    for (const { changes, slots } of this.#left.received) {
      changes.forEach(({ _tag, key }, i) => {
        if (_tag === "Deleted") outputs.push(nothingOf(slots[i]!, key))
      })
    }
    for (const { changes } of this.#left.received) {
      for (const { _tag, key } of changes) {
        if (_tag === "Deleted" || done.get(key)) continue
        done.set(key, true)
        const slot = left.slotOf(key)
        if (slot !== undefined) outputs.push(this.#outputOf(slot, key, left.valueAt(slot)))
      }
    }
    for (const { changes } of this.#right.received) {
      for (const { key: reference } of changes) {
        const combine = (key: K): void => {
          const slot = left.slotOf(key)
          if (slot === undefined || done.get(key)) return
          done.set(key, true)
          outputs.push({ slot, key, reference, it: this.#combined(key, left.valueAt(slot), reference) })
        }
        if (this.#references === undefined) combine(reference as unknown as K)
        else this.#references.to(reference, combine)
      }
    }
  }

  write(): void {
    for (const output of this.#outputs) this.#put(output)
    this.#outputs = []
  }

  fill(): () => boolean {
    return this.#left.walk((key, left, slot) => {
      this.#references?.looks.begin()
      this.#put(this.#outputOf(slot, key, left))
    })
  }

  #outputOf(slot: number, key: K, left: L): Output<K, J, A> {
    const { on, refuse } = this.#functions
    let reference: J | undefined
    try {
      reference = on === undefined ? (key as unknown as J) : (on(left, key) ?? undefined)
      if (reference !== undefined) this.#references?.looks.at(reference)
    } catch (cause) {
      return { slot, key, reference: undefined, it: refuse(key, cause) }
    }
    return { slot, key, reference, it: this.#combined(key, left, reference) }
  }

  #combined(key: K, left: L, reference: J | undefined): A | Absent {
    const right = this.#right.contents
    try {
      return this.#functions.combine(left, right, reference === undefined ? undefined : right.slotOf(reference), key)
    } catch (cause) {
      return this.#functions.refuse(key, cause)
    }
  }

  #put({ it, key, reference, slot }: Output<K, J, A>): void {
    this.#references?.set(slot, key, reference)
    this.#places.put(this.contents, slot, key, it)
  }
}

/** What has become of an entry of the left table. */
interface Output<K, J, A> {
  readonly slot: number
  readonly key: K
  readonly reference: J | undefined
  readonly it: A | Absent
}

const nothingOf = <K>(slot: number, key: K): Output<K, never, never> => ({
  slot,
  key,
  reference: undefined,
  it: absent
})

/** Which key of the right table each one of the left refers to, and the other way round. */
class References<K, J> {
  /** By the slots of the left table. */
  readonly #forth: Array<J | undefined> = []
  readonly #back = new KeyIndex<J, KeyMap<K, true>>()
  readonly looks = new Looks<J>(this.#back)

  set(slot: number, key: K, given: J | undefined): void {
    const before = this.#forth[slot]
    const reference = given === undefined ? undefined : this.#back.keyOf(given)
    if (Equal.equals(before, reference)) return
    setAt(this.#forth, slot, reference)
    if (before !== undefined) {
      const others = this.#back.get(before)!
      others.delete(key)
      if (others.size === 0) this.#back.delete(before)
    }
    if (reference === undefined) return
    const others = this.#back.get(reference)
    if (others !== undefined) return others.add(key, true)
    const first = new KeyMap<K, true>()
    first.add(key, true)
    this.#back.set(reference, first)
  }

  /** Runs `f` for each key that refers to it. */
  to(reference: J, f: (key: K) => void): void {
    this.#back.get(reference)?.forEach(f)
  }
}

const joined = <K, L, E, J, R, E1, A, E2>(
  operator: string,
  left: Cell<K, L, E>,
  right: Cell<J, R, E1>,
  on: On<K, L, J> | undefined,
  onError: OnError | undefined,
  combine: Combine<K, L, J, R, A>
): Derived<K, A, E | E1 | E2> => {
  const [lefts, rights] = [new Input(left), new Input(right)]
  const name = `${operator}(${left.name}, ${right.name})`
  const functions: Functions<K, L, J, R, A> = { combine, on, refuse: refusal(name, onError) }
  return make<K, A, E | E1 | E2>({
    name,
    inputs: [lefts, rights],
    derive: () => new Joined(lefts.newest, rights.newest, functions)
  })
}

export const join = <K, L, E, J, R, E1, A, E2>(
  left: Cell<K, L, E>,
  right: Cell<J, R, E1>,
  f: (left: L, right: R, key: K) => A,
  on: On<K, L, J> | undefined,
  onError: OnError | undefined
): Derived<K, A, E | E1 | E2> =>
  joined<K, L, E, J, R, E1, A, E2>("join", left, right, on, onError, (value, others, slot, key) =>
    slot === undefined ? absent : f(value, others.valueAt(slot), key)
  )

export const leftJoin = <K, L, E, J, R, E1, A, E2>(
  left: Cell<K, L, E>,
  right: Cell<J, R, E1>,
  f: (left: L, right: Option.Option<R>, key: K) => A,
  on: On<K, L, J> | undefined,
  onError: OnError | undefined
): Derived<K, A, E | E1 | E2> =>
  joined<K, L, E, J, R, E1, A, E2>("leftJoin", left, right, on, onError, (value, others, slot, key) =>
    f(value, slot === undefined ? Option.none() : Option.some(others.valueAt(slot)), key)
  )
