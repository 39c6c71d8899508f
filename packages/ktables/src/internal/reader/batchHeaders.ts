/** Walks the headers of a record set's batches without looking into them. */
import * as Format from "../records/batchFormat.ts"

/**
 * Calls `visit` for every whole batch of format v2 that reaches `fromOffset`, with its offsets, its producer, and the
 * times between which its records were written; any time, once compaction has taken records out of it.
 */
export const forEachBatchHeader = (
  records: Buffer,
  fromOffset: number,
  visit: (
    first: number,
    last: number,
    producerId: number,
    producerEpoch: number,
    sequence: number,
    earliest: number,
    latest: number
  ) => void
): void => {
  let at = 0
  while (at + Format.RECORDS <= records.length) {
    const end = at + Format.LOG_OVERHEAD + records.readInt32BE(at + Format.BATCH_LENGTH)
    if (end > records.length || end < at + Format.RECORDS) return
    if (records[at + Format.MAGIC] === 2) {
      const first = Format.readInt64(records, at)
      const last = first + records.readInt32BE(at + Format.LAST_OFFSET_DELTA)
      if (last >= fromOffset) {
        const isWhole = records.readInt32BE(at + Format.RECORD_COUNT) === last - first + 1
        const isStamped = (records.readInt16BE(at + Format.ATTRIBUTES) & Format.LOG_APPEND_TIME_FLAG) !== 0
        visit(
          first,
          last,
          Format.readInt64(records, at + Format.PRODUCER_ID),
          records.readInt16BE(at + Format.PRODUCER_EPOCH),
          records.readInt32BE(at + Format.BASE_SEQUENCE),
          isWhole
            ? Format.readInt64(records, at + (isStamped ? Format.MAX_TIMESTAMP : Format.BASE_TIMESTAMP))
            : Number.NEGATIVE_INFINITY,
          isWhole ? Format.readInt64(records, at + Format.MAX_TIMESTAMP) : Number.POSITIVE_INFINITY
        )
      }
    }
    at = end
  }
}

/** The leader epoch of the last whole batch that ends below `offset`; `otherwise` where there is none that tells. */
export const epochBefore = (records: Buffer, offset: number, otherwise: number): number => {
  let epoch = otherwise
  let at = 0
  while (at + Format.RECORDS <= records.length) {
    const end = at + Format.LOG_OVERHEAD + records.readInt32BE(at + Format.BATCH_LENGTH)
    if (end > records.length || end < at + Format.RECORDS) break
    if (records[at + Format.MAGIC] === 2) {
      if (Format.readInt64(records, at) + records.readInt32BE(at + Format.LAST_OFFSET_DELTA) >= offset) break
      epoch = Math.max(epoch, records.readInt32BE(at + Format.LEADER_EPOCH))
    }
    at = end
  }
  return epoch
}
