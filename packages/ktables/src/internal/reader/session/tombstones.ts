/**
 * Watches that no partition is out of reach for longer than the topic keeps its tombstones: a key deleted meanwhile would
 * leave no trace.
 */
import { Effect } from "effect"
import type { DataLoss } from "../../../TableError.ts"
import type { Partition } from "../partition.ts"
import type { Situation } from "./situation.ts"
import type { Stage } from "./stage.ts"

/** Milliseconds that a load may take on its own account before a partition counts as out of reach meanwhile. */
const LONG_LOAD = 3_600_000

/** Milliseconds since a partition answered last; 0 before its first answer. */
const gapOf = (partition: Partition, at: number): number => (partition.answeredAt < 0 ? 0 : at - partition.answeredAt)

export interface Tombstones {
  /** Learns how long the topic keeps them. */
  readonly learn: Effect.Effect<void>
  /** The loss where a partition that answers at `at` was away for too long. */
  readonly missed: (partition: Partition, logStart: number, at: number) => DataLoss | undefined
  /** A partition that was complete early was not asked for since: that is no absence. */
  readonly excuse: () => void
}

export const make = ({ lost, now, partitions, settings }: Situation, stage: Stage): Tombstones => {
  let deleteRetention = Number.POSITIVE_INFINITY

  return {
    learn: Effect.flatMap(settings.deleteRetention, (millis) =>
      Effect.sync(() => {
        deleteRetention = millis
      })
    ),
    missed: (partition, logStart, at) => {
      const gap = gapOf(partition, at)
      return gap > Math.max(deleteRetention, 2 * settings.maxWait + 1000, stage.isLoading ? LONG_LOAD : 0)
        ? lost(
            partition,
            logStart,
            `out of reach for ${gap} ms, longer than the topic keeps its tombstones (delete.retention.ms ${deleteRetention})`
          )
        : undefined
    },
    excuse: () => {
      for (const partition of partitions.values()) {
        if (gapOf(partition, now()) <= Math.max(deleteRetention, LONG_LOAD)) partition.answeredAt = now()
      }
    }
  }
}
