/**
 * What all operators have in common: a cell that is written within the commits of its sources, made again when they are
 * replaced, and in their state.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { DerivationFailed } from "../../TableError.ts"
import * as TablePosition from "../../TablePosition.ts"
import type { TableStatus } from "../../TableStatus.ts"
import { inSlices } from "../slice.ts"
import { Cell, type End, type Follower, settle, type Wakes } from "../table/cell.ts"
import type { Commit, Dependent, Replacement } from "../table/commit.ts"
import type { Contents } from "../table/contents.ts"
import type { Same } from "../table/difference.ts"
import { isSameWhole } from "./isSame.ts"
import type { Input } from "./source.ts"

/**
 * What is made of the contents of some sources. There are two of them while a source is replaced: one of what it contains,
 * and one of what it will.
 */
export interface Derivation<K, V, C extends Contents<K, V> = Contents<K, V>> {
  readonly contents: C
  /** Finds what comes of all that its sources received. It may throw. */
  readonly compute: () => void
  /**
   * Writes what was found, within a mutation of its contents. It does not throw: keys that its sources have not compared were
   * looked at before, see `Looks`.
   */
  readonly write: () => void
  /**
   * Begins to write what comes of all that its sources contain, an entry with each step; false when there is none left.
   * Changes that are received before a step, or after it, may be those of its entry. It may throw.
   */
  readonly fill: () => () => boolean
}

export interface OperatorOptions<K, V, E, C extends Contents<K, V> = Contents<K, V>> {
  /** What errors call the table. */
  readonly name: string
  readonly inputs: ReadonlyArray<AnyInput<E>>
  /** Derives from the newest of the inputs' sources. */
  readonly derive: () => Derivation<K, V, C>
  /** Whether two values are one to those who follow it, when it is replaced. Default: by what they hold. */
  readonly same?: Same<V>
}

/** A cell that is derived from others for as long as the scope is open. */
export type Derived<K, V, E, C extends Contents<K, V> = Contents<K, V>> = Effect.Effect<
  Cell<K, V, E, C>,
  never,
  Scope.Scope
>

/** An input, whatever its keys and values. */
export type AnyInput<E> = Pick<
  Input<never, never, E>,
  | "attach"
  | "begin"
  | "clear"
  | "detach"
  | "follow"
  | "hasReceived"
  | "hasReceivedNext"
  | "over"
  | "prepare"
  | "status"
  | "unfollow"
> & {
  readonly cell: {
    readonly height: number
    readonly capacity: number
    readonly end: End<E> | undefined
    readonly position: () => TablePosition.TablePosition
  }
}

/** Makes what of their sources has to be made to be read. */
const prepared = <E>(inputs: ReadonlyArray<AnyInput<E>>): Effect.Effect<void> =>
  Effect.forEach(inputs, ({ prepare }) => prepare, { discard: true })

/** The larger, the worse. */
const badness = {
  CaughtUp: 0,
  Rebuilding: 1,
  Degraded: 2,
  Loading: 3,
  Failed: 4,
  Closed: 5
} satisfies Record<TableStatus<unknown>["_tag"], number>

class Operator<K, V, E, C extends Contents<K, V>> implements Dependent, Follower<E> {
  readonly height: number
  readonly cell: Cell<K, V, E, C>
  readonly #inputs: ReadonlyArray<AnyInput<E>>
  readonly #derive: () => Derivation<K, V, C>
  #derivation: Derivation<K, V, C>
  /** While a source is replaced. */
  #next: Derivation<K, V, C> | undefined
  /** Nothing more is derived. */
  #isOver = false

  constructor({ derive, inputs, name, same = isSameWhole }: OperatorOptions<K, V, E, C>) {
    this.height = 1 + Math.max(...inputs.map(({ cell }) => cell.height))
    this.#inputs = inputs
    this.#derive = derive
    this.#derivation = derive()
    this.cell = new Cell<K, V, E, C>({
      name,
      contents: this.#derivation.contents,
      same,
      capacity: Math.max(...inputs.map(({ cell }) => cell.capacity)),
      height: this.height,
      position: () => TablePosition.all(inputs.map(({ cell }) => cell.position()))
    })
    for (const input of inputs) input.attach(this)
  }

  // ---------------------------------------------------------------------------------------------- contents

