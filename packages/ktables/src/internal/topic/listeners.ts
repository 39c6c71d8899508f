/** Who is called with everything that is said, in the step in which it counts. */
import { Effect, type Scope } from "effect"

export class Listeners<in out A = void> {
  readonly #all = new Set<(said: A) => void>()

  call(said: A): void {
    for (const listener of this.#all) listener(said)
  }

  /** Until the scope closes. */
  readonly subscribe = (listener: (said: A) => void): Effect.Effect<void, never, Scope.Scope> =>
    Effect.asVoid(
      Effect.acquireRelease(
        Effect.sync(() => this.#all.add(listener)),
        () => Effect.sync(() => this.#all.delete(listener))
      )
    )
}
