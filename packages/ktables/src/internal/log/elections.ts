/**
 * Asks new leaders whether they hold what was read and what is waited for: a log that an election truncated shows it by
 * where its epochs end (KIP-320).
 */
import type { LogError } from "./logError.ts"
import { Effect } from "effect"
import { backoff } from "../backoff.ts"
import type { Partition } from "./partition.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { eachLeader, type Offsets } from "./offsets.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { Stage } from "./stage.ts"

/** How often a new leader is asked where the epoch that was read last ends. */
const CONFIRMATIONS = 10

export interface Elections {
  /** A partition has a new leader, which is to say whether it holds what was read. */
  readonly elected: (partition: Partition) => void
  /** Begins to ask new leaders, each for itself; waits that counted on what the old ones had take their targets again. */
  readonly confirm: Effect.Effect<void>
  /** Looks up whether acknowledged records that are waited for are still in the leader's log. */
  readonly verifyAwaited: Effect.Effect<void>
}

type Leadership = Pick<Partition, "partition" | "leader" | "leaderEpoch">

export const make = (context: SessionContext, stage: Stage, offsets: Offsets): Elections => {
  const { client, waiters, fork, lost, partitions, settings, wakeup, topic, unplaced, view } = context
  const unconfirmed = new Set<Partition>()
  const confirming = new Set<Partition>()

  /** Where an epoch ends in a leader's log, by default the leader's own. */
  const epochEnds = (leader: number, of: ReadonlyArray<Leadership>, epoch?: number) =>
    Effect.result(
      client.endOffsetForEpoch(leader, {
        topic,
        partitions: of.map(({ leaderEpoch, partition }) => ({
          partition,
          currentLeaderEpoch: leaderEpoch,
          leaderEpoch: epoch ?? leaderEpoch
        }))
      })
    )

  /**
   * After an election the new leader says where the epoch we read last ends: a shorter log was truncated. False where it
   * does not say.
   */
  const validate = Effect.fnUntraced(function* (partition: Partition): Effect.fn.Return<boolean, LogError> {
    // Taken before asking: the position may be in another epoch by the time of the answer.
    const { epoch, epochAt } = partition
    if (epoch < 0 || unplaced.has(partition)) return true
    const answer = yield* epochEnds(partition.leader, [partition], epoch)
    if (answer._tag === "Failure") return answer.failure._tag === "UnsupportedRequest"
    const end = answer.success.find((one) => one.partition === partition.partition)
    if (end?.errorCode === ErrorCode.UNSUPPORTED_VERSION) return true
    if (end === undefined || end.errorCode !== 0) return false
    if (end.endOffset < 0) return true
    if (end.endOffset < epochAt || (end.leaderEpoch >= 0 && end.leaderEpoch < epoch)) {
      return yield* lost(
        partition,
        Math.min(end.endOffset, epochAt),
        `the log was truncated: of epoch ${epoch} its new leader holds nothing after ${end.endOffset}`
      )
    }
    return true
  })

  /**
   * A leader tells its end once it holds all that was committed before its time. A log that lost records before our
   * position may end below what was to be replayed: the target is never raised.
   */
  const lowerTarget = Effect.fnUntraced(function* (partition: Partition): Effect.fn.Return<boolean> {
    if (unplaced.has(partition)) return true
    const end = yield* offsets.listOne(partition, "latest", settings.isolation)
    if (end === undefined) return false
    if (partition.lowerTarget(end)) stage.moved(partition)
    return true
  })

  const confirmOne = Effect.fnUntraced(function* (partition: Partition): Effect.fn.Return<void, LogError> {
    for (let attempt = 1; unconfirmed.has(partition) && attempt <= CONFIRMATIONS; attempt++) {
      if (attempt > 1) yield* backoff(attempt - 1)
      if (partition.leader < 0) continue
      const epoch = partition.leaderEpoch
      const isConfirmed = (yield* validate(partition)) && (yield* lowerTarget(partition))
      if (isConfirmed && partition.leaderEpoch === epoch) {
        unconfirmed.delete(partition)
        partition.confirmed(epoch)
      }
    }
    if (unconfirmed.delete(partition)) {
      yield* Effect.logWarning(
        `${topic}[${partition.partition}]: its new leader, broker ${partition.leader}, does not say whether it holds what was read; barriers wait until it does`
      )
    }
    waiters.again()
  })

  /** Whether the cluster, asked now, names the leader and the epoch that were asked: one that was deposed knows it last. */
  const stillLeads = ({ leader, leaderEpoch, partition }: Leadership): Effect.Effect<boolean> =>
    Effect.map(view.look, (sighting) => {
      const now = sighting._tag === "Described" ? sighting.said.partitions[partition] : undefined
      return now !== undefined && now.leader === leader && (now.leaderEpoch < 0 || now.leaderEpoch === leaderEpoch)
    })

  const verifyOn = Effect.fnUntraced(function* (
    leader: number,
    group: ReadonlyArray<Partition>
  ): Effect.fn.Return<void> {
    const question = waiters.question()
    const asked = group.map(({ leaderEpoch, partition }): Leadership => ({ leader, leaderEpoch, partition }))
    const answer = yield* epochEnds(leader, asked)
    if (answer._tag === "Failure") return
    for (const { endOffset, errorCode, partition } of answer.success) {
      const of = asked.find((one) => one.partition === partition)
      if (of === undefined || errorCode !== 0 || endOffset < 0) continue
      if (!waiters.awaitsBeyond(partition, endOffset, question)) continue
      if (yield* stillLeads(of)) waiters.logEndsAt(partition, endOffset, question)
      else wakeup.refresh()
    }
  })

  return {
    elected: (partition) => {
      unconfirmed.add(partition)
      wakeup.call()
    },
    confirm: Effect.suspend(() =>
      Effect.forEach(
        [...unconfirmed].filter((partition) => !confirming.has(partition)),
        (partition) => {
          confirming.add(partition)
          const over = Effect.sync(() => confirming.delete(partition))
          return fork(Effect.ensuring(confirmOne(partition), over), { startImmediately: true })
        },
        { discard: true }
      )
    ),
    verifyAwaited: Effect.suspend(() => {
      if (waiters.awaitsAnother) wakeup.refresh()
      const awaited = waiters.awaitedPartitions.flatMap((number) => partitions.get(number) ?? [])
      return eachLeader(
        awaited.filter(({ leaderEpoch }) => leaderEpoch >= 0),
        verifyOn
      )
    })
  }
}
