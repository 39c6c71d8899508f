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
): Effect.Effect<ReadonlyMap<number, number>> =>
  Effect.gen(function* () {
    const ends = new Map<number, number>()
    let regressions = 0
    const listOf = (leader: number, group: ReadonlyArray<Partition>): Effect.Effect<void> =>
      Effect.map(offsets.known(leader, "latest", "read_uncommitted", group), (known) => {
        for (const { offset, partition } of known) {
          // An election may have cut what was read, and the log may have grown as long again.
          if (!unplaced.has(partition) && !partition.isConfirmed) continue
          // Right after an election the new leader's high watermark may lag behind what was already seen.
          if (offset < partition.highWatermark && regressions++ < REGRESSIONS) continue
          ends.set(partition.partition, Math.max(offset, partition.highWatermark))
        }
      })
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
      if (isCurrent && ends.size < partitions.size) yield* listLeft
      if (isCurrent && ends.size >= partitions.size) break
      yield* backoff(failures)
      if (failures > 1) wakeup.refresh()
    }
    return ends
  })
