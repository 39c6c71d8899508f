/**
 * Sees to it that no tombstone expires before it is read: learns how long the topic keeps them, and has read again what
 * can no longer be trusted.
 */
import { Effect } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import { isNotAuthorized } from "../topic/refusal.ts"
import type { Moment } from "../moment.ts"
import type { Partition } from "./partition.ts"
import { SHORTEST } from "./retention.ts"
import { byLeader, type Offsets } from "./offsets.ts"
import { visibleEnd } from "./recordSet.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { Stage } from "./stage.ts"

/** Milliseconds: below it followers are not read from, since they may lag for `replica.lag.time.max.ms`, by default 30 s. */
const FOLLOWERS_FROM = 60_000
/** Descriptions in a row that may fail by what passes, before the retention counts as unknown. */
const PATIENT = 4
/** The part of the time between two regular descriptions within which the retention is not asked for again. */
const REGULARLY = 0.9
/** Milliseconds until a refused description is asked for again. */
const REFUSED = 600_000
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
  const { client, failUnsafe, lost, moment, now, partitions, restart, retention, settings, topic } = context
  let asksFrom = Number.NEGATIVE_INFINITY
  /** Whether tombstones keep their time from their cleaning; what the last answer said. */
  let keepsFromCleaning = false
  /** What became of partitions, for the log. */
  let notes: Array<string> = []

  /** What was read of the partition is not to be relied on. */
  const again = (partition: Partition, detail: string): void => {
    if (!stage.isLoading || stage.isStopped) return failUnsafe(lost(partition, Math.max(0, partition.logStart), detail))
    notes.push(`loading ${topic}[${partition.partition}] again: ${detail}`)
    restart(partition)
  }

  const tooLate = (since: number): string => {
    const limit = retention.observed ?? `${retention.assumed}, assumed since it cannot be read`
    return `${Math.round(since)} ms after all of it was read last, deletions may have expired unread (delete.retention.ms ${limit})`
  }

  const observe = Effect.fnUntraced(function* (millis: number): Effect.fn.Return<void> {
    const before = retention.observed
    retention.observe(millis)
    for (const partition of partitions.values()) partition.tombstones.observe(retention.effective)
    if (millis === before) return
    if (millis < SHORTEST) {
      yield* Effect.logWarning(
        `${topic}: delete.retention.ms is ${millis}: brokers may drop a deletion before anybody can have read it, and deleted keys may stay in tables; set it to minutes at least`
      )
    } else if (before !== undefined) {
      yield* Effect.logInfo(`${topic}: delete.retention.ms was ${before} and is ${millis}`)
    }
  })

  const refuse = Effect.fnUntraced(function* (detail: string): Effect.fn.Return<void> {
    asksFrom = now() + REFUSED
    if (retention.isRefused) return
    retention.refuse()
    if (retention.observed !== undefined)
      for (const partition of partitions.values()) partition.tombstones.observe(retention.effective)
    if (settings.deleteRetention !== undefined) return
    yield* Effect.logWarning(
      `${topic}: its delete.retention.ms cannot be read (${detail}) and is assumed to be ${retention.effective} ms: a table that was cut off for longer reads the topic again; allow DescribeConfigs, or give the option deleteRetention`
    )
  })

  /** Failures in a row that pass by themselves: a broker that never says is as one that refuses. */
  let failures = 0
  const onFailed = (error: KafkaError): Effect.Effect<void> => {
    if (error._tag === "BrokerError" && isNotAuthorized(error.code)) return refuse("not allowed to DescribeConfigs")
    const passes = error._tag !== "UnsupportedRequest" && (error._tag !== "BrokerError" || error.isRetriable)
    // What was said once is asked for again with the next description.
    if (passes && (retention.observed !== undefined || ++failures < PATIENT)) return Effect.void
    failures = 0
    return refuse(error.message)
  }

  const describe = Effect.flatMap(Effect.result(client.describeConfig(topic)), (result) => {
    if (result._tag === "Failure") return onFailed(result.failure)
    failures = 0
    // Descriptions of the topic that a lost broker causes do not ask for more than the regular ones.
    asksFrom = now() + REGULARLY * Math.min(settings.metadataRefresh, retention.patience)
    const setting = result.success.get("delete.retention.ms")
    const millis = Number(setting)
    return setting === undefined || !Number.isFinite(millis) ? refuse("the broker does not show it") : observe(millis)
  })

  /** A follower's end may be one of the past: the leader is asked. */
  const askLeaders = Effect.suspend(() => {
    const followed = [...partitions.values()].filter(({ leader, replica }) => replica >= 0 && replica !== leader)
    const isolation = keepsFromCleaning ? settings.isolation : "read_uncommitted"
    return Effect.forEach(
      byLeader(followed),
      ([leader, group]) => {
        const sent = moment()
        return Effect.map(Effect.result(offsets.list(leader, "latest", isolation, group)), (listed) => {
          if (listed._tag === "Failure") return
          for (const { errorCode, offset, partition } of listed.success) {
            const known = partitions.get(partition)
            if (known === undefined || errorCode !== 0 || offset < 0 || known.leader !== leader) continue
            known.tombstones.ends(sent, offset, known.readTo)
          }
        })
      },
      { discard: true, concurrency: "unbounded" }
    )
  })

  return {
    learn: Effect.suspend(() => Effect.andThen(now() < asksFrom ? Effect.void : describe, askLeaders)),
    trusts: (partition, at) => {
      const since = partition.tombstones.expired(at, retention.assumed)
      if (since !== undefined) again(partition, tooLate(since))
      return since === undefined
    },
    answered: (partition, asked, at) => partition.tombstones.answered(asked, asked.sent, at),
    ended: (partition, { broker, leaderEpoch, sent }, fetched, version) => {
      keepsFromCleaning = version >= KEEPS_FROM_CLEANING
      if (broker !== partition.leader || leaderEpoch !== partition.confirmedEpoch) return
      const end = keepsFromCleaning ? visibleEnd(settings.isolation, fetched) : fetched.highWatermark
      if (end >= 0) partition.tombstones.ends(sent, end, partition.readTo)
    },
    check: Effect.suspend(() => {
      for (const partition of partitions.values()) {
        if (partition.leader < 0 || partition.readFrom >= 0) continue
        if (partition.tombstones.allows(partition.source, partition.leaderEpoch)) continue
        again(partition, "it is read from another broker now, whose log may have been compacted otherwise")
      }
      const said = notes
      notes = []
      return Effect.forEach(said, (note) => Effect.logWarning(note), { discard: true })
    }),
    mayFollow: () => retention.effective >= FOLLOWERS_FROM
  }
}
