/** Asks the leaders of all partitions that a session reads where their logs end, or were at a time, until all have answered. */
import { Effect } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { backoff } from "../backoff.ts"
import type { Partition } from "./partition.ts"
import { eachLeader, type Offsets } from "./offsets.ts"
import type { SessionContext } from "./sessionContext.ts"

/** By partition, as `KafkaClient.ListedOffset` has them. */
export type Listing = (
  at: KafkaClient.ListOffsetsRequest["at"],
  isolation: KafkaClient.Isolation
) => Effect.Effect<ReadonlyMap<number, number>>

export const make =
  ({ partitions, wakeup }: SessionContext, offsets: Offsets): Listing =>
  (at, isolation) =>
    Effect.gen(function* () {
      const listed = new Map<number, number>()
      const ask = (leader: number, group: ReadonlyArray<Partition>): Effect.Effect<void> =>
        Effect.map(Effect.result(offsets.list(leader, at, isolation, group)), (answer) => {
          if (answer._tag === "Failure") return
          for (const { errorCode, offset, partition } of answer.success) {
            if (errorCode === 0) listed.set(partition, offset)
          }
        })
      for (let failures = 1; ; failures++) {
        yield* eachLeader(
          [...partitions.values()].filter(({ partition }) => !listed.has(partition)),
          ask
        )
        if (listed.size >= partitions.size) return listed
        wakeup.refresh()
        yield* backoff(failures)
      }
    })
