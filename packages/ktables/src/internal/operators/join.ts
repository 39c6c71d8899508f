/** Tables whose entries are made of those of two: the left one's, each with the entry of the right one that it refers to. */
import * as Equal from "effect/Equal"
import * as Option from "effect/Option"
import type { Cell } from "../table/cell.ts"
import { Contents } from "../table/contents.ts"
import { KeyIndex } from "../table/keyIndex.ts"
import { absent, type Absent, type OnError, refusal, type Refuse } from "./guarded.ts"
import { isSame } from "./isSame.ts"
import { KeyMap } from "./keyMap.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
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
  #outputs: Array<Output<K, J, A>> = []

  constructor(left: Source<K, L>, right: Source<J, R>, functions: Functions<K, L, J, R, A>) {
    this.#left = left
    this.#right = right
    this.#functions = functions
    this.#references = functions.on === undefined ? undefined : new References()
  }

  compute(): void {
    const outputs: Array<Output<K, J, A>> = []
    if (this.#right.received.length === 0) {
      for (const changes of this.#left.received) {
        for (const change of changes) {
          const { key } = change
          outputs.push(
            change._tag === "Set" ? this.#outputOf(key, change.value) : { key, reference: undefined, it: absent }
          )
        }
      }
    } else this.#computeOnce(outputs)
    this.#outputs = outputs
  }

  /** Of all left keys that a change of either table concerns, each once. */
  #computeOnce(outputs: Array<Output<K, J, A>>): void {
    const done = new KeyIndex<K, true>()
    const left = this.#left.contents
    for (const changes of this.#left.received) {
      for (const { key } of changes) {
        if (done.get(key)) continue
        done.set(key, true)
        const slot = left.slotOf(key)
        outputs.push(
          slot === undefined ? { key, reference: undefined, it: absent } : this.#outputOf(key, left.valueAt(slot))
        )
      }
    }
    for (const changes of this.#right.received) {
      for (const { key: reference } of changes) {
        const combine = (key: K): void => {
          const slot = left.slotOf(key)
          if (slot === undefined || done.get(key)) return
          done.set(key, true)
          outputs.push({ key, reference, it: this.#combined(key, left.valueAt(slot), reference) })
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
    return this.#left.walk((key, left) => this.#put(this.#outputOf(key, left)))
  }

  #outputOf(key: K, left: L): Output<K, J, A> {
    const { on, refuse } = this.#functions
    let reference: J | undefined
    try {
      reference = on === undefined ? (key as unknown as J) : (on(left, key) ?? undefined)
    } catch (cause) {
      return { key, reference: undefined, it: refuse(key, cause) }
    }
    return { key, reference, it: this.#combined(key, left, reference) }
  }

  #combined(key: K, left: L, reference: J | undefined): A | Absent {
    const right = this.#right.contents
    try {
      return this.#functions.combine(left, right, reference === undefined ? undefined : right.slotOf(reference), key)
    } catch (cause) {
      return this.#functions.refuse(key, cause)
    }
  }

  #put({ it, key, reference }: Output<K, J, A>): void {
    this.#references?.set(key, reference)
    if (it === absent) this.contents.delete(key)
    else this.contents.update(key, it, isSame)
  }
}

/** What has become of an entry of the left table. */
interface Output<K, J, A> {
  readonly key: K
  readonly reference: J | undefined
  readonly it: A | Absent
}

/** Which key of the right table each one of the left refers to, and the other way round. */
class References<K, J> {
  readonly #forth = new KeyIndex<K, J & {}>()
  readonly #back = new KeyIndex<J, KeyMap<K, true>>()

  set(key: K, reference: J | undefined): void {
    const before = this.#forth.get(key)
    if (Equal.equals(before, reference)) return
    if (before !== undefined) {
      const others = this.#back.get(before)!
      others.delete(key)
      if (others.size === 0) this.#back.delete(before)
    }
    if (reference === undefined) return this.#forth.delete(key)
    this.#forth.set(key, reference as J & {})
    let others = this.#back.get(reference)
    if (others === undefined) this.#back.set(reference, (others = new KeyMap()))
    others.add(key, true)
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
