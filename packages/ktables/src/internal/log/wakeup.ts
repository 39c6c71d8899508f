/** What calls a session's controller: it sleeps until something changed that it deals with, or a time has come. */
import { Effect, Latch } from "effect"

export class Wakeup {
  readonly #changed = Latch.makeUnsafe(false)
  #isOutdated = false
  #at = Number.POSITIVE_INFINITY

  /** Whether somebody wants the topic described again. */
  get isOutdated(): boolean {
    return this.#isOutdated
  }

  /** Something has changed. */
  call(): void {
    this.#changed.openUnsafe()
  }

  /** Has the topic described again, soon. */
  refresh(): void {
    this.#isOutdated = true
    this.call()
  }

  /** Calls at a time, in milliseconds of the monotonic clock, at the latest. */
  callAt(at: number): void {
    this.#at = Math.min(this.#at, at)
  }

  /** Waits for a call, until `due` in milliseconds of the monotonic clock at the most. */
  await(due: number, now: () => number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const left = Math.min(due, this.#at) - now()
      return left > 0 ? Effect.raceFirst(this.#changed.await, Effect.sleep(left)) : Effect.void
    }).pipe(
      Effect.andThen(
        Effect.sync(() => {
          if (now() >= this.#at) this.#at = Number.POSITIVE_INFINITY
          this.#changed.closeUnsafe()
        })
      )
    )
  }

  /** The topic is being described: who wants it again from now on is not served by this. */
  serve(): void {
    this.#isOutdated = false
  }
}
