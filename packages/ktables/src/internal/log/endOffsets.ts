/** The ends of all of a topic's partitions: what a barrier waits for, and so nothing that was seen or added before may be missing. */
import { Effect } from "effect"
import { backoff } from "../backoff.ts"
import type { Partition } from "./partition.ts"
import { eachLeader, type Offsets } from "./offsets.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { Sighting } from "../topic/topicView.ts"

/** How often an end offset below one that was seen is asked for again. */
const REGRESSIONS = 10

/** The ends now, whatever the isolation, partitions that were added meanwhile included. */
export const make = (
  { partitions, unplaced, view, wakeup }: SessionContext,
  generation: number,
  offsets: Offsets
): Effect.Effect<ReadonlyMap<number, number>> => {
  /**
   * Whether an end that was asked for in a leader epoch counts: a leader that was deposed may not know it yet, and a new one
   * may have cut what was read, after which the log may have grown as long again.
   */
  const isGood = (partition: Partition, leaderEpoch: number): boolean =>
    partition.leaderEpoch === leaderEpoch && (unplaced.has(partition) || partition.isConfirmed)
  return Effect.gen(function* () {
    const ends = new Map<number, { readonly offset: number; readonly leaderEpoch: number }>()
    let regressions = 0
    const listOf = (leader: number, group: ReadonlyArray<Partition>): Effect.Effect<void> => {
      const epochs = new Map(group.map((partition) => [partition, partition.leaderEpoch]))
      return Effect.map(offsets.known(leader, "latest", "read_uncommitted", group), (known) => {
        for (const { offset, partition } of known) {
          const leaderEpoch = epochs.get(partition)
          if (leaderEpoch === undefined || !isGood(partition, leaderEpoch)) continue
          // Right after an election the new leader's high watermark may lag behind what was already seen.
          if (offset < partition.highWatermark && regressions++ < REGRESSIONS) continue
          ends.set(partition.partition, { offset: Math.max(offset, partition.highWatermark), leaderEpoch })
        }
      })
    }
    /** Drops what a description has put in doubt since. */
    const doubt = (): void => {
      for (const [number, { leaderEpoch }] of ends) {
        const partition = partitions.get(number)
        if (partition === undefined || !isGood(partition, leaderEpoch)) ends.delete(number)
      }
    }
    const listLeft = Effect.suspend(() =>
      eachLeader(
        [...partitions.values()].filter((partition) => !ends.has(partition.partition)),
        listOf
      )
    )
    // Partitions that were added since the topic was last described belong to the promise, too.
    let isCurrent = false
    const take = (sighting: Sighting): void => {
      isCurrent = sighting._tag === "Described" && sighting.topic.generation === generation
      // Another topic by now, or none: this session is about to end, or the broker lags.
      if (!isCurrent) wakeup.refresh()
    }
    // Beside each other: both questions are on their way before either is answered.
    const seen = yield* view.begin
    yield* listLeft
    take(yield* seen)
    for (let failures = 1; ; failures++) {
      if (!isCurrent) take(yield* view.look)
      doubt()
      if (isCurrent && ends.size < partitions.size) yield* listLeft
      if (isCurrent && ends.size >= partitions.size) break
      yield* backoff(failures)
      if (failures > 1) wakeup.refresh()
    }
    return new Map(Array.from(ends, ([number, { offset }]) => [number, offset]))
  })
}
