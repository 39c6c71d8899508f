/**
 * The heart of a table: its contents, and whoever follows them. It knows nothing of where entries come from. One writer
 * fills it, by `commit` and `replace`; tables that are derived from it attach to it.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { TableClosed } from "../../TableError.ts"
import type { TablePosition } from "../../TablePosition.ts"
import type { TableStatus } from "../../TableStatus.ts"
import { ChangeFeed } from "./changeFeed.ts"
import { Commit, type Receiver, Replacement } from "./commit.ts"
import type { Contents } from "./contents.ts"
import { Difference, type Same } from "./difference.ts"
import { StatusFeed } from "./statusFeed.ts"

export interface CellOptions<K, V, C extends Contents<K, V>> {
  /** What errors call the table. */
  readonly name: string
  readonly contents: C
  readonly same: Same<V>
  /** Changes that a subscriber may be late by before it is handed a fresh state instead. */
  readonly capacity: number
  /** 0 for one that a log fills, and else more than that of any table it is derived from. */
  readonly height?: number
  /** How much of which logs the contents have, outside of commits. Default: there is no log. */
  readonly position?: () => TablePosition
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

/** How a table's filling has ended for good. */
export type End<E> = { readonly _tag: "Failed"; readonly error: E } | { readonly _tag: "Closed" }

/** What is to run once all tables of a step have taken their states. */
export interface Wakes {
  readonly push: (wake: () => void) => void
}

/** What a table that stands on another hears of its state: before anybody is woken by it. */
export interface Follower<E> {
  readonly statusChanged: (wakes: Wakes) => void
  readonly ended: (end: End<E>, wakes: Wakes) => void
}

/** What a cell is to contain when a replacement ends. */
interface Next<K, V, C> {
  readonly contents: C
  /** To those that it has, as far as somebody wants it. */
  difference: Difference<K, V> | undefined
}

export class Cell<K, V, E, C extends Contents<K, V> = Contents<K, V>> {
  readonly name: string
  readonly height: number
  readonly feed: ChangeFeed<K, V, E>
  readonly statuses: StatusFeed<E> = new StatusFeed<E>({ _tag: "Loading", replayed: 0, target: 0 })
  readonly same: Same<V>
  readonly capacity: number
  readonly position: () => TablePosition
  readonly #receivers = new Set<Receiver<K, V>>()
  readonly #followers = new Set<Follower<E>>()
  readonly #completions = new Set<(outcome: Effect.Effect<void, E | TableClosed>) => void>()
  readonly #failure = Deferred.makeUnsafe<never, E | TableClosed>()
  #contents: C
  #next: Next<K, V, C> | undefined
  #end: End<E> | undefined

  constructor({ capacity, contents, height = 0, name, position = () => [], same }: CellOptions<K, V, C>) {
    this.name = name
    this.height = height
    this.same = same
    this.#contents = contents
    this.capacity = capacity
    this.position = position
    this.feed = new ChangeFeed(this, capacity)
  }

  get contents(): C {
    return this.#contents
  }

  /** Whether tables stand on it. */
  get hasDependents(): boolean {
    return this.#receivers.size > 0
  }

  /** Whether anybody wants change objects: else none are made. */
  get #isFollowed(): boolean {
    return this.feed.wantsChanges || this.hasDependents || this.#next !== undefined
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
    const written = this.#contents.mutate(write, this.#isFollowed)
    const { version } = this.#contents
    if (version === before) return
    commit.changed(this.#receivers, written, () => this.feed.publish(written.changes, version))
    this.#next?.difference?.touch(written.changes)
  }

