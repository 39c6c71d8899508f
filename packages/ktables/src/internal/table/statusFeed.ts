/** A table's status, and whoever follows it: set in one step, so that nobody finds an older one after what came of it. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { TableStatus } from "../../TableStatus.ts"

/** The most that are kept for a subscriber that does not take them; the newest is always among them. */
const KEPT = 16

interface Subscriber<E> {
  readonly pending: Array<TableStatus<E>>
  wake: (() => void) | undefined
}

/** Progress of one and the same state: only the newest is of use. */
const isProgress = <E>(before: TableStatus<E> | undefined, status: TableStatus<E>): boolean =>
  before !== undefined &&
  before._tag === status._tag &&
  !(before._tag === "Rebuilding" && status._tag === "Rebuilding" && before.reason !== status.reason)

export class StatusFeed<E> {
  readonly #subscribers = new Set<Subscriber<E>>()
  #current: TableStatus<E>

  constructor(initial: TableStatus<E>) {
    this.#current = initial
  }

  get current(): TableStatus<E> {
    return this.#current
  }

  /** Nothing follows `Closed`. Whoever follows is to be woken after it. */
  set(status: TableStatus<E>): void {
    if (this.#current._tag === "Closed") return
    this.#current = status
    for (const { pending } of this.#subscribers) {
      if (isProgress(pending.at(-1), status)) pending.pop()
      else if (pending.length >= KEPT) pending.shift()
      pending.push(status)
    }
  }

  wake(): void {
    for (const subscriber of this.#subscribers) {
      const { wake } = subscriber
      subscriber.wake = undefined
      wake?.()
    }
  }

  readonly #subscribe = Effect.acquireRelease(
    Effect.sync(() => {
      const subscriber: Subscriber<E> = { pending: [this.#current], wake: undefined }
      this.#subscribers.add(subscriber)
      return subscriber
    }),
    (subscriber) => Effect.sync(() => this.#subscribers.delete(subscriber))
  )

  /** The status now, and whenever it changes; ends with `Closed`. */
  readonly changes: Stream.Stream<TableStatus<E>> = Stream.unwrap(
    Effect.map(this.#subscribe, (subscriber) => {
      let isOver = false
      const step: Effect.Effect<readonly [TableStatus<E>], Cause.Done> = Effect.suspend(() => {
        const status = subscriber.pending.shift()
        if (status !== undefined) {
          isOver = status._tag === "Closed"
          return Effect.succeed([status] as const)
        }
        return isOver ? Cause.done() : Effect.andThen(news, step)
      })
      const news = Effect.callback<void>((resume) => {
        if (subscriber.pending.length > 0) return resume(Effect.void)
        subscriber.wake = () => resume(Effect.void)
        return Effect.sync(() => {
          subscriber.wake = undefined
        })
      })
      return Stream.fromPull(Effect.succeed(step))
    })
  )
}
