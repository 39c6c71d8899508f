/**
 * The records in what a fetch answers: the other half of `KafkaClient`, over whose port record sets cross as bytes.
 *
 * **When to use**
 *
 * For tools that look at a log itself, also at what is in no table: records without a key, tombstones, what does not decode.
 * A table needs none of this.
 *
 * @since 0.1.0
 */
import { type BatchProblem, RecordCursor } from "./internal/records/batchReader.ts"
import type { FetchedPartition, Isolation } from "./KafkaClient.ts"

/**
 * A record as it lies in a log.
 *
 * @category models
 * @since 0.1.0
 */
export interface LogRecord {
  readonly offset: number
  /** Milliseconds since the epoch; -1 when it has none. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  /** Null in a tombstone. */
  readonly value: Uint8Array | null
}

/**
 * Why a record set could not be read to its end, with the base offset of the batch.
 *
 * @category models
 * @since 0.1.0
 */
export type Problem = BatchProblem

/**
 * What was read of a record set.
 *
 * @category models
 * @since 0.1.0
 */
export interface Records {
  readonly records: ReadonlyArray<LogRecord>
  /** Where the next fetch goes on: also past markers of transactions, and past records that were aborted or removed. */
  readonly nextOffset: number
  readonly problem: Problem | undefined
}

/**
 * Reads what was fetched of a partition, from an offset on.
 *
 * **Details**
 *
 * Under `read_committed` records of aborted transactions are left out, as the answer lists them; a fetch under that isolation ends
 * before those of open ones. Keys and values are views into the answer, or into a decompressed batch.
 *
 * **Example** (The keys in one answer)
 *
 * ```ts
 * import { LogRecords, type KafkaClient } from "effect-ktables"
 *
 * export const keysOf = (fetched: KafkaClient.FetchedPartition, fromOffset: number) =>
 *   LogRecords.read(fetched, { fromOffset, isolation: "read_committed" }).records.map(({ key }) => key)
 * ```
 *
 * @category reading
 * @since 0.1.0
 */
export const read = (
  fetched: FetchedPartition,
  options: { readonly fromOffset: number; readonly isolation: Isolation }
): Records => {
  const cursor = new RecordCursor({
    records: fetched.records,
    fromOffset: options.fromOffset,
    abortedTransactions: options.isolation === "read_committed" ? fetched.abortedTransactions : undefined
  })
  const records: Array<LogRecord> = []
  while (cursor.next()) {
    const { buffer, keyLength, keyStart, offset, timestamp, valueLength, valueStart } = cursor
    records.push({
      offset,
      timestamp,
      key: keyLength < 0 ? null : buffer.subarray(keyStart, keyStart + keyLength),
      value: valueLength < 0 ? null : buffer.subarray(valueStart, valueStart + valueLength)
    })
  }
  return { records, nextOffset: cursor.nextOffset, problem: cursor.problem }
}
