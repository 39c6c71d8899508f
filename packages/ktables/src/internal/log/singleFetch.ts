/**
 * Fetches one partition beside the fetch loops, from its leader, over a connection that is opened for that and kept for a
 * moment: a broker that throttles it finds the same one waiting.
 */
import { Duration, Effect, RcMap, type Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Partition } from "./partition.ts"
import type { SessionContext } from "./sessionContext.ts"

/** How long a connection is kept for the next question. */
const IDLE = Duration.seconds(1)

export interface Question {
  readonly isolation: KafkaClient.Isolation
  readonly offset: number
  /** The epoch of the last batch read before it; -1 where there is none to compare. */
  readonly lastFetchedEpoch: number
  /** Milliseconds. */
  readonly maxWait: number
  readonly maxBytes: number
}

/** What the leader answers about the partition; undefined where a quota or an error held all of it back. */
export type SingleFetch = (
  of: Partition,
  question: Question
) => Effect.Effect<KafkaClient.FetchedPartition | "throttled" | undefined, KafkaError>

export const make = ({ client, identity, topic }: SessionContext): Effect.Effect<SingleFetch, never, Scope.Scope> =>
  Effect.map(
    RcMap.make({ lookup: client.openFetcher, idleTimeToLive: IDLE }),
    (fetchers): SingleFetch =>
      ({ leader, leaderEpoch, partition }, { isolation, lastFetchedEpoch, maxBytes, maxWait, offset }) =>
        RcMap.get(fetchers, leader).pipe(
          Effect.flatMap((fetcher) =>
            fetcher.fetch({
              topic,
              topicId: identity.topicId,
              isolation,
              maxWait,
              minBytes: 1,
              maxBytes,
              rack: undefined,
              partitions: [
                { partition, fetchOffset: offset, currentLeaderEpoch: leaderEpoch, lastFetchedEpoch, maxBytes }
              ]
            })
          ),
          Effect.scoped,
          Effect.map(({ partitions, throttle }) =>
            throttle > 0 && partitions.length === 0
              ? "throttled"
              : partitions.find((fetched) => fetched.partition === partition)
          )
        )
  )
