/**
 * Hands each applied batch of changes to every subscriber, in order and without gaps, and never waits for any of them.
 *
 * A subscriber holds at most `capacity` changes. One that falls behind further loses its backlog and is handed a fresh
 * snapshot next, so a stuck subscriber costs at most that many changes and holds no old snapshot.
 */
import { Cause, Effect, type Exit, type HashMap, type Scope, Stream } from "effect"
import type { TableError } from "../../TableError.ts"
import type { Change } from "../reader/contents.ts"

/** What one pull of a subscription gives. */
export type Delivery<K, V> =
  | { readonly _tag: "Snapshot"; readonly entries: HashMap.HashMap<K, V>; readonly resync: boolean }
  | { readonly _tag: "Batches"; readonly batches: ReadonlyArray<ReadonlyArray<Change<K, V>>> }

export interface Source<K, V> {
  /** The current map; a subscriber that registers in the same synchronous step misses nothing after it. */
  readonly current: () => HashMap.HashMap<K, V>
  /** Makes `current` cheap. */
  readonly prepare: Effect.Effect<void>
}

class Subscriber<K, V> {
  queue: Array<ReadonlyArray<Change<K, V>>> = []
  queued = 0
  lagged = false
  wake: (() => void) | undefined
}

export class ChangeFeed<K, V> {
  readonly #subscribers = new Set<Subscriber<K, V>>()
  readonly #stateListeners = new Set<() => void>()
  #end: Exit.Exit<never, TableError> | "closed" | undefined
  readonly #source: Source<K, V>
  readonly #capacity: number

  constructor(source: Source<K, V>, capacity: number) {
    this.#source = source
    this.#capacity = capacity
  }

  /** Whether anybody wants change objects: without subscribers none are made. */
  get hasSubscribers(): boolean {
    return this.#subscribers.size > 0
  }

  /** Synchronous, and as cheap as one push per subscriber. */
  publish(changes: ReadonlyArray<Change<K, V>>): void {
    if (changes.length > 0) {
      for (const subscriber of this.#subscribers) {
        if (!subscriber.lagged) {
          subscriber.queued += changes.length
          if (subscriber.queued > this.#capacity) {
            subscriber.queue = []
            subscriber.queued = 0
            subscriber.lagged = true
          } else subscriber.queue.push(changes)
        }
        const wake = subscriber.wake
        subscriber.wake = undefined
        wake?.()
      }
    }
    this.stateChanged()
  }

  stateChanged(): void {
    for (const listener of this.#stateListeners) listener()
  }

  /** Ends all subscriptions behind what is queued: cleanly, or with the table's failure. */
  end(end: Exit.Exit<never, TableError> | "closed"): void {
    this.#end ??= end
    for (const subscriber of this.#subscribers) {
      const wake = subscriber.wake
      subscriber.wake = undefined
      wake?.()
    }
    this.stateChanged()
  }

  /** A subscription per run: a snapshot, then what is applied after it. */
  readonly deliveries: Stream.Stream<Delivery<K, V>, TableError> = Stream.unwrap(
    Effect.map(this.#prepared(this.#subscribe()), (subscriber) => {
      let started = false
      const step: Effect.Effect<Delivery<K, V>, TableError | Cause.Done> = Effect.suspend(() => {
        if (!started) {
          started = true
          subscriber.queue = []
          subscriber.queued = 0
          subscriber.lagged = false
          return Effect.succeed<Delivery<K, V>>({ _tag: "Snapshot", entries: this.#source.current(), resync: false })
        }
        return Effect.flatMap(this.#awaitNews(subscriber), () => {
          if (subscriber.lagged) {
            subscriber.lagged = false
            return Effect.succeed<Delivery<K, V>>({ _tag: "Snapshot", entries: this.#source.current(), resync: true })
          }
          if (subscriber.queue.length > 0) {
            const batches = subscriber.queue
            subscriber.queue = []
            subscriber.queued = 0
            return Effect.succeed<Delivery<K, V>>({ _tag: "Batches", batches })
          }
          return this.#ended()
        })
      })
      return Stream.fromPull(Effect.succeed(Effect.map(step, (delivery) => [delivery] as const)))
    })
  )

  /** The newest state whenever it changed since the last pull. */
  readonly states: Stream.Stream<HashMap.HashMap<K, V>, TableError> = Stream.unwrap(
    Effect.map(
      this.#prepared(
        Effect.acquireRelease(
          Effect.sync(() => {
            const listener = { dirty: true, wake: undefined as (() => void) | undefined, notify: () => {} }
            listener.notify = () => {
              listener.dirty = true
              const wake = listener.wake
              listener.wake = undefined
              wake?.()
            }
            this.#stateListeners.add(listener.notify)
            return listener
          }),
          (listener) => Effect.sync(() => this.#stateListeners.delete(listener.notify))
        )
      ),
      (listener) => {
        let last: HashMap.HashMap<K, V> | undefined
        const step: Effect.Effect<HashMap.HashMap<K, V>, TableError | Cause.Done> = Effect.suspend(() => {
          listener.dirty = false
          const current = this.#source.current()
          if (current !== last) {
            last = current
            return Effect.succeed(current)
          }
          if (this.#end !== undefined) return this.#ended()
          return Effect.flatMap(
            Effect.callback<void>((resume) => {
              if (listener.dirty) return resume(Effect.void)
              listener.wake = () => resume(Effect.void)
            }),
            () => step
          )
        })
        return Stream.fromPull(Effect.succeed(Effect.map(step, (state) => [state] as const)))
      }
    )
  )

  #prepared<A, E, R>(subscribe: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.andThen(
      Effect.suspend(() => this.#source.prepare),
      subscribe
    )
  }

  #ended(): Effect.Effect<never, TableError | Cause.Done> {
    const end = this.#end!
    return end === "closed" ? Cause.done() : end
  }

  #awaitNews(subscriber: Subscriber<K, V>): Effect.Effect<void> {
    return Effect.suspend(() =>
      subscriber.lagged || subscriber.queue.length > 0 || this.#end !== undefined
        ? Effect.void
        : Effect.callback<void>((resume) => {
            subscriber.wake = () => resume(Effect.void)
            return Effect.sync(() => {
              subscriber.wake = undefined
            })
          })
    )
  }

  #subscribe(): Effect.Effect<Subscriber<K, V>, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        const subscriber = new Subscriber<K, V>()
        this.#subscribers.add(subscriber)
        return subscriber
      }),
      (subscriber) =>
        Effect.sync(() => {
          subscriber.queue = []
          this.#subscribers.delete(subscriber)
        })
    )
  }
}