  /** Derives from what the sources contain, and takes over their state. It is attached already, so that nothing is missed. */
  readonly begin: Effect.Effect<void> = Effect.suspend(() => {
    const derivation = this.#derivation
    return Effect.andThen(
      this.#fill(derivation, () => this.#derivation === derivation),
      Effect.sync(() => {
        if (this.#isOver) this.cell.discard(this.#derive().contents)
        for (const input of this.#inputs) input.follow(this)
        for (const { cell } of this.#inputs) if (cell.end !== undefined) settle((wakes) => this.ended(cell.end!, wakes))
        settle((wakes) => this.statusChanged(wakes))
      })
    )
  })

  #fill(derivation: Derivation<K, V, C>, isWanted: () => boolean): Effect.Effect<void> {
    const fill = Effect.suspend(() => {
      let thrown: { readonly error: unknown } | undefined
      const step = derivation.fill()
      return Effect.andThen(
        inSlices(
          () => {
            if (this.#isOver || !isWanted()) return false
            try {
              return step()
            } catch (error) {
              thrown = { error }
              return false
            }
          },
          { commit: (slice) => void derivation.contents.mutate(slice, false) }
        ),
        Effect.sync(() => {
          if (thrown !== undefined) settle((wakes) => this.#fail(thrown!.error, wakes))
        })
      )
    })
    return Effect.andThen(prepared(this.#inputs), fill)
  }

  propagate(commit: Commit): void {
    if (this.#isOver) return
    const next = this.#next
    const isNow = this.#inputs.some(({ hasReceived }) => hasReceived)
    const isNext = next !== undefined && this.#inputs.some(({ hasReceivedNext }) => hasReceivedNext)
    try {
      if (isNow) this.#derivation.compute()
      if (isNext) next.compute()
      if (isNow) this.cell.write(commit, () => this.#derivation.write())
      if (isNext) this.cell.writeNext(commit, () => next.write())
    } catch (error) {
      return this.#fail(error, { push: (wake) => commit.afterwards(wake) })
    }
    for (const input of this.#inputs) input.clear()
  }

  prepare(replacement: Replacement): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#isOver) return Effect.void
      let isLive = false
      for (const input of this.#inputs) if (input.begin(replacement)) isLive = true
      const next = (this.#next = this.#derive())
      this.cell.prepare(replacement, next.contents, isLive, (isSwapped) => {
        if (isSwapped) this.#derivation = next
        this.#next = undefined
        for (const input of this.#inputs) input.over(isSwapped)
      })
      return this.#fill(next, () => true)
    })
  }

  // ---------------------------------------------------------------------------------------------- state

  statusChanged(wakes: Wakes): void {
    if (this.#isOver) return
    const statuses = this.#inputs.map(({ status }) => status)
    const worst = statuses.reduce((a, b) => (badness[b._tag] > badness[a._tag] ? b : a))
    if (worst !== this.cell.status) this.cell.become(worst, wakes)
  }

  ended(end: End<E>, wakes: Wakes): void {
    if (end._tag === "Failed" && this.#isOver) return
    this.#stop()
    this.cell.ended(end, wakes)
  }

  close(): void {
    for (const input of this.#inputs) input.unfollow()
    this.#stop()
    this.cell.close()
  }

  /** One of the functions that it was given threw, see `guarded`, or its keys cannot be compared. */
  #fail(thrown: unknown, wakes: Wakes): void {
    this.#stop()
    const error =
      thrown instanceof DerivationFailed
        ? thrown
        : new DerivationFailed({ table: this.cell.name, key: "one that cannot be compared", cause: thrown })
    this.cell.ended({ _tag: "Failed", error: error as E & DerivationFailed }, wakes)
  }

  #stop(): void {
    this.#isOver = true
    for (const input of this.#inputs) {
      input.detach()
      input.clear()
    }
  }
}

export const make = <K, V, E, C extends Contents<K, V> = Contents<K, V>>(
  options: OperatorOptions<K, V, E, C>
): Derived<K, V, E, C> =>
  Effect.acquireRelease(
    Effect.sync(() => new Operator(options)),
    (operator) => Effect.sync(() => operator.close())
  ).pipe(
    Effect.flatMap((operator) => Effect.as(operator.begin, operator.cell)),
    // A commit of a source that is attached to makes at once what is not made yet of what it changes.
    (derived) => Effect.andThen(prepared(options.inputs), derived)
  )
