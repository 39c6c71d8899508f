/** Tables whose values are what the contents of a source know of its entries, beside their values. */
import type { Cell } from "../table/cell.ts"
import { Contents } from "../table/contents.ts"
import { KeyIndex } from "../table/keyIndex.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Input, type Source } from "./source.ts"

/** What contents know of the entry that lies in a slot. */
export type Describe<K, V, A> = (contents: Contents<K, V>, slot: number, key: K) => A

class Described<K, V, A> implements Derivation<K, A> {
  readonly contents = new Contents<K, A>()
  readonly #source: Source<K, V>
  readonly #describe: Describe<K, V, A>
  readonly #same: (a: A, b: A) => boolean
  #changed: Array<K> = []

  constructor(source: Source<K, V>, describe: Describe<K, V, A>, same: (a: A, b: A) => boolean) {
    this.#source = source
    this.#describe = describe
    this.#same = same
  }

  /** The contents know of the last record of a key alone: where a commit has several, those before it are passed over. */
  compute(): void {
    const keys = new KeyIndex<K, true>()
    for (const changes of this.#source.received) {
      for (const { key } of changes) {
        if (keys.get(key)) continue
        keys.set(key, true)
        this.#changed.push(key)
      }
    }
  }

  write(): void {
    const { contents } = this.#source
    for (const key of this.#changed) {
      const slot = contents.slotOf(key)
      if (slot === undefined) this.contents.delete(key)
      else this.#put(key, this.#describe(contents, slot, key))
    }
    this.#changed = []
  }

  fill(): () => boolean {
    const { contents } = this.#source
    const slots = contents.slots()
    return () => {
      const next = slots.next()
      if (next.done === true) return false
      const [key, slot] = next.value
      this.#put(key, this.#describe(contents, slot, key))
      return true
    }
  }

  #put(key: K, it: A): void {
    this.contents.update(key, it, this.#same)
  }
}

export const described = <K, V, E, A>(
  operator: string,
  source: Cell<K, V, E>,
  describe: Describe<K, V, A>,
  same: (a: A, b: A) => boolean
): Derived<K, A, E> => {
  const input = new Input(source)
  return make<K, A, E>({
    name: `${operator}(${source.name})`,
    inputs: [input],
    derive: () => new Described(input.newest, describe, same),
    same
  })
}
