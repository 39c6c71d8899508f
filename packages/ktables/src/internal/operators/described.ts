/** Tables whose values are what the contents of a source know of its entries, beside their values. */
import type { Cell } from "../table/cell.ts"
import { type Change, Contents } from "../table/contents.ts"
import { KeyIndex } from "../table/keyIndex.ts"
import { absent } from "./guarded.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Places } from "./places.ts"
import { Input, type Source } from "./source.ts"

/** What contents know of the entry that lies in a slot. */
export type Describe<K, V, A> = (contents: Contents<K, V>, slot: number, key: K) => A

class Described<K, V, A> implements Derivation<K, A> {
  readonly contents = new Contents<K, A>()
  readonly #source: Source<K, V>
  readonly #describe: Describe<K, V, A>
  readonly #same: (a: A, b: A) => boolean
  readonly #places = new Places()

  constructor(source: Source<K, V>, describe: Describe<K, V, A>, same: (a: A, b: A) => boolean) {
    this.#source = source
    this.#describe = describe
    this.#same = same
  }

  compute(): void {}

  /** The contents know of the last record of a key alone: where a commit has several, those before it are passed over. */
  write(): void {
    const { received } = this.#source
    const last = new KeyIndex<K, Change<K, V>>()
    const areSeveral = received.length > 1 || received[0]!.changes.length > 1
    if (areSeveral) for (const { changes } of received) for (const change of changes) last.set(change.key, change)
    for (const { changes, slots } of received) {
      for (const [i, change] of changes.entries()) {
        const { _tag, key } = change
        if (_tag === "Deleted") this.#places.put(this.contents, slots[i]!, key, absent)
        else if (!areSeveral || last.get(key) === change) this.#put(key, slots[i]!)
      }
    }
  }

  fill(): () => boolean {
    return this.#source.walk((key, _, slot) => this.#put(key, slot))
  }

  #put(key: K, slot: number): void {
    this.#places.put(this.contents, slot, key, this.#describe(this.#source.contents, slot, key), this.#same)
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
