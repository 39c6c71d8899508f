/** What can be said of a fetched record set: where it ends, whether a batch fits into it, and what is wrong with it. */
import type * as KafkaClient from "../../KafkaClient.ts"
import { UnreadableRecords } from "../../TableError.ts"
import { type BatchProblem, type RecordCursor, summarize } from "../records/batchReader.ts"
import type { Partition } from "./partition.ts"

/** The end of the log as the isolation level sees it. */
export const visibleEnd = (isolation: KafkaClient.Isolation, fetched: KafkaClient.FetchedPartition): number =>
  isolation === "read_committed" ? fetched.lastStableOffset : fetched.highWatermark

/** The transactions whose records are not to be seen; undefined where all are. */
export const hiddenTransactions = (
  isolation: KafkaClient.Isolation,
  fetched: KafkaClient.FetchedPartition
): ReadonlyArray<KafkaClient.AbortedTransaction> | undefined =>
  isolation === "read_committed" ? fetched.abortedTransactions : undefined

/** What kept the cursor from reading on; a set without a whole batch is a problem though nothing is wrong but its length. */
export const problemOf = (cursor: RecordCursor, records: Buffer, partition: Partition): BatchProblem | undefined =>
  cursor.problem ??
  (summarize(records).wholeBytes > 0
    ? undefined
    : {
        kind: "Corrupt",
        offset: partition.position,
        detail: `${records.length} bytes that hold no whole batch`
      })

/**
 * The failure, where the same position could not be read before; else undefined, since the wire may have spoilt it and it
 * is fetched once more. It names the position: the offset that a damaged batch says it has may be part of the damage.
 */
export const unreadableAgain = (
  topic: string,
  partition: Partition,
  { detail, kind, offset }: BatchProblem
): UnreadableRecords | undefined => {
  const { position } = partition
  return partition.unreadable()
    ? new UnreadableRecords({
        topic,
        partition: partition.partition,
        offset: position,
        kind,
        detail: offset === position ? detail : `${detail}, in a batch that gives its offset as ${offset}`
      })
    : undefined
}
