/**
 * Log compaction, as Kafka's cleaner does it in one round over everything below the last stable offset
 * (https://kafka.apache.org/documentation/#compaction).
 *
 * Batches keep their base offset and last offset, so compaction shows as holes. A producer's last batch stays, empty if
 * need be, since it holds the producer's sequence; so does the last batch of the round, since it holds the log's end.
 */
import { encodeBatch, patchBaseOffset } from "../records/batchWriter.ts"
import type { AbortedSpan, PartitionLog } from "./partitionLog.ts"
import { isCommitMarker, readRecords, type StoredBatch, storedBatch } from "./storedBatch.ts"

/** Whether a batch holds data of an aborted transaction. */
const isAborted = (batch: StoredBatch, aborted: ReadonlyArray<AbortedSpan>): boolean =>
  batch.isTransactional &&
  aborted.some(
    (span) =>
      span.producerId === batch.producerId && span.firstOffset <= batch.baseOffset && batch.lastOffset < span.lastOffset
  )

/** The batch with only some of its records, or an empty one, everything else in its header as it was. */
const withRecords = (batch: StoredBatch, records: ReturnType<typeof readRecords>): StoredBatch => {
  const bytes = encodeBatch(records, {
    compression: batch.compression,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    isTransactional: batch.isTransactional,
    isControl: batch.isControl,
    isLogAppendTime: batch.isLogAppendTime,
    lastOffsetDelta: batch.lastOffset - batch.baseOffset
  })
  patchBaseOffset(bytes, batch.baseOffset, batch.leaderEpoch)
  return storedBatch(bytes)
}

/**
 * `dropTombstones` stands for `delete.retention.ms` having passed: tombstones go, and the markers of transactions whose
 * data an earlier round has removed.
 */
export const compact = (log: PartitionLog, options: { readonly dropTombstones: boolean }): void => {
  const end = log.lastStableOffset
  const cleanable = log.batches.filter((batch) => batch.lastOffset < end)
  const kept = log.batches.slice(cleanable.length)

  /** Offsets by key; aborted records are in no key's way, and so are nowhere here. */
  const newest = new Map<string, number>()
  const lastOfProducer = new Map<number, StoredBatch>()
  for (const batch of log.batches) {
    if (batch.producerId < 0) continue
    const known = lastOfProducer.get(batch.producerId)
    // A marker is what names the producer's epoch only where no data of that epoch does.
    if (!batch.isControl || known === undefined || known.isControl || known.producerEpoch !== batch.producerEpoch) {
      lastOfProducer.set(batch.producerId, batch)
    }
  }
  for (const batch of cleanable) {
    if (batch.isControl || isAborted(batch, log.aborted)) continue
    for (const { key, offsetDelta } of readRecords(batch)) {
      if (key !== null) newest.set(Buffer.from(key).toString("latin1"), batch.baseOffset + offsetDelta)
    }
  }

  /** Producers with data between their last marker and here. */
  const observed = new Set<number>()
  const stillAborted = new Set<AbortedSpan>()
  const cleaned: Array<StoredBatch> = []
  for (const batch of cleanable) {
    const records = readRecords(batch)
    let retained: ReturnType<typeof readRecords>
    if (batch.isControl) {
      const isOfLogged = observed.delete(batch.producerId)
      const span = log.aborted.find((one) => one.producerId === batch.producerId && one.lastOffset === batch.lastOffset)
      if (isOfLogged && span !== undefined && !isCommitMarker(batch)) stillAborted.add(span)
      retained = isOfLogged || !options.dropTombstones ? records : []
    } else {
      if (batch.isTransactional) observed.add(batch.producerId)
      retained = records.filter(
        ({ key, offsetDelta, value }) =>
          key !== null &&
          newest.get(Buffer.from(key).toString("latin1")) === batch.baseOffset + offsetDelta &&
          (value !== null || !options.dropTombstones)
      )
    }
    if (retained.length === records.length && records.length > 0) cleaned.push(batch)
    else if (retained.length > 0 || lastOfProducer.get(batch.producerId) === batch || batch === cleanable.at(-1)) {
      cleaned.push(withRecords(batch, retained))
    }
  }
  const aborted = log.aborted.filter((span) => span.lastOffset >= end || stillAborted.has(span))
  log.replace([...cleaned, ...kept], aborted)
}
