/**
 * Whether a session loads or follows: who takes its records, what is still wanted of a partition, and who is called for one that
 * moved.
 */
import type { LogError } from "./logError.ts"
import { Deferred, Effect } from "effect"
import type { RecordCursor } from "../records/batchReader.ts"
import type { Partition } from "./partition.ts"
import { SHORTEST } from "./retention.ts"
import type { SessionContext } from "./sessionContext.ts"
import { trustedFor } from "./tombstoneWatch.ts"

/** Milliseconds that a catch-up fetch waits where there is nothing: holes at a log's end must not cost a long poll. */
export const LOADING_WAIT = 100

/** Takes a partition's records up to the cursor's end, in slices. */
export type Consume = (partition: Partition, cursor: RecordCursor) => Effect.Effect<void, LogError>

/** Lets go of what lies below the start of a partition's log. */
export type Cut = (partition: Partition) => Effect.Effect<void, LogError>

export class Stage {
  readonly #context: SessionContext
  readonly #onProgress: () => void
  readonly #loaded = Deferred.makeUnsafe<void>()
  #consume: Consume | undefined
  #cut: Cut | undefined
  #isLoading = true
  #stop: Deferred.Deferred<void> = Deferred.makeUnsafe()

  /** @param onProgress called when positions moved, or what was read came to be proven. */
  constructor(context: SessionContext, onProgress: () => void) {
    this.#context = context
    this.#onProgress = onProgress
  }

  /** From here on records are replayed to `take`, until `stop` is done. */
  load(take: Consume, stop: Deferred.Deferred<void>): void {
    this.#consume = take
    this.#stop = stop
    // Of those that are to be read the topic may have none yet.
    if (this.isLoaded) Deferred.doneUnsafe(this.#loaded, Effect.void)
  }

  /** From here on records are followed for ever. */
  follow(take: Consume, cut: Cut): void {
    this.#consume = take
    this.#cut = cut
    this.#isLoading = false
  }

  get isLoading(): boolean {
    return this.#isLoading
  }

  /** Whether somebody takes records. */
  get isOpen(): boolean {
    return this.#consume !== undefined && !this.isStopped
  }

  /** Whether the load is over, and following has not begun. */
  get isStopped(): boolean {
    return this.#isLoading && Deferred.isDoneUnsafe(this.#stop)
  }

  /** Whether every partition has been read to its target, and what was resumed is proven. */
  get isLoaded(): boolean {
    if (this.#context.unplaced.size > 0) return false
    for (const partition of this.#context.partitions.values()) {
      if (!partition.caughtUp || (partition.isResumed && !this.#isProven(partition))) return false
    }
    return true
  }

  /**
   * Whether no tombstone can have expired between an earlier reader's time and ours: that the retention is not known yet says
   * nothing for it.
   */
  #isProven({ tombstones }: Partition): boolean {
    const { moment, retention } = this.#context
    const now = moment()
    return retention.isKnown
      ? tombstones.expired(now, retention.assumed) === undefined
      : tombstones.longest(now) < trustedFor(SHORTEST)
  }

  /** Succeeds once every partition has been read to its target while loading. */
  get awaitLoaded(): Effect.Effect<void> {
    return Deferred.await(this.#loaded)
  }

  /** Waits for `effect`, or the end of the load. */
  orStop(effect: Effect.Effect<void>): Effect.Effect<void> {
    return this.#isLoading ? Effect.raceFirst(Deferred.await(this.#stop), effect) : effect
  }

  take(partition: Partition, cursor: RecordCursor): Effect.Effect<void, LogError> {
    return this.#consume!(partition, cursor)
  }

  /** To be run after the start of a partition's log has moved. */
  cut(partition: Partition): Effect.Effect<void, LogError> {
    return this.#cut === undefined ? Effect.void : this.#cut(partition)
  }

  /** Whether the partition is to be fetched now. */
  wants(partition: Partition): boolean {
    return (
      !partition.parked &&
      !this.#context.unplaced.has(partition) &&
      partition.tombstones.allows(partition.source, partition.leaderEpoch) &&
      (!this.#isLoading ||
        (!partition.caughtUp && partition.fetchPosition < partition.target) ||
        this.#isDue(partition))
    )
  }

  /** Whether a partition that is complete is asked all the same, so that what is read of it stays to be trusted. */
  #isDue(partition: Partition): boolean {
    const { moment, retention } = this.#context
    return partition.caughtUp && (partition.tombstones.since(moment()) ?? 0) >= retention.patience
  }

  /** To be called after a partition's position, `readTo` or target changed. */
  moved(partition: Partition): void {
    partition.tombstones.reached(partition.readTo)
    this.#context.metrics.lag(partition)
    this.#context.waiters.advance(partition)
    this.look()
  }

  /** Whether that was all is looked at again. */
  look(): void {
    this.#onProgress()
    if (this.#isLoading && this.isLoaded) Deferred.doneUnsafe(this.#loaded, Effect.void)
  }

  /** Offsets replayed and to replay until caught up. */
  progress(): { readonly replayed: number; readonly target: number } {
    let replayed = 0
    let target = 0
    for (const partition of this.#context.partitions.values()) {
      replayed += Math.min(partition.readTo, partition.target) - partition.start
      target += partition.target - partition.start
    }
    return { replayed, target }
  }
}
