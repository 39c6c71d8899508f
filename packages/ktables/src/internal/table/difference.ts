/** What has to change in the contents of a table to make others of them, by what was encoded. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Change, Contents } from "./contents.ts"
import { inSlices } from "../slice.ts"
import { KeyIndex } from "./keyIndex.ts"

export class Difference<K, V> {
  readonly #from: Contents<K, V>
  readonly #to: Contents<K, V>
  readonly #same: (a: V, b: V) => boolean
  readonly #changes: Array<Change<K, V> | undefined> = []
  /** Where a key's change lies, where one may be revised. */
  readonly #places: KeyIndex<K, number> | undefined

  /** @param isLive whether both contents may change after this was begun: each change is then told to `touch`. */
  constructor(from: Contents<K, V>, to: Contents<K, V>, same: (a: V, b: V) => boolean, isLive: boolean) {
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
      const next = isAdding ? added.next() : removed.next()
      if (next.done !== true) {
        const [key, value] = next.value
        if (isAdding) this.#set(key, value)
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

  #set(key: K, value: V): void {
    const previous = this.#from.find(key)
    if (Option.isSome(previous) && this.#same(previous.value, value)) return
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
