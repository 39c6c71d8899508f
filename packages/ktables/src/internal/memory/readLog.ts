/** A full read of a partition's log that shares no code with the engine: the oracle of tests. */
import type { LoggedRecord } from "./model.ts"
import { addSequence, type PartitionLog } from "./partitionLog.ts"
import type { Replica } from "./replica.ts"
import { isCommitMarker, readRecords } from "./storedBatch.ts"

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

export const readLog = (log: PartitionLog, replica: Replica, partition: number): ReadonlyArray<LoggedRecord> => {
  const all: Array<LoggedRecord> = []
  const undecided = new Map<bigint, Array<Mutable<LoggedRecord>>>()
  for (const batch of replica.batches) {
    const { baseOffset, baseSequence, leaderEpoch, producerEpoch, producerId } = batch
    if (batch.isControl) {
      const state = isCommitMarker(batch) ? "committed" : "aborted"
      for (const record of undecided.get(producerId) ?? []) record.state = state
      undecided.delete(producerId)
      continue
    }
    for (const { headers = [], key, offsetDelta, timestamp, value } of readRecords(batch)) {
      const record: Mutable<LoggedRecord> = {
        partition,
        offset: baseOffset + offsetDelta,
        leaderEpoch,
        timestamp,
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
        headers,
        producerId,
        producerEpoch,
        sequence: producerId < 0n ? -1 : addSequence(baseSequence, offsetDelta),
        state: batch.isTransactional ? "open" : "plain"
      }
      if (record.offset < log.startOffset) continue
      all.push(record)
      if (!batch.isTransactional) continue
      const open = undecided.get(producerId)
      if (open === undefined) undecided.set(producerId, [record])
      else open.push(record)
    }
  }
  return all
}
