/** Tables whose entries go once they are of an age. Time is a source of theirs, beside the table they stand on. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { type Passed, PassedTime } from "../moment.ts"
import type { Cell } from "../table/cell.ts"
import { Commit, type Dependent } from "../table/commit.ts"
import { Contents } from "../table/contents.ts"
import { Deadlines } from "./deadlines.ts"
import { isSame } from "./isSame.ts"
import { type AnyInput, type Derivation, type Derived, make } from "./operator.ts"
import { Places } from "./places.ts"
import { Input, type Source } from "./source.ts"

/** Milliseconds since the epoch. */
interface Timestamped {
  readonly timestamp: number
}

/** Entries that go with one commit, at most: others have their turn before the next. */
const MOST = 256

/**
 * While nothing is due, a clock may be set or the machine be suspended. The clocks are looked at again after this part of the
 * age at which entries go, which is how much longer one may be shown then.
 */
const LATE = 1 / 10
/** The least and the most milliseconds between two such looks. */
const LEAST_SLEEP = 1000
const MOST_SLEEP = 3_600_000

/** By its timestamp; 0 of what lies ahead, and of what bears none. */
const ageOf = ({ timestamp }: Timestamped, { wall }: Passed): number =>
  timestamp >= 0 ? Math.max(0, wall - timestamp) : 0

class Expiring<K, V extends Timestamped> implements Derivation<K, V> {
  readonly contents = new Contents<K, V>()
  readonly #source: Source<K, V>
  readonly #time: Time<K, V>
  readonly #ttl: number
  /** What it is to replace, until it is filled: a record that is in both goes when it goes there, or has gone. */
  #before: Expiring<K, V> | undefined
  /** Whether entries that the source has, and that are not here, have gone. */
  isFilled = false
  readonly #places = new Places()
  /** When each entry goes, by its slot. */
  readonly #deadlines = new Deadlines()
  /** The key of each entry, and its slot in the source. */
  readonly #keys: Array<K | undefined> = []
  readonly #origins: Array<number> = []

  constructor(source: Source<K, V>, time: Time<K, V>, ttl: number, before: Expiring<K, V> | undefined) {
    this.#source = source
    this.#time = time
    this.#ttl = ttl
    this.#before = before
  }

  /** When the next entry goes. */
  get earliest(): number {
    return this.#deadlines.earliest
  }

  compute(): void {}

  write(): void {
    const now = this.#time.now()
    for (const { changes, slots } of this.#source.received) {
      changes.forEach((change, i) => {
        if (change._tag === "Set") this.#put(change.key, change.value, slots[i]!, now)
        else this.#remove(change.key, slots[i]!)
      })
    }
    this.#expire(now)
  }

  fill(): () => boolean {
    const step = this.#source.walk((key, value, slot) => this.#put(key, value, slot, this.#time.now()))
    return () => {
      const goesOn = step()
      if (!goesOn) {
        this.#before = undefined
        this.isFilled = true
      }
      return goesOn
    }
  }

  /** @param slot of the entry in the source. */
  #put(key: K, value: V, slot: number, now: Passed): void {
    const arrived = now.passed + this.#ttl - ageOf(value, now)
    const deadline = this.#before === undefined ? arrived : Math.min(arrived, this.#before.#deadlineOf(key, value))
    if (deadline <= now.passed) return this.#remove(key, slot)
    let place = this.#places.of(slot)
    if (place >= 0) this.contents.updateAt(place, key, value, isSame)
    else {
      place = this.contents.add(key, value)
      this.#places.set(slot, place)
      this.#keys[place] = key
      this.#origins[place] = slot
    }
    this.#deadlines.set(place, deadline)
    this.#time.isToPassAt(deadline)
  }

  #remove(key: K, slot: number): void {
    const place = this.#places.of(slot)
    if (place < 0) return
    this.contents.deleteAt(place, key)
    this.#keys[place] = undefined
    this.#places.delete(slot)
    this.#deadlines.delete(place)
  }

  #expire(now: Passed): void {
    for (let n = 0; n < MOST && this.#deadlines.earliest <= now.passed; n++) {
      const place = this.#deadlines.first
      this.#remove(this.#keys[place] as K, this.#origins[place]!)
    }
  }

  /**
   * When a record goes that the source has; Infinity of others. One that is not shown has gone, whatever a clock says of its
   * age now that was set back since.
   */
  #deadlineOf(key: K, value: V): number {
    const { contents } = this.#source
    const slot = contents.slotOf(key)
    if (slot === undefined || !isSame(contents.valueAt(slot), value)) return Number.POSITIVE_INFINITY
    const place = this.#places.of(slot)
    return place < 0 ? Number.NEGATIVE_INFINITY : this.#deadlines.of(place)
  }
}

