/** Hands on what was read of a log as brokers answered it, so that a later reader can go on from there. */
import type * as KafkaClient from "../../KafkaClient.ts"
import { type RecordCursor, summarize } from "../records/batchReader.ts"
import type { Partition } from "./partition.ts"

/**
 * Called with the batches of an answer that were applied, which end at an offset, and the transactions that were hidden. The
 * bytes are the caller's again when it returns.
 */
export type Recorder = (
  partition: Partition,
  nextOffset: number,
  records: Buffer,
  aborted: ReadonlyArray<KafkaClient.AbortedTransaction> | undefined
) => void

/** Records what a cursor has walked: it ends before a batch that is cut short or cannot be read. */
export const record = (
  recorder: Recorder,
  partition: Partition,
  { nextOffset }: RecordCursor,
  records: Buffer,
  aborted: ReadonlyArray<KafkaClient.AbortedTransaction> | undefined
): void => {
  const { wholeBytes } = summarize(records, nextOffset)
  if (wholeBytes > 0) recorder(partition, nextOffset, records.subarray(0, wholeBytes), aborted)
}
