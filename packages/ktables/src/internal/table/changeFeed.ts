/**
 * Hands what a table applied to everybody who follows it, in order and without gaps, and never waits for any of them: each
 * batch of changes to its subscribers, each key's values to those who watch the key, and word of a new state.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Change, Contents } from "./contents.ts"
import { KeyIndex } from "./keyIndex.ts"
import { Mailbox } from "./mailbox.ts"

/** What one pull of a subscription gives. */
export type Delivery<K, V> =
  | { readonly _tag: "Snapshot"; readonly entries: HashMap.HashMap<K, V>; readonly resync: boolean }
  | { readonly _tag: "Batches"; readonly batches: ReadonlyArray<ReadonlyArray<Change<K, V>>> }

/** Where the contents are found, whatever they are replaced by. */
export interface Source<K, V> {
  readonly contents: Contents<K, V>
}

/** Of the same value, not of an equal one: values may compare equal though they differ. */
const isSame = <A>(a: Option.Option<A>, b: Option.Option<A>): boolean =>
  Option.isNone(a) || Option.isNone(b) ? a._tag === b._tag : Object.is(a.value, b.value)

/** Who is given the newest of something, and looks again when something of it has changed. */
interface Listener<K, V> {
  readonly concerns: (changes: ReadonlyArray<Change<K, V>>) => boolean
  isDirty: boolean
  wake: (() => void) | undefined
}

const look = (listener: { isDirty: boolean; wake: (() => void) | undefined }): void => {
  listener.isDirty = true
  const { wake } = listener
  listener.wake = undefined
  wake?.()
}

export class ChangeFeed<K, V, E> {
  readonly #subscribers = new Set<Mailbox<ReadonlyArray<Change<K, V>>>>()
  readonly #taps = new Set<(changes: ReadonlyArray<Change<K, V>>) => void>()
  readonly #watchers = new KeyIndex<K, Set<Mailbox<Option.Option<V>>>>()
  #watched = 0
  readonly #listeners = new Set<Listener<K, V>>()
  #end: Exit.Exit<never, E> | "closed" | undefined
  readonly #source: Source<K, V>
  readonly #capacity: number

  /** @param capacity changes that a subscriber may be behind before it is handed a fresh state instead. */
  constructor(source: Source<K, V>, capacity: number) {
    this.#source = source
    this.#capacity = capacity
  }

  /** Whether anybody wants change objects: without subscribers none are made. */
  get wantsChanges(): boolean {
    return this.#subscribers.size > 0 || this.#watched > 0 || this.#taps.size > 0
  }

