/**
 * Looks into the log for acknowledged records that were passed so long ago that nobody remembers whose they were: one small
 * fetch, over a connection that is opened for it and closed soon after.
 */
import { Duration, Effect, RcMap, type Scope, Semaphore } from "effect"
import type { TableError } from "../../TableError.ts"
import { RecordCursor, summarize } from "../records/batchReader.ts"
import { deleted, replaced } from "./offsetWaiters.ts"
import type { Partition } from "./partition.ts"
import { type PlacedAck, RecentBatches } from "./recentBatches.ts"
import type { Offsets } from "./offsets.ts"
import type { SessionContext } from "./sessionContext.ts"

/** Bytes of a look: waits come in crowds, and their records lie beside each other. */
const BYTES = 64 * 1024
/** How long a connection is kept for the next look. */
const IDLE = Duration.seconds(1)

/**
 * Succeeds with true where the record is in the log, or compaction has taken it, which is to say that a later one counts;
 * with undefined where nobody could tell for now. Fails where another record, or none any more, is in its place.
 */
export type LookUp = (ack: PlacedAck) => Effect.Effect<true | undefined, TableError>

export const make = Effect.fnUntraced(function* (
  { client, identity, partitions, topic }: SessionContext,
  offsets: Offsets
): Effect.fn.Return<LookUp, never, Scope.Scope> {
  const fetchers = yield* RcMap.make({ lookup: client.openFetcher, idleTimeToLive: IDLE })
  const oneAtATime = Semaphore.makeUnsafe(1)
  /** Who still waits for a turn when the session ends is not answered by it, and its connections are not asked for. */
  let isOpen = true
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isOpen = false
    })
  )
  /** What the last look into a partition has shown. */
  const seen = new Map<Partition, RecentBatches>()

  const isBelowLogStart = Effect.fnUntraced(function* (partition: Partition, ack: PlacedAck) {
    const listed = yield* Effect.result(offsets.listOne(partition, "earliest"))
    if (listed._tag === "Failure" || listed.success === undefined || listed.success <= ack.offset) return undefined
    return yield* deleted(ack, listed.success)
  })

  const fetchAt = (partition: Partition, ack: PlacedAck) =>
    RcMap.get(fetchers, partition.leader).pipe(
      Effect.flatMap((fetcher) =>
        fetcher.fetch({
          topic,
          topicId: identity.topicId,
          isolation: "read_uncommitted",
          maxWait: 0,
          minBytes: 1,
          maxBytes: BYTES,
          rack: undefined,
          partitions: [
            {
              partition: partition.partition,
              fetchOffset: ack.offset,
              currentLeaderEpoch: partition.leaderEpoch,
              lastFetchedEpoch: -1,
              maxBytes: BYTES
            }
          ]
        })
      ),
      Effect.scoped,
      Effect.result
    )

  return Effect.fnUntraced(
    function* (ack): Effect.fn.Return<true | undefined, TableError> {
      const partition = partitions.get(ack.partition)
      if (!isOpen || partition === undefined || partition.leader < 0) return undefined
      let known = seen.get(partition)?.holds(ack)
      if (known === undefined) {
        const answer = yield* fetchAt(partition, ack)
        const fetched =
          answer._tag === "Failure" || answer.success.errorCode !== 0
            ? undefined
            : answer.success.partitions.find((one) => one.partition === ack.partition)
        if (fetched === undefined) return undefined
        if (fetched.errorCode !== 0) return yield* isBelowLogStart(partition, ack)
        if (summarize(fetched.records).nextOffset <= ack.offset) return undefined
        const batches = new RecentBatches()
        const cursor = new RecordCursor({
          records: fetched.records,
          fromOffset: ack.offset,
          abortedTransactions: undefined,
          listener: batches
        })
        while (!batches.isFull && cursor.next());
        if (cursor.nextOffset <= ack.offset) return undefined
        seen.set(partition, batches)
        known = batches.holds(ack)
      }
      // No batch there: compaction has taken it, since a later record of the key counts.
      if (known === false) return yield* replaced(ack)
      return true
    },
    (look) => oneAtATime.withPermits(1)(look)
  )
})
