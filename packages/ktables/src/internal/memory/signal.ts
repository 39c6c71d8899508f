/** Tells those who wait for something that it may have happened. */
import { Effect } from "effect"

export class Signal {
  private readonly watchers = new Set<() => void>()

  watch(watcher: () => void): void {
    this.watchers.add(watcher)
  }

  unwatch(watcher: () => void): void {
    this.watchers.delete(watcher)
  }

  give(): void {
    // Who begins to wait because of this is not told of it.
    for (const watcher of Array.from(this.watchers)) watcher()
  }

  /** How many wait. */
  get waiting(): number {
    return this.watchers.size
  }
}

/** Ends with what `check` gives, now or once one of the signals is given; nothing stays behind when it is interrupted. */
export const waitUntil = <A, E>(
  signals: ReadonlyArray<Signal>,
  check: () => Effect.Effect<A, E> | undefined
): Effect.Effect<A, E> =>
  Effect.callback<A, E>((resume) => {
    const now = check()
    if (now !== undefined) return resume(now)
    const leave = () => {
      for (const signal of signals) signal.unwatch(again)
    }
    const again = () => {
      const result = check()
      if (result === undefined) return
      leave()
      resume(result)
    }
    for (const signal of signals) signal.watch(again)
    return Effect.sync(leave)
  })
