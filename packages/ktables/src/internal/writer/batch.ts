/** Records that are sent together, and what is known of their fate. */
import { BATCH_OVERHEAD } from "../records/batchWriter.ts"
import type { PendingRecord } from "./pendingRecord.ts"
import type { RecordQueue } from "./recordQueue.ts"
import type { Moment } from "../moment.ts"
import type { Identity } from "./sequence.ts"

export interface Batch {
  readonly records: ReadonlyArray<PendingRecord>
  /** When its oldest record has had its delivery time, by the monotonic clock. */
  readonly deadline: number
  /** Sent again as it is until it is resolved; undefined before the first attempt and after a renumbering. */
  encoded: { readonly bytes: Buffer; readonly identity: Identity } | undefined
  /** A produce is under way. */
  inFlight: boolean
  /** A broker was sent the batch, and its answer, if any, left open whether the log holds it. */
  mayBeWritten: boolean
  /** When that was first found. */
  openSince: Moment | undefined
}

const make = (records: ReadonlyArray<PendingRecord>, deadline: number): Batch => {
  for (let i = 0; i < records.length; i++) records[i]!.offsetDelta = i
  return { records, deadline, encoded: undefined, inFlight: false, mayBeWritten: false, openSince: undefined }
}

/**
 * The next batch of a queue: as many records as fit, the youngest of them not much younger than the oldest, since all
 * share the oldest one's deadline. Undefined when the queue holds none.
 */
export const take = (
  queue: RecordQueue,
  options: { readonly maxBytes: number; readonly deliveryTimeout: number }
): Batch | undefined => {
  const first = queue.shift()
  if (first === undefined) return undefined
  const records = [first]
  const youngest = first.offeredAt + options.deliveryTimeout / 4
  let bytes = BATCH_OVERHEAD + first.size
  first.state = "taken"
  for (let next = queue.peek(); next !== undefined; next = queue.peek()) {
    bytes += next.size
    if (bytes > options.maxBytes || next.offeredAt > youngest) break
    queue.shift()
    next.state = "taken"
    records.push(next)
  }
  return make(records, first.offeredAt + options.deliveryTimeout)
}

/** Two batches in place of one that holds a record to blame. */
export const halves = (batch: Batch): readonly [Batch, Batch] => {
  const middle = batch.records.length >> 1
  return [make(batch.records.slice(0, middle), batch.deadline), make(batch.records.slice(middle), batch.deadline)]
}

/** The latest time of its records, in milliseconds since the epoch. */
export const latest = ({ records }: Batch): number =>
  records.reduce((latest, { timestamp }) => Math.max(latest, timestamp), Number.NEGATIVE_INFINITY)
