/**
 * How a change of one table reaches everything that stands on it, in two phases.
 *
 * First contents: those of the table, and of each table derived from it after all of its sources, once. Then whoever waits:
 * a fiber that is resumed runs at once, on the stack of whoever resumes it, and must find all contents in step.
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type { Contents, Written } from "./contents.ts"

/** A table that is derived from others, as those see it. */
export interface Dependent {
  /** Larger than that of any of its sources. */
  readonly height: number
  /**
   * Writes to the contents what came of all that its sources handed it in this commit. It runs once in a commit, after all
   * its sources. It resumes nobody, and does not throw.
   */
  readonly propagate: (commit: Commit) => void
  /**
   * Adds what it is to contain when its sources are replaced to `replacement`, and makes it in slices. It runs once, after
   * all its sources that are replaced. Where it has a source that is not, that one may change meanwhile, and what is made
   * has to follow: `propagate` writes to it, too.
   */
  readonly prepare: (replacement: Replacement) => Effect.Effect<void>
}

/** What a dependent is handed by one of its sources. */
export interface Receiver<K, V> {
  readonly dependent: Dependent
  /** Takes in changes of a source. Nothing comes of them yet: those of another source may follow. */
  readonly receive: (written: Written<K, V>) => void
  /** As `receive`, of what the source is to contain when the replacement that is under way ends. */
  readonly receiveNext: (written: Written<K, V>) => void
}

/** Dependents that are yet to be visited: lower ones first, each once. However many there are, each costs the same. */
class Visits {
  readonly #byHeight: Array<Set<Dependent> | undefined> = []

