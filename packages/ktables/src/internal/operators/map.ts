/** Tables whose entries are made of those of one source, key by key: `map`, `filter` and `filterMap`. */
import * as Result from "effect/Result"
import type { Cell } from "../table/cell.ts"
import { Contents } from "../table/contents.ts"
import { type Absent, absent, type OnError, refusal } from "./guarded.ts"
import { type Derivation, type Derived, make } from "./operator.ts"
import { Places } from "./places.ts"
import { Input, type Source } from "./source.ts"

class Mapped<K, V, B> implements Derivation<K, B> {
  readonly contents = new Contents<K, B>()
  readonly #source: Source<K, V>
  readonly #f: (value: V, key: K) => B | Absent
  readonly #places = new Places()
  /** One for each change that was received, in their order. */
  #outputs: Array<B | Absent> = []

  constructor(source: Source<K, V>, f: (value: V, key: K) => B | Absent) {
    this.#source = source
    this.#f = f
  }

  compute(): void {
    const outputs: Array<B | Absent> = []
    for (const { changes } of this.#source.received) {
      for (const change of changes) outputs.push(change._tag === "Set" ? this.#f(change.value, change.key) : absent)
    }
    this.#outputs = outputs
  }

  write(): void {
    let at = 0
    for (const { changes, slots } of this.#source.received) {
      changes.forEach(({ key }, i) => this.#places.put(this.contents, slots[i]!, key, this.#outputs[at++]!))
    }
    this.#outputs = []
  }

  fill(): () => boolean {
    return this.#source.walk((key, value, slot) => this.#places.put(this.contents, slot, key, this.#f(value, key)))
  }
}

const mapped = <K, V, E, B, E2>(
  operator: string,
  source: Cell<K, V, E>,
  onError: OnError | undefined,
  f: (value: V, key: K) => B | Absent
): Derived<K, B, E | E2> => {
  const input = new Input(source)
  const name = `${operator}(${source.name})`
  const refuse = refusal(name, onError)
  const guarded = (value: V, key: K): B | Absent => {
    try {
      return f(value, key)
    } catch (cause) {
      return refuse(key, cause)
    }
  }
  return make<K, B, E | E2>({ name, inputs: [input], derive: () => new Mapped(input.newest, guarded) })
}

export const map = <K, V, E, B, E2>(
  source: Cell<K, V, E>,
  f: (value: V, key: K) => B,
  onError: OnError | undefined
): Derived<K, B, E | E2> => mapped("map", source, onError, f)

export const filter = <K, V, E, E2>(
  source: Cell<K, V, E>,
  predicate: (value: V, key: K) => boolean,
  onError: OnError | undefined
): Derived<K, V, E | E2> => mapped("filter", source, onError, (value, key) => (predicate(value, key) ? value : absent))

export const filterMap = <K, V, E, B, X, E2>(
  source: Cell<K, V, E>,
  f: (value: V, key: K) => Result.Result<B, X>,
  onError: OnError | undefined
): Derived<K, B, E | E2> =>
  mapped("filterMap", source, onError, (value, key) => {
    const result = f(value, key)
    return Result.isSuccess(result) ? result.success : absent
  })
