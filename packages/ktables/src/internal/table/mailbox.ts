/**
 * What one subscriber has yet to take. It holds at most `capacity` changes; one that falls behind further loses them all,
 * and is told so: a stuck subscriber costs at most that many changes, and nobody waits for it.
 */
import * as Effect from "effect/Effect"

export class Mailbox<A> {
  readonly #capacity: number
  #items: Array<A> = []
  #changes = 0
  #hasLost = false
  /** The version of the contents that the subscriber was handed as a whole; -1 before that. */
  #since = -1
  #wake: (() => void) | undefined

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /**
   * Takes in an item of so many changes and lets the subscriber look, which runs before this returns. Changes that it was
   * handed with the whole contents are not for it: it may have subscribed after they were applied and before this call.
   */
  offer(item: A, changes: number, version: number): void {
    if (version <= this.#since) return
    if (!this.#hasLost) {
      this.#changes += changes
      if (this.#changes > this.#capacity) return this.lose()
      this.#items.push(item)
    }
    this.wake()
  }

  /** Has the subscriber handed the contents as a whole: changes were lost. */
  lose(): void {
    this.#empty(true)
    this.wake()
  }

  /** Lets the subscriber look again. */
  wake(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** Whether there is nothing to be told. */
  get isEmpty(): boolean {
    return !this.#hasLost && this.#items.length === 0
  }

  /** Whether the subscriber has to be handed the contents as a whole, since changes did not fit. */
  get hasLost(): boolean {
    return this.#hasLost
  }

  /** What came since the last call. */
  take(): ReadonlyArray<A> {
    const items = this.#items
    this.#empty(false)
    return items
  }

  /** The subscriber is handed the contents of this version: what came before is of no more use. */
  restart(version: number): void {
    this.#empty(false)
    this.#since = version
  }

  #empty(hasLost: boolean): void {
    this.#items = []
    this.#changes = 0
    this.#hasLost = hasLost
  }

  /** Waits until there is something to be told, or `wake` is called; not at all where `isOver`. */
  awaitNews(isOver: () => boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      // Looked at in the same step: the fiber may have had to yield since it found nothing.
      if (!this.isEmpty || isOver()) return resume(Effect.void)
      this.#wake = () => resume(Effect.void)
      return Effect.sync(() => {
        this.#wake = undefined
      })
    })
  }
}
