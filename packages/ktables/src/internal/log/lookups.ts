/**
 * Looks into the log for acknowledged records that were passed so long ago that nobody remembers whose they were: one small
 * fetch, over a connection that is opened for it and closed soon after.
 */
import { Effect, type Scope, Semaphore } from "effect"
import type { DataLoss } from "../../TableError.ts"
import { RecordCursor, summarize } from "../records/batchReader.ts"
import { deleted, replaced } from "./offsetWaiters.ts"
import type { Partition } from "./partition.ts"
import { type PlacedAck, RecentBatches } from "./recentBatches.ts"
import type { Offsets } from "./offsets.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { SingleFetch } from "./singleFetch.ts"

/** Bytes of a look: waits come in crowds, and their records lie beside each other. */
const BYTES = 64 * 1024

/**
 * Succeeds with true where the record is in the log, or compaction has taken it, which is to say that a later one counts;
 * with undefined where nobody could tell for now. Fails where another record, or none any more, is in its place.
 */
export type LookUp = (ack: PlacedAck) => Effect.Effect<true | undefined, DataLoss>

export const make = Effect.fnUntraced(function* (
  { partitions }: SessionContext,
  offsets: Offsets,
  fetchOne: SingleFetch
): Effect.fn.Return<LookUp, never, Scope.Scope> {
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
    const earliest = yield* offsets.listOne(partition, "earliest")
    return earliest === undefined || earliest <= ack.offset ? undefined : yield* deleted(ack, earliest)
  })

  return Effect.fnUntraced(
    function* (ack): Effect.fn.Return<true | undefined, DataLoss> {
      const partition = partitions.get(ack.partition)
      if (!isOpen || partition === undefined || partition.leader < 0) return undefined
      let known = seen.get(partition)?.holds(ack)
      if (known === undefined) {
        const answer = yield* Effect.result(
          fetchOne(partition, {
            isolation: "read_uncommitted",
            offset: ack.offset,
            lastFetchedEpoch: -1,
            maxWait: 0,
            maxBytes: BYTES
          })
        )
        const fetched = answer._tag === "Failure" ? undefined : answer.success
        if (fetched === undefined || fetched === "throttled") return undefined
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