const nothing = () => {}

/** The time that passes, as a source: when some entry has to go, it has changed. */
class Time<K, V extends Timestamped> implements AnyInput<never> {
  readonly cell = { height: 0, capacity: 0, end: undefined, position: () => [] }
  readonly status = { _tag: "CaughtUp" } as const
  readonly prepare = Effect.void
  readonly #passed: PassedTime
  readonly #longestSleep: number
  #present: Expiring<K, V> | undefined
  #next: Expiring<K, V> | undefined
  #isReplacing = false
  #dependent: Dependent | undefined
  #isDue = false
  #isOver = false
  #wake = nothing
  /** Until when the watch sleeps. */
  #until = Number.POSITIVE_INFINITY

  constructor(clock: Clock.Clock, ttl: number) {
    this.#passed = new PassedTime(clock)
    this.#longestSleep = Math.min(Math.max(LEAST_SLEEP, ttl * LATE), MOST_SLEEP)
  }

  now(): Passed {
    return this.#passed.now()
  }

  /** Derives what is present, or what is to come in its place. */
  derive(make: (before: Expiring<K, V> | undefined) => Expiring<K, V>): Expiring<K, V> {
    const derivation = make(this.#isReplacing && this.#present?.isFilled === true ? this.#present : undefined)
    if (this.#isReplacing) this.#next = derivation
    else this.#present = derivation
    return derivation
  }

  /** Some entry goes then. It may be called within a commit, in which nobody may be woken to do more than to yield. */
  isToPassAt(deadline: number): void {
    if (deadline < this.#until) this.#wake()
  }

  // ---------------------------------------------------------------------------------------------- a source

  get hasReceived(): boolean {
    return this.#isDue
  }
  get hasReceivedNext(): boolean {
    return this.#isDue
  }
  attach(dependent: Dependent): void {
    this.#dependent = dependent
  }
  detach(): void {
    this.#isOver = true
    this.#wake()
  }
  clear(): void {
    this.#isDue = false
  }
  begin(): boolean {
    this.#isReplacing = true
    return true
  }
  over(isSwapped: boolean): void {
    if (isSwapped) this.#present = this.#next
    this.#next = undefined
    this.#isReplacing = false
  }
  follow(): void {}
  unfollow(): void {}

  // ---------------------------------------------------------------------------------------------- its passing

  get #earliest(): number {
    return Math.min(this.#present?.earliest ?? Infinity, this.#next?.earliest ?? Infinity)
  }

  /** Commits what is due, as long as the table stands. */
  readonly watch: Effect.Effect<void> = Effect.suspend(() =>
    Effect.whileLoop({ while: () => !this.#isOver, body: () => this.#step, step: nothing })
  )

  readonly #step: Effect.Effect<void> = Effect.suspend(() => {
    const until = this.#earliest
    const left = until - this.now().passed
    if (left > 0) {
      this.#until = until
      const sleep = Effect.sleep(Math.ceil(Math.min(left, this.#longestSleep)))
      // Who wakes it may be in the middle of a commit.
      const woken = Effect.andThen(this.#sooner, Effect.yieldNow)
      return until === Number.POSITIVE_INFINITY ? woken : Effect.raceFirst(sleep, woken)
    }
    this.#until = Number.NEGATIVE_INFINITY
    this.#isDue = true
    const commit = new Commit()
    this.#dependent!.propagate(commit)
    commit.run(nothing)
    return Effect.yieldNow
  })

  readonly #sooner = Effect.callback<void>((resume) => {
    // Looked at in the same step: the fiber may have had to yield since it last did.
    if (this.#isOver || this.#earliest < this.#until) return resume(Effect.void)
    this.#wake = () => {
      this.#wake = nothing
      resume(Effect.void)
    }
    return Effect.sync(() => {
      this.#wake = nothing
    })
  })
}

export const expire = <K, V extends Timestamped, E>(source: Cell<K, V, E>, ttl: number): Derived<K, V, E> =>
  Effect.gen(function* () {
    const time = new Time<K, V>(yield* Clock.Clock, ttl)
    const input = new Input(source)
    const cell = yield* make<K, V, E>({
      name: `expire(${source.name})`,
      inputs: [input, time],
      derive: () => time.derive((before) => new Expiring(input.newest, time, ttl, before))
    })
    yield* Effect.forkScoped(time.watch)
    return cell
  })