  /** As `write`, of the contents that it is to have. */
  writeNext(commit: Commit, write: () => void): void {
    const { contents, difference } = this.#next!
    const before = contents.version
    const written = contents.mutate(write, difference !== undefined || this.#receivers.size > 0)
    if (contents.version === before) return
    commit.changedNext(this.#receivers, written)
    difference?.touch(written.changes)
  }

  /**
   * Puts other contents in place of these, here and in everything that is derived from it, in one step; whoever follows
   * changes gets the difference. `reached` as in `commit`. What it takes is prepared in slices, meanwhile the old contents
   * are read: the memory of both is needed. There must be no commit until it ends.
   */
  replace(next: C, reached: () => void): Effect.Effect<void> {
    return Effect.suspend(() => {
      const replacement = new Replacement()
      this.prepare(replacement, next, false)
      return replacement.run(reached)
    })
  }

  /**
   * As `replace`, as a part of one that began at the root.
   *
   * @param isLive whether these contents and the next ones may change before the end.
   * @param over hears whether the next contents came in place.
   */
  prepare(replacement: Replacement, next: C, isLive: boolean, over: (isSwapped: boolean) => void = nothing): void {
    const pending: Next<K, V, C> = { contents: next, difference: undefined }
    this.#next = pending
    let isSwapped = false
    replacement.add(
      this,
      next,
      isLive,
      {
        compare: () => {
          if (this.#end !== undefined) return undefined
          if (this.#contents.hasMap && !next.isMapped) return next.prepareMap
          if (pending.difference !== undefined || !this.feed.wantsChanges) return undefined
          pending.difference = new Difference(this.#contents, next, this.same, isLive)
          return pending.difference.find
        },
        swap: () => {
          // It shows the last contents that it had.
          if (this.#end !== undefined) return nothing
          next.version = this.#contents.version + 1
          this.#contents = next
          isSwapped = true
          const { version } = next
          const changes = pending.difference?.changes() ?? []
          return () => this.feed.publish(changes, version)
        },
        over: () => {
          if (this.#next === pending) this.#next = undefined
          over(isSwapped)
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

  /** Before anybody reads it: what it contained so far does not count. */
  discard(empty: C): void {
    this.#contents = empty
  }

  // ---------------------------------------------------------------------------------------------- lifecycle

  get status(): TableStatus<E> {
    return this.statuses.current
  }

  /** How it ended for good; undefined while it may go on. */
  get end(): End<E> | undefined {
    return this.#end
  }

  /** From here on `follower` hears of each state, until the returned function is called. */
  follow(follower: Follower<E>): () => void {
    this.#followers.add(follower)
    return () => this.#followers.delete(follower)
  }

  /** Nothing follows `Closed`. */
  setStatus(status: TableStatus<E>): void {
    settle((wakes) => this.become(status, wakes))
  }

  /** The writer has failed for good: the contents stay as they are. */
  fail(error: E): void {
    settle((wakes) => this.ended({ _tag: "Failed", error }, wakes))
  }

  close(): void {
    settle((wakes) => this.ended({ _tag: "Closed" }, wakes))
  }

  /** As `setStatus`, as a part of a step in which other tables take their states, too. */
  become(status: TableStatus<E>, wakes: Wakes): void {
    if (this.status._tag === "Closed") return
    this.statuses.set(status)
    wakes.push(() => {
      this.statuses.wake()
      const outcome = completion(status, this.name)
      if (outcome === undefined) return
      const waiting = [...this.#completions]
      this.#completions.clear()
      for (const resume of waiting) resume(outcome)
    })
    for (const follower of this.#followers) follower.statusChanged(wakes)
  }

  /** As `fail` and `close`, as a part of a step in which other tables take their states, too. */
  ended(end: End<E>, wakes: Wakes): void {
    if (this.#end?._tag === "Closed") return
    this.#end = end
    if (end._tag === "Closed" || this.status._tag !== "Failed") this.become(end, wakes)
    wakes.push(() => {
      this.feed.end(end._tag === "Failed" ? Exit.fail(end.error) : "closed")
      const error = end._tag === "Failed" ? end.error : new TableClosed({ topic: this.name })
      Deferred.doneUnsafe(this.#failure, Effect.fail(error))
    })
    for (const follower of this.#followers) follower.ended(end, wakes)
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

const nothing = () => {}

/** Lets all tables take their states, and only then anybody run who waits for one. */
export const settle = (take: (wakes: Wakes) => void): void => {
  const wakes: Array<() => void> = []
  take(wakes)
  for (const wake of wakes) wake()
}
