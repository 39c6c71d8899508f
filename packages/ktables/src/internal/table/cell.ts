/**
 * The heart of a table: its contents, and whoever follows them. It knows nothing of where entries come from. One writer
 * fills it, by `commit` and `replace`; tables that are derived from it attach to it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { TableClosed } from "../../TableError.ts"
import type { TableStatus } from "../../TableStatus.ts"
import { ChangeFeed } from "./changeFeed.ts"
import { Commit, type Receiver, Replacement } from "./commit.ts"
import type { Change, Contents } from "./contents.ts"
import { difference } from "./difference.ts"
import { StatusFeed } from "./statusFeed.ts"

export interface CellOptions<K, V, C extends Contents<K, V>> {
  /** What errors call the table. */
  readonly name: string
  readonly contents: C
  /** Whether two values of a key are one to those who follow changes. */
  readonly same: (a: V, b: V) => boolean
  /** Changes that a subscriber may be late by before it is handed a fresh state instead. */
  readonly capacity: number
  /** 0 for one that a log fills, and else more than that of any table it is derived from. */
  readonly height?: number
}

/** What a wait for completeness comes to under a status; undefined while it goes on. */
const completion = <E>(status: TableStatus<E>, name: string): Effect.Effect<void, E | TableClosed> | undefined => {
  switch (status._tag) {
    case "CaughtUp":
      return Effect.void
    case "Failed":
      return Effect.fail(status.error)
    case "Closed":
      return Effect.fail(new TableClosed({ topic: name }))
    default:
      return undefined
  }
}

export class Cell<K, V, E, C extends Contents<K, V> = Contents<K, V>> {
  readonly name: string
  readonly height: number
  readonly feed: ChangeFeed<K, V, E>
  readonly statuses: StatusFeed<E> = new StatusFeed<E>({ _tag: "Loading", replayed: 0, target: 0 })
  readonly #same: (a: V, b: V) => boolean
  readonly #receivers = new Set<Receiver<K, V>>()
  readonly #completions = new Set<(outcome: Effect.Effect<void, E | TableClosed>) => void>()
  readonly #failure = Deferred.makeUnsafe<never, E | TableClosed>()
  #contents: C

  constructor({ capacity, contents, height = 0, name, same }: CellOptions<K, V, C>) {
    this.name = name
    this.height = height
    this.#same = same
    this.#contents = contents
    this.feed = new ChangeFeed(this, capacity)
  }

  get contents(): C {
    return this.#contents
  }

  /** Whether anybody wants change objects: else none are made. */
  get #isFollowed(): boolean {
    return this.feed.wantsChanges || this.#receivers.size > 0
  }

  // ---------------------------------------------------------------------------------------------- the write port

  /**
   * What `write` does to the contents becomes visible at once, here and in everything that is derived from it. Only then
   * `reached` is called, which moves positions and wakes who waits for them, and then whoever follows changes is woken.
   */
  commit(write: () => void, reached: () => void): void {
    const commit = new Commit()
    this.write(commit, write)
    commit.run(reached)
  }

  /** As `commit`, as a part of one that began at the root: what tables that are derived write. */
  write(commit: Commit, write: () => void): void {
    const before = this.#contents.version
    const changes = this.#contents.mutate(write, this.#isFollowed)
    const { version } = this.#contents
    if (version !== before) commit.changed(this.#receivers, changes, () => this.feed.publish(changes, version))
  }

  /**
   * Puts other contents in place of these, here and in everything that is derived from it, in one step; whoever follows
   * changes gets the difference. `reached` as in `commit`. What it takes is prepared in slices, meanwhile the old contents
   * are read: the memory of both is needed. There must be no commit until it ends.
   */
  replace(next: C, reached: () => void): Effect.Effect<void> {
    return Effect.suspend(() => {
      const replacement = new Replacement()
      this.prepare(replacement, next)
      return replacement.run(reached)
    })
  }

  /** As `replace`, as a part of one that began at the root. */
  prepare(replacement: Replacement, next: C): void {
    let changes: ReadonlyArray<Change<K, V>> | undefined
    replacement.add(
      this,
      next,
      {
        compare: () =>
          this.#contents.hasMap && !next.isMapped
            ? next.prepareMap
            : changes === undefined && this.feed.wantsChanges
              ? Effect.map(difference(this.#contents, next, this.#same), (found) => {
                  changes = found
                })
              : undefined,
        swap: () => {
          next.version = this.#contents.version + 1
          this.#contents = next
          const { version } = next
          return () => this.feed.publish(changes ?? [], version)
        }
      },
      () => this.#receivers
    )
  }

  /**
   * From here on `receiver` gets what each commit changes, until the returned function is called. Both are allowed at any
   * time outside of `receive`, `propagate` and `prepare`.
   */
  attach(receiver: Receiver<K, V>): () => void {
    this.#receivers.add(receiver)
    return () => this.#receivers.delete(receiver)
  }

  // ---------------------------------------------------------------------------------------------- lifecycle

  get status(): TableStatus<E> {
    return this.statuses.current
  }

  /** Nothing follows `Closed`. */
  setStatus(status: TableStatus<E>): void {
    if (this.status._tag === "Closed") return
    this.statuses.set(status)
    const outcome = completion(status, this.name)
    if (outcome === undefined) return
    const waiting = [...this.#completions]
    this.#completions.clear()
    for (const resume of waiting) resume(outcome)
  }

  /** The writer has failed for good: the contents stay as they are. */
  fail(error: E): void {
    if (this.status._tag !== "Failed") this.setStatus({ _tag: "Failed", error })
    this.feed.end(Exit.fail(error))
    Deferred.doneUnsafe(this.#failure, Effect.fail(error))
  }

  close(): void {
    this.setStatus({ _tag: "Closed" })
    this.feed.end("closed")
    Deferred.doneUnsafe(this.#failure, Effect.fail(new TableClosed({ topic: this.name })))
  }

  /** Never succeeds. */
  readonly failure: Effect.Effect<never, E | TableClosed> = Deferred.await(this.#failure)

  /** Succeeds at `CaughtUp`, fails at `Failed` and `Closed`. */
  readonly awaitCaughtUp: Effect.Effect<void, E | TableClosed> = Effect.suspend(
    () =>
      completion(this.status, this.name) ??
      Effect.callback<void, E | TableClosed>((resume) => {
        const known = completion(this.status, this.name)
        if (known !== undefined) return resume(known)
        this.#completions.add(resume)
        return Effect.sync(() => this.#completions.delete(resume))
      })
  )
}
