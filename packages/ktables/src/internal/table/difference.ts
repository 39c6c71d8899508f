/** What has to change in the contents of a table to make others of them, by what was encoded. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Change, Contents } from "./contents.ts"
import { inSlices } from "../slice.ts"
import { KeyIndex } from "./keyIndex.ts"

/** Whether two values of a key are one to those who follow changes. */
export interface Same<in V> {
  (a: V, b: V): boolean
  /** The same a step at a time, of values that may be large; undefined of others. */
  readonly inSteps?: ((a: V, b: V) => Iterator<void, boolean> | undefined) | undefined
}

/** A key of which it is not found yet whether its values are the same. */
interface Comparing<K, V> {
  readonly key: K
  readonly from: V
  readonly to: V
  readonly steps: Iterator<void, boolean>
}

export class Difference<K, V> {
  readonly #from: Contents<K, V>
  readonly #to: Contents<K, V>
  readonly #same: Same<V>
  readonly #changes: Array<Change<K, V> | undefined> = []
  /** Where a key's change lies, where one may be revised. */
  readonly #places: KeyIndex<K, number> | undefined
  #comparing: Comparing<K, V> | undefined

  /** @param isLive whether both contents may change after this was begun: each change is then told to `touch`. */
  constructor(from: Contents<K, V>, to: Contents<K, V>, same: Same<V>, isLive: boolean) {
    this.#from = from
    this.#to = to
    this.#same = same
    this.#places = isLive ? new KeyIndex() : undefined
  }

  /** Looks at both, in slices. */
  get find(): Effect.Effect<void> {
    const removed = this.#from[Symbol.iterator]()
    const added = this.#to[Symbol.iterator]()
    let isAdding = true
    const look = inSlices(() => {
      if (this.#comparing !== undefined) {
        this.#compare(this.#comparing)
        return true
      }
      const next = isAdding ? added.next() : removed.next()
      if (next.done !== true) {
        const [key, value] = next.value
        if (isAdding) this.#look(key, value)
        else if (!this.#to.has(key)) this.#put(key, { _tag: "Deleted", key, previous: value })
        return true
      }
      if (!isAdding) return false
      isAdding = false
      return true
    })
    return Effect.andThen(Effect.andThen(this.#from.prepareValues, this.#to.prepareValues), look)
  }

  /** Looks again at keys that changed in either. */
  touch(changes: ReadonlyArray<Change<K, V>>): void {
    for (const { key } of changes) {
      this.#remove(key)
      const slot = this.#to.slotOf(key)
      if (slot !== undefined) this.#set(key, this.#to.valueAt(slot))
      else {
        const previous = this.#from.find(key)
        if (Option.isSome(previous)) this.#put(key, { _tag: "Deleted", key, previous: previous.value })
      }
    }
  }

  changes(): ReadonlyArray<Change<K, V>> {
    return this.#places === undefined
      ? (this.#changes as ReadonlyArray<Change<K, V>>)
      : this.#changes.filter((change) => change !== undefined)
  }

  /** As `#set`, of values that may be large a step at a time. */
  #look(key: K, to: V): void {
    const previous = this.#from.find(key)
    if (Option.isSome(previous) && !Object.is(previous.value, to)) {
      const from = previous.value
      const steps = this.#same.inSteps?.(from, to)
      if (steps !== undefined) {
        this.#comparing = { key, from, to, steps }
        return
      }
    }
    this.#judge(key, to, previous)
  }

  #compare({ from, key, steps, to }: Comparing<K, V>): void {
    const step = steps.next()
    if (step.done !== true) return
    this.#comparing = undefined
    // Where either was changed meanwhile, it was touched.
    if (step.value || this.#from.get(key) !== from || this.#to.get(key) !== to) return
    this.#put(key, { _tag: "Set", key, value: to, previous: Option.some(from) })
  }

  #set(key: K, value: V): void {
    this.#judge(key, value, this.#from.find(key))
  }

  /** Of values that may be large, and are not the very same, it is not asked here whether they hold the same. */
  #judge(key: K, value: V, previous: Option.Option<V>): void {
    if (Option.isSome(previous)) {
      const from = previous.value
      if (Object.is(from, value)) return
      if (this.#same.inSteps?.(from, value) === undefined && this.#same(from, value)) return
    }
    this.#put(key, { _tag: "Set", key, value, previous })
  }

  #put(key: K, change: Change<K, V>): void {
    if (this.#places !== undefined) {
      // Looked at when it was touched, and now that its turn has come.
      const place = this.#places.get(key)
      if (place !== undefined) {
        this.#changes[place] = change
        return
      }
      this.#places.set(key, this.#changes.length)
    }
    this.#changes.push(change)
  }

  #remove(key: K): void {
    const place = this.#places?.get(key)
    if (place === undefined) return
    this.#changes[place] = undefined
    this.#places!.delete(key)
  }
}
