/**
 * Keys that a commit is to bring, looked at before anything is written: what throws when it is compared with the keys that are
 * there, or with each other, throws here, and never in the middle of what is written.
 */
import { keyText } from "./keyText.ts"
import { StructuralIndex } from "./structuralIndex.ts"

export class Looks<K> {
  readonly #index: { readonly get: (key: K) => unknown }
  /** Those that have no text, since the last `begin`. */
  #coming: StructuralIndex<K, true> | undefined

  constructor(index: { readonly get: (key: K) => unknown }) {
    this.#index = index
  }

  /** All that were looked at so far have been written, or never will be. */
  begin(): void {
    this.#coming = undefined
  }

  at(key: K): void {
    if (typeof key !== "object" || key === null || keyText(key) !== undefined) return
    this.#index.get(key)
    ;(this.#coming ??= new StructuralIndex()).set(key, true)
  }
}