  /** Hands on the changes that made a version. One push per subscriber, one look per change if keys are watched. */
  publish(changes: ReadonlyArray<Change<K, V>>, version: number): void {
    if (changes.length > 0) {
      for (const receive of this.#taps) receive(changes)
      for (const subscriber of this.#subscribers) subscriber.offer(changes, changes.length, version)
      if (this.#watched > 0) this.#tellWatchers(changes, version)
    }
    for (const listener of this.#listeners) if (listener.concerns(changes)) look(listener)
  }

  /** From here on `receive` gets each batch in the step that publishes it, until the returned function is called. */
  tap(receive: (changes: ReadonlyArray<Change<K, V>>) => void): () => void {
    const own = (changes: ReadonlyArray<Change<K, V>>): void => receive(changes)
    this.#taps.add(own)
    return () => this.#taps.delete(own)
  }

  #tellWatchers(changes: ReadonlyArray<Change<K, V>>, version: number): void {
    try {
      for (const change of changes) {
        const watchers = this.#watchers.get(change.key)
        if (watchers === undefined) continue
        const value = change._tag === "Set" ? Option.some(change.value) : Option.none()
        for (const watcher of watchers) watcher.offer(value, 1, version)
      }
    } catch {
      // Whose key cannot be compared nobody knows: each looks its own up, and ends by what that throws.
      for (const [, watchers] of this.#watchers) for (const watcher of watchers) watcher.lose()
    }
  }

  /** Ends all subscriptions behind what is queued: cleanly, or with the table's failure. */
  end(end: Exit.Exit<never, E> | "closed"): void {
    this.#end ??= end
    for (const subscriber of this.#subscribers) subscriber.wake()
    for (const [, watchers] of this.#watchers) for (const watcher of watchers) watcher.wake()
    for (const listener of this.#listeners) look(listener)
  }

  /** A subscription per run: a snapshot, then what is applied after it. */
  readonly deliveries: Stream.Stream<Delivery<K, V>, E> = Stream.unwrap(
    Effect.map(
      this.#prepared(
        Effect.acquireRelease(
          Effect.sync(() => {
            const mailbox = new Mailbox<ReadonlyArray<Change<K, V>>>(this.#capacity)
            this.#subscribers.add(mailbox)
            return mailbox
          }),
          (mailbox) => Effect.sync(() => this.#subscribers.delete(mailbox))
        )
      ),
      (mailbox) => {
        return this.#follow<ReadonlyArray<Change<K, V>>, Delivery<K, V>>(
          mailbox,
          (resync) => ({ _tag: "Snapshot", entries: this.#source.contents.map(), resync }),
          (batches) => ({ _tag: "Batches", batches })
        )
      }
    )
  )

  /** The value of a key, and each one that is applied after it. */
  watch(key: K): Stream.Stream<Option.Option<V>, E> {
    const register = Effect.sync(() => {
      const mailbox = new Mailbox<Option.Option<V>>(this.#capacity)
      let watchers = this.#watchers.get(key)
      if (watchers === undefined) this.#watchers.set(key, (watchers = new Set()))
      watchers.add(mailbox)
      this.#watched++
      return { mailbox, watchers }
    })
    const leave = ({ mailbox, watchers }: Effect.Success<typeof register>) =>
      Effect.sync(() => {
        this.#watched--
        watchers.delete(mailbox)
        if (watchers.size === 0) this.#watchers.delete(key)
      })
    return Stream.unwrap(
      Effect.map(this.#readable(Effect.acquireRelease(register, leave)), ({ mailbox }) => {
        let last: Option.Option<V> | undefined
        return Stream.flattenIterable(
          this.#follow<Option.Option<V>, ReadonlyArray<Option.Option<V>>>(
            mailbox,
            () => {
              const before = last
              last = this.#source.contents.find(key)
              return before !== undefined && isSame(before, last) ? [] : [last]
            },
            (values) => {
              last = values.at(-1)
              return values
            }
          )
        )
      })
    )
  }

  /** The newest state whenever it changed since the last pull. */
  readonly states: Stream.Stream<HashMap.HashMap<K, V>, E> = this.#newest(
    this.#prepared(this.#listen(() => true)),
    () => this.#source.contents.map(),
    Object.is
  )

  /**
   * What `read` gives of the newest contents, whenever it is not the same as at the last pull. It is read again only after a
   * change of a key that it `concerns`, which must not throw.
   */
  watchPart<A>(concerns: (key: K) => boolean, read: () => A, same: (a: A, b: A) => boolean): Stream.Stream<A, E> {
    const counted = Effect.acquireRelease(
      Effect.sync(() => void this.#watched++),
      () => Effect.sync(() => void this.#watched--)
    )
    const listen = this.#listen((changes) => changes.some(({ key }) => concerns(key)))
    return this.#newest(this.#readable(Effect.andThen(counted, listen)), read, same)
  }

  /** @param concerns whether the subscriber has to look again. */
  #listen(
    concerns: (changes: ReadonlyArray<Change<K, V>>) => boolean
  ): Effect.Effect<Listener<K, V>, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        const listener: Listener<K, V> = { concerns, isDirty: true, wake: undefined }
        this.#listeners.add(listener)
        return listener
      }),
      (listener) => Effect.sync(() => this.#listeners.delete(listener))
    )
  }

  #newest<A>(
    listen: Effect.Effect<Listener<K, V>, never, Scope.Scope>,
    read: () => A,
    same: (a: A, b: A) => boolean
  ): Stream.Stream<A, E> {
    return Stream.unwrap(
      Effect.map(listen, (listener) => {
        let last: { readonly read: A } | undefined
        const news = Effect.callback<void>((resume) => {
          if (listener.isDirty) return resume(Effect.void)
          listener.wake = () => resume(Effect.void)
        })
        const step: Effect.Effect<A, E | Cause.Done> = Effect.suspend(() => {
          listener.isDirty = false
          const current = read()
          if (last === undefined || !same(last.read, current)) {
            last = { read: current }
            return Effect.succeed(current)
          }
          return this.#end === undefined ? Effect.andThen(news, step) : this.#ended()
        })
        return Stream.fromPull(Effect.succeed(Effect.map(step, (state) => [state] as const)))
      })
    )
  }

  #readable<A, E, R>(subscribe: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.andThen(
      Effect.suspend(() => this.#source.contents.prepareValues),
      subscribe
    )
  }

  #prepared<A, E, R>(subscribe: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.andThen(
      Effect.suspend(() => this.#source.contents.prepareMap),
      subscribe
    )
  }

  /** The whole of it first, and again where changes were lost; and what becomes of each taking of the mailbox. */
  #follow<A, B>(
    mailbox: Mailbox<A>,
    whole: (again: boolean) => B,
    next: (taken: ReadonlyArray<A>) => B
  ): Stream.Stream<B, E> {
    let started = false
    const news = mailbox.awaitNews(() => this.#end !== undefined)
    const step: Effect.Effect<B, E | Cause.Done> = Effect.suspend(() => {
      if (!started || mailbox.hasLost) {
        mailbox.restart(this.#source.contents.version)
        const again = started
        started = true
        return Effect.succeed(whole(again))
      }
      if (!mailbox.isEmpty) return Effect.succeed(next(mailbox.take()))
      return this.#end === undefined ? Effect.andThen(news, step) : this.#ended()
    })
    return Stream.fromPull(Effect.succeed(Effect.map(step, (delivery) => [delivery] as const)))
  }

  #ended(): Effect.Effect<never, E | Cause.Done> {
    const end = this.#end!
    return end === "closed" ? Cause.done() : end
  }
}
