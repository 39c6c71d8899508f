/** A map by keys as `Equal` compares them: few in arrays, since most of these maps are small and many, and many in an index. */
import * as Equal from "effect/Equal"
import { KeyIndex } from "./keyIndex.ts"

/** Keys that are looked through one by one. */
const FEW = 8

/** Nothing is written to it. */
const none: Array<never> = []

export class KeyMap<K, A extends {}> {
  #size = 0
  /** Undefined once there were more than a few. */
  #keys: Array<K> | undefined = none
  #values: Array<A> = none
  #many: KeyIndex<K, A> | undefined

  get size(): number {
    return this.#size
  }

  get(key: K): A | undefined {
    if (this.#keys === undefined) return this.#many!.get(key)
    const at = this.#indexOf(this.#keys, key)
    return at < 0 ? undefined : this.#values[at]
  }

  /** Of a key that is not in it. */
  add(key: K, value: A): void {
    this.#size++
    if (this.#keys === undefined) return this.#many!.set(key, value)
    if (this.#size === 1) {
      // As literals they take room for one, and by a first push for many.
      this.#keys = [key]
      this.#values = [value]
      return
    }
    this.#keys.push(key)
    this.#values.push(value)
    if (this.#size <= FEW) return
    const many = (this.#many = new KeyIndex<K, A>())
    this.#keys.forEach((one, i) => many.set(one, this.#values[i]!))
    this.#keys = undefined
    this.#values = none
  }

  /** Of a key that is in it. */
  replace(key: K, value: A): void {
    if (this.#keys === undefined) this.#many!.set(key, value)
    else this.#values[this.#indexOf(this.#keys, key)] = value
  }

  /** Of a key that is in it. */
  delete(key: K): void {
    this.#size--
    if (this.#keys === undefined) return this.#many!.delete(key)
    const at = this.#indexOf(this.#keys, key)
    const [lastKey, lastValue] = [this.#keys.pop()!, this.#values.pop()!]
    if (at === this.#keys.length) return
    this.#keys[at] = lastKey
    this.#values[at] = lastValue
  }

  /** Tolerates changes while it is walked: what is deleted before its turn is not visited, what is added may be. */
  *[Symbol.iterator](): Generator<readonly [K, A], undefined> {
    if (this.#keys === undefined) yield* this.#many!
    else {
      // They change places, and may be many by the next step.
      for (const key of this.#keys.slice()) {
        const value = this.get(key)
        if (value !== undefined) yield [key, value]
      }
    }
    return undefined
  }

  /** It must not change meanwhile. */
  forEach(f: (key: K) => void): void {
    if (this.#keys !== undefined) this.#keys.forEach((key) => f(key))
    else for (const [key] of this.#many!) f(key)
  }

  #indexOf(keys: ReadonlyArray<K>, key: K): number {
    for (let i = 0; i < keys.length; i++) if (keys[i] === key || Equal.equals(keys[i], key)) return i
    return -1
  }
}
