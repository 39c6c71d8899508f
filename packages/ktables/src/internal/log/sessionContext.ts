/**
 * What every part of a session knows: the topic and its partitions, what becomes of a partition that cannot be read for now,
 * and the failure that ends the session.
 */
import { errorOf, type LogError } from "./logError.ts"
import { type Clock, Deferred, Effect, type Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { DataLoss } from "../../TableError.ts"
import type { Connectivity } from "./connectivity.ts"
import type { OffsetWaiters } from "./offsetWaiters.ts"
import type { ReaderMetrics } from "./metrics.ts"
import { type Moment, momentOf, monotonicMillis } from "../moment.ts"
import { Partition } from "./partition.ts"
import type { Resumable } from "./resumption.ts"
import type { Recorder } from "./recording.ts"
import type { TopicView } from "../topic/topicView.ts"
import type { Range } from "./range.ts"
import { Retention } from "./retention.ts"
import { Wakeup } from "./wakeup.ts"

/** Milliseconds for which a leader is read from where the follower that it sent to (KIP-392) did not answer. */
export const FOLLOWER_REST = 30_000

export interface FetchSettings {
  readonly isolation: KafkaClient.Isolation
  readonly rack: string | undefined
  /** Milliseconds of a long poll. */
  readonly maxWait: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly maxPartitionBytes: number
  /** Milliseconds between two looks at the topic's description. */
  readonly metadataRefresh: number
  /** Milliseconds that the topic keeps tombstones, where it does not say so itself; undefined where nobody knows. */
  readonly deleteRetention: number | undefined
}

export interface Identity {
  readonly topicId: string | undefined
  readonly clusterId: string | undefined
}

export interface Surroundings {
  readonly view: TopicView
  readonly identity: Identity
  readonly settings: FetchSettings
  readonly range: Range
  readonly waiters: OffsetWaiters
  readonly metrics: ReaderMetrics
  readonly connectivity: Connectivity
  readonly clock: Clock.Clock
  /** What the session's fibers live in. */
  readonly scope: Scope.Scope
  /** What was taken of a partition is void: it is read from its start again. */
  readonly onRestart: (partition: Partition, reason: string) => void
  /** What an earlier reader of the log has left; undefined where there is nothing. */
  readonly resumable: Resumable | undefined
  /** Gets what was read, for a later reader; undefined where there is to be none. */
  readonly recorder: Recorder | undefined
}

export interface SessionContext extends Surroundings, Pick<TopicView, "client" | "topic"> {
  readonly wakeup: Wakeup
  readonly retention: Retention
  readonly partitions: ReadonlyMap<number, Partition>
  /** Partitions whose start and target are not known yet. */
  readonly unplaced: ReadonlySet<Partition>
  /** A partition by its number, a new one if need be. */
  readonly admit: (number: number) => Partition
  /** A partition has been given its start and target. */
  readonly placed: (partition: Partition) => void
  /** Milliseconds of the monotonic clock, for intervals: the wall clock may be set back. */
  readonly now: () => number
  readonly moment: () => Moment
  /** Gives a partition a new start and target. Nothing of it may be about to be applied. */
  readonly restart: (partition: Partition, reason: string) => void
  /** Leaves a partition alone until the topic has been described again. */
  readonly park: (partition: Partition) => void
  /** Parks a partition whose broker does not answer, or that has no leader; a follower is left for the leader. */
  readonly disconnect: (partition: Partition, detail: string) => void
  /** A broker has answered for a partition. */
  readonly connected: (partition: Partition) => void
  readonly lost: (partition: Partition, resetTo: number, detail: string) => DataLoss
  /** Ends the session. */
  readonly failUnsafe: (error: LogError) => void
  /** Makes an effect's failure the session's: none of the fibers ends without anybody hearing of it. */
  readonly guarded: <A>(effect: Effect.Effect<A, LogError>) => Effect.Effect<void>
  /** Runs an effect, guarded, beside the others until the session's scope closes. */
  readonly fork: <A>(
    effect: Effect.Effect<A, LogError>,
    options?: { readonly startImmediately: boolean }
  ) => Effect.Effect<void>
  /** Waits for the failure that ends the session. */
  readonly failure: Effect.Effect<never, LogError>
  readonly hasFailed: () => boolean
}

export const make = (surroundings: Surroundings): SessionContext => {
  const { clock, settings, view } = surroundings
  const { client, topic } = view
  const wakeup = new Wakeup()
  const retention = new Retention(view.settings, settings.deleteRetention)
  const partitions = new Map<number, Partition>()
  const unplaced = new Set<Partition>()
  const failure = Deferred.makeUnsafe<never, LogError>()

  const guarded: SessionContext["guarded"] = (effect) =>
    Effect.asVoid(Effect.exit(Effect.onError(effect, (cause) => Deferred.fail(failure, errorOf(topic, cause)))))
  const now = (): number => monotonicMillis(clock)
  const park = (partition: Partition): void => {
    partition.park()
    wakeup.call()
  }

  return {
    ...surroundings,
    client,
    topic,
    wakeup,
    retention,
    partitions,
    unplaced,
    admit: (number) => {
      let partition = partitions.get(number)
      if (partition === undefined) {
        partition = new Partition(number, settings.maxPartitionBytes)
        if (retention.observed !== undefined) partition.tombstones.observe(retention.effective)
        partitions.set(number, partition)
        unplaced.add(partition)
      }
      return partition
    },
    placed: (partition) => {
      unplaced.delete(partition)
    },
    now,
    moment: () => momentOf(clock),
    restart: (partition, reason) => {
      partition.restart()
      unplaced.add(partition)
      surroundings.metrics.reloaded()
      surroundings.onRestart(partition, reason)
      wakeup.call()
    },
    park,
    disconnect: (partition, detail) => {
      // The leader may well be there, and would send to its follower again at once.
      if (partition.replica >= 0) partition.stayWithLeader(now() + FOLLOWER_REST)
      else surroundings.connectivity.lost(partition, detail)
      park(partition)
    },
    connected: (partition) => surroundings.connectivity.found(partition),
    lost: (partition, resetTo, detail) =>
      new DataLoss({ topic, partition: partition.partition, consumedTo: partition.position, resetTo, detail }),
    failUnsafe: (error) => {
      Deferred.doneUnsafe(failure, Effect.fail(error))
    },
    guarded,
    fork: (effect, options) => Effect.asVoid(Effect.forkIn(guarded(effect), surroundings.scope, options)),
    failure: Deferred.await(failure),
    hasFailed: () => Deferred.isDoneUnsafe(failure)
  }
}
