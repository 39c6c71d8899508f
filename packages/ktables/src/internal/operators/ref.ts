/** A table's contents as a `SubscriptionRef`, which is written within the table's commits. */
import * as Effect from "effect/Effect"
import type * as HashMap from "effect/HashMap"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { Cell } from "../table/cell.ts"
import type { Commit, Dependent, Receiver, Replacement } from "../table/commit.ts"

type Ref<K, V> = SubscriptionRef.SubscriptionRef<HashMap.HashMap<K, V>>

class RefWriter<K, V, E> implements Dependent, Receiver<K, V> {
  readonly height: number
  readonly dependent = this
  readonly #cell: Cell<K, V, E>
  readonly #ref: Ref<K, V>
  readonly #detach: () => void
  #isOver = false

  constructor(cell: Cell<K, V, E>, ref: Ref<K, V>) {
    this.height = cell.height + 1
    this.#cell = cell
    this.#ref = ref
    this.#detach = cell.attach(this)
    // The table may have changed since the ref was made.
    if (this.#take()) this.#publish(this.#ref.value)
  }

  // It looks at the contents themselves.
  receive(): void {}
  receiveNext(): void {}

  propagate(commit: Commit): void {
    if (!this.#take()) return
    const { value } = this.#ref
    commit.afterwards(() => this.#publish(value))
  }

  prepare(replacement: Replacement): Effect.Effect<void> {
    return Effect.sync(() => {
      const next = replacement.nextOf(this.#cell) ?? this.#cell.contents
      replacement.add(
        this,
        next,
        replacement.isLive(this.#cell),
        {
          // The cell has the map of what it is to contain made before the swap, as long as it has one now.
          compare: () => undefined,
          swap: () => {
            if (!this.#take()) return nothing
            const { value } = this.#ref
            return () => this.#publish(value)
          },
          over: nothing
        },
        () => []
      )
    })
  }

  close(): void {
    this.#isOver = true
    this.#detach()
  }

  /** Whether there was something new. */
  #take(): boolean {
    if (this.#isOver) return false
    const value = this.#cell.contents.map()
    if (value === this.#ref.value) return false
    this.#ref.value = value
    return true
  }

  #publish(value: HashMap.HashMap<K, V>): void {
    PubSub.publishUnsafe(this.#ref.pubsub, value)
  }
}

const nothing = () => {}

/** Every write of others asks it for a permit first. */
const refusing = (name: string): Semaphore.Semaphore =>
  Object.assign(Semaphore.makeUnsafe(1), {
    withPermit: () => Effect.die(new TypeError(`a ref of ${name} is read-only: write to what the table is filled from`))
  })

export const ref = <K, V, E>(cell: Cell<K, V, E>): Effect.Effect<Ref<K, V>, never, Scope.Scope> =>
  Effect.gen(function* () {
    yield* cell.contents.prepareMap
    const made = yield* SubscriptionRef.make(cell.contents.map())
    const own: Ref<K, V> = Object.assign(made, { semaphore: refusing(cell.name) })
    yield* Effect.acquireRelease(
      Effect.sync(() => new RefWriter(cell, own)),
      (writer) =>
        Effect.andThen(
          Effect.sync(() => writer.close()),
          PubSub.shutdown(own.pubsub)
        )
    )
    // Settled once the table is closed, or has failed for good.
    yield* Effect.forkScoped(Effect.andThen(Effect.exit(cell.failure), PubSub.shutdown(own.pubsub)), {
      startImmediately: true
    })
    return own
  })
