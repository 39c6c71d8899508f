/**
 * Log compaction, as the cleaner of one broker does it in one round over its own copy of a log
 * (https://kafka.apache.org/documentation/#compaction): over everything that is below the last stable offset and below
 * the segment that is written to.
 *
 * Batches keep their base offset and last offset, so compaction shows as holes. A producer's last batch stays, empty if
 * need be, since it holds the producer's sequence; so does the last batch of the round, since it holds the log's end.
 *
 * The first round that keeps a tombstone, or the marker of a transaction whose data is gone, writes into its batch until
 * when it stays (KIP-534): now and `delete.retention.ms`. The first round at that time or later drops it.
 */
import { encodeBatch, patchBaseOffset } from "../records/batchWriter.ts"
import type { PartitionLog } from "./partitionLog.ts"
import type { AbortedSpan, Replica } from "./replica.ts"
import { isCommitMarker, readRecords, type StoredBatch, storedBatch } from "./storedBatch.ts"

/** Whether a batch holds data of an aborted transaction. */
const isAborted = (batch: StoredBatch, aborted: ReadonlyArray<AbortedSpan>): boolean =>
  batch.isTransactional &&
  aborted.some(
    (span) =>
      span.producerId === batch.producerId && span.firstOffset <= batch.baseOffset && batch.lastOffset < span.lastOffset
  )

/** The batch with only some of its records, or an empty one, everything else in its header as it was. */
const withRecords = (
  batch: StoredBatch,
  records: ReturnType<typeof readRecords>,
  deleteHorizon: number | undefined
): StoredBatch => {
  const isEmpty = records.length === 0
  const bytes = encodeBatch(records, {
    // Of an empty batch only what it tells of its producer and of the log's end is written again.
    compression: isEmpty ? "none" : batch.compression,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    isTransactional: batch.isTransactional,
    isControl: batch.isControl,
    isLogAppendTime: batch.isLogAppendTime,
    deleteHorizon: isEmpty ? undefined : deleteHorizon,
    lastOffsetDelta: batch.lastOffset - batch.baseOffset
  })
  patchBaseOffset(bytes, batch.baseOffset, batch.leaderEpoch)
  return storedBatch(bytes)
}

export interface Round {
  readonly now: number
  /** The topic's `delete.retention.ms`. */
  readonly deleteRetention: number
  /** Drops tombstones and markers without regard to the time. */
  readonly dropTombstones: boolean
  /** Where the segment begins that is written to. */
  readonly below: number
}

export const compact = (log: PartitionLog, replica: Replica, round: Round): void => {
  const end = Math.min(log.lastStableOffset, round.below)
  const cleanable = replica.batches.slice(0, replica.batches.findLastIndex((batch) => batch.lastOffset < end) + 1)
  const kept = replica.batches.slice(cleanable.length)
  const isExpired = ({ deleteHorizon }: StoredBatch): boolean =>
    round.dropTombstones || (deleteHorizon !== undefined && deleteHorizon <= round.now)

  /** Offsets by key; aborted records are in no key's way, and so are nowhere here. */
  const newest = new Map<string, number>()
  const lastOfProducer = new Map<bigint, StoredBatch>()
  for (const batch of replica.batches) {
    if (batch.producerId < 0n) continue
    const known = lastOfProducer.get(batch.producerId)
    // A marker is what names the producer's epoch only where no data of that epoch does.
    if (!batch.isControl || known === undefined || known.isControl || known.producerEpoch !== batch.producerEpoch) {
      lastOfProducer.set(batch.producerId, batch)
    }
  }
  for (const batch of cleanable) {
    if (batch.isControl || isAborted(batch, replica.aborted)) continue
    for (const { key, offsetDelta } of readRecords(batch)) {
      if (key !== null) newest.set(Buffer.from(key).toString("latin1"), batch.baseOffset + offsetDelta)
    }
  }

  /** Producers with data between their last marker and here. */
  const observed = new Set<bigint>()
  const stillAborted = new Set<AbortedSpan>()
  const cleaned: Array<StoredBatch> = []
  for (const batch of cleanable) {
    const records = readRecords(batch)
    let retained: ReturnType<typeof readRecords>
    /** Whether the batch is to be dropped after some time. */
    let isPassing: boolean
    if (batch.isControl) {
      const isOfLogged = observed.delete(batch.producerId)
      const span = replica.aborted.find(
        (one) => one.producerId === batch.producerId && one.lastOffset === batch.lastOffset
      )
      if (isOfLogged && span !== undefined && !isCommitMarker(batch)) stillAborted.add(span)
      retained = isOfLogged || !isExpired(batch) ? records : []
      isPassing = !isOfLogged
    } else {
      if (batch.isTransactional) observed.add(batch.producerId)
      retained = records.filter(
        ({ key, offsetDelta, value }) =>
          key !== null &&
          newest.get(Buffer.from(key).toString("latin1")) === batch.baseOffset + offsetDelta &&
          (value !== null || !isExpired(batch))
      )
      isPassing = retained.some(({ value }) => value === null)
    }
    const deleteHorizon = batch.deleteHorizon ?? (isPassing ? round.now + round.deleteRetention : undefined)
    if (retained.length === records.length && records.length > 0 && deleteHorizon === batch.deleteHorizon) {
      cleaned.push(batch)
    } else if (retained.length > 0 || lastOfProducer.get(batch.producerId) === batch || batch === cleanable.at(-1)) {
      cleaned.push(withRecords(batch, retained, deleteHorizon))
    }
  }
  replica.batches = [...cleaned, ...kept]
  replica.join(kept[0]?.baseOffset ?? end)
  replica.aborted = replica.aborted.filter((span) => span.lastOffset >= end || stillAborted.has(span))
}