  add(dependent: Dependent): void {
    ;(this.#byHeight[dependent.height] ??= new Set()).add(dependent)
  }

  /** Those that come meanwhile stand on one that is visited, and are higher. */
  forEach(visit: (dependent: Dependent) => void): void {
    for (let height = 0; height < this.#byHeight.length; height++) this.#byHeight[height]?.forEach(visit)
  }
}

/** One change of a root on its way. */
export class Commit {
  readonly #visits = new Visits()
  readonly #publications: Array<() => void> = []

  /** The contents of a cell have changed: `receivers` are next, and `publish` runs once all contents stand. */
  changed<K, V>(receivers: Iterable<Receiver<K, V>>, written: Written<K, V>, publish: () => void): void {
    this.#publications.push(publish)
    this.hand(receivers, written)
  }

  /** `receivers` are next, to take in changes of contents that have changed before. */
  hand<K, V>(receivers: Iterable<Receiver<K, V>>, written: Written<K, V>): void {
    for (const receiver of receivers) {
      receiver.receive(written)
      this.#visits.add(receiver.dependent)
    }
  }

  /** As `changed`, of contents that a cell does not have yet. */
  changedNext<K, V>(receivers: Iterable<Receiver<K, V>>, written: Written<K, V>): void {
    for (const receiver of receivers) {
      receiver.receiveNext(written)
      this.#visits.add(receiver.dependent)
    }
  }

  /** Runs `wake` with what is published, once all contents stand. */
  afterwards(wake: () => void): void {
    this.#publications.push(wake)
  }

  /** Brings all contents in step, and only then lets anybody know: `reached` first. */
  run(reached: () => void): void {
    this.#visits.forEach((dependent) => dependent.propagate(this))
    notify(this.#publications, reached)
  }
}

const queue: Array<() => void> = []
let isNotifying = false

/**
 * Who is resumed may make another root commit, on this very stack. What that one publishes is queued, so that tables which
 * stand on both publish in the order of their versions.
 */
export const notify = (publications: ReadonlyArray<() => void>, reached: () => void): void => {
  queue.push(...publications)
  if (isNotifying) return reached()
  isNotifying = true
  try {
    reached()
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) next()
  } finally {
    isNotifying = false
  }
}

/** What a cell needs to take part in a replacement. */
export interface Replaceable {
  /** What has to be done before the swap; undefined when nothing is left. Asked again after it, since others may have come. */
  readonly compare: () => Effect.Effect<void> | undefined
  /** Puts the next contents in place; hands back what is to run when all stand. */
  readonly swap: () => () => void
  /** Runs at the end, whether it came to the swap or not. */
  readonly over: () => void
}

/** What a cell is to have, and how it gets it. */
interface Part {
  readonly next: Contents<never, never>
  readonly isLive: boolean
  readonly replaceable: Replaceable
}

/**
 * One after another where tables stand on what is replaced: they may stand on several roots, and what they are to contain
 * is made of what the others contain then. It is all work of this process, so that waiting makes nothing later.
 */
const oneAtATime = Semaphore.makeUnsafe(1).withPermits(1)

/** A root's next contents and those of everything that stands on it, until they are put in place all at once. */
export class Replacement {
  /** Yet to be prepared, all of one height. */
  readonly #lowest = new Set<Dependent>()
  readonly #visited = new Set<Dependent>()
  readonly #parts = new Map<object, Part>()
  readonly #receivers: Array<() => Iterable<Pick<Receiver<never, never>, "dependent">>> = []
  #isAlone = false

  /** The contents that a cell is to have; undefined where it keeps those that it has. */
  nextOf<K, V>(cell: { readonly contents: Contents<K, V> }): Contents<K, V> | undefined {
    return this.#parts.get(cell)?.next as Contents<K, V> | undefined
  }

  /** Whether what a cell contains after this may change before it: while it is made, or once it is. */
  isLive(cell: object): boolean {
    return this.#parts.get(cell)?.isLive ?? true
  }

  add<K, V>(
    cell: object,
    next: Contents<K, V>,
    isLive: boolean,
    replaceable: Replaceable,
    /** Those of what stands on it now: more may come, and some may go, while others are prepared. */
    receivers: () => Iterable<Receiver<K, V>>
  ): void {
    this.#parts.set(cell, { next: next as unknown as Contents<never, never>, isLive, replaceable })
    this.pass(receivers)
  }

  /** What stands on this is prepared, too: asked for as in `add`. */
  pass(receivers: () => Iterable<Pick<Receiver<never, never>, "dependent">>): void {
    this.#receivers.push(receivers)
  }

  /** Prepares all that stands on what was added, and puts it in place in one step. */
  run(reached: () => void): Effect.Effect<void> {
    return Effect.ensuring(
      this.#advance(reached),
      Effect.sync(() => {
        for (const { replaceable } of this.#parts.values()) replaceable.over()
      })
    )
  }

  /**
   * What is to be prepared next: lower ones first, each once. Those of one height are looked for together: none of them stands
   * on another, or on what comes meanwhile.
   */
  #next(): Dependent | undefined {
    if (this.#lowest.size === 0) {
      let height = Number.POSITIVE_INFINITY
      for (const receivers of this.#receivers) {
        for (const { dependent } of receivers()) {
          if (dependent.height > height || this.#visited.has(dependent)) continue
          if (dependent.height < height) this.#lowest.clear()
          height = dependent.height
          this.#lowest.add(dependent)
        }
      }
    }
    for (const dependent of this.#lowest) {
      this.#lowest.delete(dependent)
      return dependent
    }
    return undefined
  }

  #advance(reached: () => void): Effect.Effect<void> {
    return Effect.suspend(() => {
      const dependent = this.#next()
      if (dependent !== undefined) {
        if (!this.#isAlone) {
          this.#isAlone = true
          // Looked for again then: who waited may have been closed meanwhile.
          this.#lowest.clear()
          return oneAtATime(this.#advance(reached))
        }
        this.#visited.add(dependent)
        return Effect.andThen(dependent.prepare(this), this.#rested(reached))
      }
      for (const { replaceable } of this.#parts.values()) {
        const comparing = replaceable.compare()
        if (comparing !== undefined) return Effect.andThen(comparing, this.#rested(reached))
      }
      notify(
        Array.from(this.#parts.values(), ({ replaceable }) => replaceable.swap()),
        reached
      )
      return Effect.void
    })
  }

  /** As `#advance`, once others had their turn: there may be very many tables to prepare, and each may be small. */
  #rested(reached: () => void): Effect.Effect<void> {
    return Effect.andThen(Effect.yieldNow, this.#advance(reached))
  }
}
