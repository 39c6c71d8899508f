/**
 * Sees to it that no tombstone expires before it is read: learns how long the topic keeps them, and has read again what
 * can no longer be trusted.
 */
import { Effect, type Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { Moment } from "../moment.ts"
import type { Partition } from "./partition.ts"
import { SHORTEST } from "./retention.ts"
import { eachLeader, type Offsets } from "./offsets.ts"
import { visibleEnd } from "./recordSet.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { Stage } from "./stage.ts"

/** Milliseconds: below it followers are not read from, since they may lag for `replica.lag.time.max.ms`, by default 30 s. */
const FOLLOWERS_FROM = 60_000
/** The part of the time between two regular descriptions within which the retention is not asked for again. */
const REGULARLY = 0.9
/**
 * From this version of Fetch on, Kafka 3.1, a tombstone's time begins when it is cleaned first, and that is not before its
 * transaction ended (KIP-534). Before, it began when it was appended.
 */
const KEEPS_FROM_CLEANING = 13

/** A question that an answer belongs to. */
export interface Asked {
  readonly broker: number
  /** The leader epoch that was asked with. */
  readonly leaderEpoch: number
  /** When the question left. */
  readonly sent: Moment
}

export interface Tombstones {
  /** Goes by what anybody learns of how long the topic keeps them, until the scope closes. */
  readonly follow: Effect.Effect<void, never, Scope.Scope>
  /** Learns how long the topic keeps them, and where logs end that followers are read of. */
  readonly learn: Effect.Effect<void>
  /** Whether an answer may be applied now. Where too much time has passed, the partition is read again. */
  readonly trusts: (partition: Partition, now: Moment) => boolean
  /** An answer is about to be applied. */
  readonly answered: (partition: Partition, asked: Asked, now: Moment) => void
  /** An answer, which says where the log ends, has been applied. `version` is that of Fetch. */
  readonly ended: (partition: Partition, asked: Asked, fetched: KafkaClient.FetchedPartition, version: number) => void
  /** Has partitions read again of which a part was read from a broker that is not their source any more. */
  readonly check: Effect.Effect<void>
  /** Whether followers may be read from. */
  readonly mayFollow: () => boolean
}

export const make = (context: SessionContext, stage: Stage, offsets: Offsets): Tombstones => {
  const { failUnsafe, lost, moment, partitions, restart, retention, settings, topic, view, wakeup } = context
  /** Whether tombstones keep their time from their cleaning; what the last answer said. */
  let keepsFromCleaning = false
  /** What became of partitions, for the log. */
  let notes: Array<string> = []

  /** What was read of the partition is not to be relied on. */
  const again = (partition: Partition, detail: string): void => {
    if (!stage.isLoading || stage.isStopped) return failUnsafe(lost(partition, Math.max(0, partition.logStart), detail))
    notes.push(`loading ${topic}[${partition.partition}] again: ${detail}`)
    restart(partition, detail)
  }

  const tooLate = (since: number): string => {
    const limit = retention.observed ?? `${retention.assumed}, assumed since it cannot be read`
    return `${Math.round(since)} ms after all of it was read last, deletions may have expired unread (delete.retention.ms ${limit})`
  }

  const observed = (): void => {
    for (const partition of partitions.values()) {
      // What an earlier reader observed counts as long as it is the shorter time, where it may not be read any more.
      if (retention.observed === undefined && !partition.isResumed) continue
      partition.tombstones.observe(retention.effective)
      if (partition.isResumed) wakeup.call()
    }
  }

  const say = Effect.suspend(() => {
    const { said } = view.settings
    const before = said.retention
    const millis = (said.retention = retention.observed)
    const refusal = view.settings.refusal()
    const concerns = settings.deleteRetention === undefined
    const isRefused = refusal !== undefined && said.refusal === undefined && concerns
    if (refusal === undefined || concerns) said.refusal = refusal
    if (isRefused) {
      return Effect.logWarning(
        `${topic}: its delete.retention.ms cannot be read (${refusal}) and is assumed to be ${retention.effective} ms: a table that was cut off for longer reads the topic again; allow DescribeConfigs, or give the option deleteRetention`
      )
    }
    if (millis === undefined || millis === before) return Effect.void
    if (millis < SHORTEST) {
      return Effect.logWarning(
        `${topic}: delete.retention.ms is ${millis}: brokers may drop a deletion before anybody can have read it, and deleted keys may stay in tables; set it to minutes at least`
      )
    }
    return before === undefined
      ? Effect.void
      : Effect.logInfo(`${topic}: delete.retention.ms was ${before} and is ${millis}`)
  })

  /** Descriptions of the topic that a lost broker causes do not ask for more than the regular ones. */
  const learnRetention = Effect.suspend(() =>
    view.settings.learn(REGULARLY * Math.min(settings.metadataRefresh, retention.patience))
  )

  /** A follower's end may be one of the past: the leader is asked. */
  const askLeaders = Effect.suspend(() => {
    const followed = [...partitions.values()].filter(({ leader, replica }) => replica >= 0 && replica !== leader)
    const isolation = keepsFromCleaning ? settings.isolation : "read_uncommitted"
    return eachLeader(followed, (leader, group) => {
      const sent = moment()
      return Effect.map(offsets.known(leader, "latest", isolation, group), (known) => {
        for (const { offset, partition } of known) {
          if (partition.leader === leader) partition.tombstones.ends(sent, offset, partition.readTo)
        }
      })
    })
  })

  const trusts: Tombstones["trusts"] = (partition, at) => {
    const since = partition.tombstones.expired(at, retention.assumed)
    if (since !== undefined) again(partition, tooLate(since))
    return since === undefined
  }

  return {
    follow: view.settings.subscribe(observed),
    learn: learnRetention.pipe(Effect.andThen(say), Effect.andThen(askLeaders)),
    trusts,
    answered: (partition, asked, at) => partition.tombstones.answered(asked, asked.sent, at),
    ended: (partition, { broker, leaderEpoch, sent }, fetched, version) => {
      keepsFromCleaning = version >= KEEPS_FROM_CLEANING
      if (broker !== partition.leader || leaderEpoch !== partition.confirmedEpoch) return
      const end = keepsFromCleaning ? visibleEnd(settings.isolation, fetched) : fetched.highWatermark
      if (end >= 0) partition.tombstones.ends(sent, end, partition.readTo)
    },
    check: Effect.suspend(() => {
      for (const partition of partitions.values()) {
        if (partition.readFrom >= 0) continue
        // No answer may come that would show it: nothing may be new.
        if (partition.isResumed && stage.isLoading && !trusts(partition, moment())) continue
        if (partition.leader < 0) continue
        if (partition.tombstones.allows(partition.source, partition.leaderEpoch)) continue
        again(partition, "it is read from another broker now, whose log may have been compacted otherwise")
      }
      stage.look()
      const said = notes
      notes = []
      return Effect.forEach(said, (note) => Effect.logWarning(note), { discard: true })
    }),
    mayFollow: () => retention.effective >= FOLLOWERS_FROM
  }
}
