/**
 * Describes a session's topic as often as it needs to be, and keeps everything that follows from it going: fetch loops,
 * questions to new leaders, starts and targets.
 */
import type { LogError } from "./logError.ts"
import { Deferred, Effect, Random } from "effect"
import { backoffMillis } from "../backoff.ts"
import type { Description } from "./description.ts"
import type { Elections } from "./elections.ts"
import type { FetchLoops } from "./fetchLoops.ts"
import type { StartOffsets } from "./startOffsets.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { Tombstones } from "./tombstones.ts"

/** Milliseconds that a record waits for a description of the topic that tells whose it is. */
const LOOK = 1000

export interface Controller {
  /** Runs for ever, from a description that has been adopted. */
  readonly run: Effect.Effect<never, LogError>
  /** Describes the topic now, so that partitions that were added before the call are known; gives up where nobody answers. */
  readonly look: Effect.Effect<void>
}

export const make = (
  context: SessionContext,
  parts: {
    readonly fetchLoops: FetchLoops
    readonly startOffsets: StartOffsets
    readonly elections: Elections
    readonly description: Description
    readonly tombstones: Tombstones
  }
): Controller => {
  const { fork, now, partitions, retention, settings, unplaced, view, wakeup } = context
  const { description, elections, fetchLoops, startOffsets, tombstones } = parts
  /** Leaders are looked for more often where tombstones are kept for a short time only. */
  const refresh = (): number => Math.min(settings.metadataRefresh, retention.patience)
  /**
   * When the topic is described again after a description. Tables of one process look at the same times, halves of the interval,
   * so that the client can describe many topics in one request.
   */
  const nextLook = (described: number): number => {
    const step = refresh() / 2
    return Math.floor((described + 2 * step) / step) * step
  }
  /** Who waits for the next description. */
  let looking: Deferred.Deferred<void> | undefined

  /** The failures of partitions to back off for before the topic is described; undefined where nothing of the session asks for it. */
  const dueFailures = (): number | undefined => {
    let isDue = wakeup.isOutdated || view.failures() > 0
    for (const partition of unplaced) if (!startOffsets.isUnderWay(partition)) isDue = true
    // Who failed last is served first: partitions that have been away for long do not hold it up.
    let failures = Number.POSITIVE_INFINITY
    for (const partition of partitions.values()) {
      if (!partition.parked || startOffsets.isUnderWay(partition)) continue
      isDue = true
      failures = Math.min(failures, partition.failures)
    }
    if (!isDue) return undefined
    return failures === Number.POSITIVE_INFINITY ? 0 : failures
  }

  /** What others have seen in the first half of the time will do. */
  const isRecent = (): boolean => view.failures() === 0 && now() - view.askedAt() < refresh() / 2

  return {
    run: Effect.gen(function* () {
      yield* startOffsets.place
      let described = now()
      while (true) {
        yield* tombstones.check
        yield* fetchLoops.ensure
        yield* elections.confirm
        yield* wakeup.await(nextLook(described), now)
        const failures = dueFailures()
        if (failures === undefined && now() < nextLook(described)) continue
        if (failures !== undefined && failures > 0) yield* Effect.sleep(backoffMillis(failures, yield* Random.next))
        described = now()
        wakeup.serve()
        const asked = looking
        looking = undefined
        if (yield* failures === undefined && isRecent() ? description.reuse : description.describe) {
          yield* startOffsets.place
          yield* fork(tombstones.learn)
        }
        if (asked !== undefined) Deferred.doneUnsafe(asked, Effect.void)
      }
    }),
    look: Effect.suspend(() => {
      const looked = (looking ??= Deferred.makeUnsafe())
      wakeup.refresh()
      return Effect.asVoid(Effect.timeoutOption(Deferred.await(looked), LOOK))
    })
  }
}
