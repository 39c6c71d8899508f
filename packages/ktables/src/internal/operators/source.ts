/** A source of an operator: what it contains, and what of it has changed since the operator last looked. */
import * as Effect from "effect/Effect"
import type { Cell, Follower } from "../table/cell.ts"
import type { Dependent, Receiver, Replacement } from "../table/commit.ts"
import type { Contents, Written } from "../table/contents.ts"
import type { TableStatus } from "../../TableStatus.ts"

/** A source as those see it who derive from it. */
export class Source<K, V> {
  readonly #cell: { readonly contents: Contents<K, V> }
  #next: Contents<K, V> | undefined
  /** The changes of the commit that is under way; most of the time in one piece. */
  received: Array<Written<K, V>> = []

  /** @param next what the cell is to contain. */
  constructor(cell: { readonly contents: Contents<K, V> }, next?: Contents<K, V>) {
    this.#cell = cell
    this.#next = next
  }

  get contents(): Contents<K, V> {
    return this.#next ?? this.#cell.contents
  }

  /** Visits what it contains, an entry with each call of what this hands back; false when there is none left. */
  walk(visit: (key: K, value: V, slot: number) => void): () => boolean {
    const { contents } = this
    const slots = contents.slots()
    return () => {
      const next = slots.next()
      if (next.done === true) return false
      const [key, slot] = next.value
      visit(key, contents.valueAt(slot), slot)
      return true
    }
  }

  /** Whether this is of what the cell contains at present. */
  get isPresent(): boolean {
    return this.#next === undefined
  }

  /** The cell contains it from here on. */
  arrived(): void {
    this.#next = undefined
  }
}

/** Where an operator is attached to a source. */
export class Input<K, V, E> implements Receiver<K, V> {
  readonly cell: Cell<K, V, E>
  #source: Source<K, V>
  /** While a replacement is under way. */
  #next: Source<K, V> | undefined
  #dependent: Dependent | undefined
  readonly #attach: (receiver: Receiver<K, V>) => () => void
  #detach = nothing
  #unfollow = nothing

  /** @param attach as that of the cell, where not all of its changes are wanted. */
  constructor(cell: Cell<K, V, E>, attach = (receiver: Receiver<K, V>) => cell.attach(receiver)) {
    this.cell = cell
    this.#source = new Source(cell)
    this.#attach = attach
  }

  /** The source of what is derived next. */
  get newest(): Source<K, V> {
    return this.#next ?? this.#source
  }

  /** Makes what of it has to be made to be read. */
  get prepare(): Effect.Effect<void> {
    return Effect.suspend(() => this.newest.contents.prepareValues)
  }

  // ---------------------------------------------------------------------------------------------- its changes

  get dependent(): Dependent {
    return this.#dependent!
  }
  attach(dependent: Dependent): void {
    this.#dependent = dependent
    this.#detach = this.#attach(this)
  }
  /** No more changes come. */
  detach(): void {
    this.#detach()
  }
  receive(written: Written<K, V>): void {
    this.#source.received.push(written)
    if (this.#next?.isPresent === true) this.#next.received.push(written)
  }
  receiveNext(written: Written<K, V>): void {
    this.#next?.received.push(written)
  }
  get hasReceived(): boolean {
    return this.#source.received.length > 0
  }
  get hasReceivedNext(): boolean {
    return this.#next !== undefined && this.#next.received.length > 0
  }
  clear(): void {
    if (this.#source.received.length > 0) this.#source.received = []
    if (this.#next !== undefined && this.#next.received.length > 0) this.#next.received = []
  }

  // ---------------------------------------------------------------------------------------------- its replacement

  /** Whether what it is to contain may change before it does. */
  begin(replacement: Replacement): boolean {
    this.#next = new Source(this.cell, replacement.nextOf(this.cell))
    return replacement.isLive(this.cell)
  }
  over(isSwapped: boolean): void {
    if (isSwapped && this.#next !== undefined) {
      this.#source = this.#next
      this.#source.arrived()
    }
    this.#next = undefined
  }

  // ---------------------------------------------------------------------------------------------- its state

  get status(): TableStatus<E> {
    return this.cell.status
  }
  follow(follower: Follower<E>): void {
    this.#unfollow = this.cell.follow(follower)
  }
  unfollow(): void {
    this.#unfollow()
  }
}

const nothing = () => {}
