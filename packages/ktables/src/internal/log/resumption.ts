/**
 * Has partitions read on from where an earlier reader of the same log had come to, instead of from the log's start: where
 * their leader confirms that its log holds what was read, and no tombstone can have expired since. Whatever is not proven is
 * read from the log's start, as if nobody had read it before.
 */
import { Effect } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Mark } from "../checkpoint/format.ts"
import type { Moment } from "../moment.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import type { Offsets } from "./offsets.ts"
import { type Partition, STALE_METADATA } from "./partition.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { Stage } from "./stage.ts"
import { trustedFor } from "./tombstoneWatch.ts"

/** What an earlier reader has left. */
export interface Resumable {
  /** Undefined where nothing is known of a partition, or what was known has been used. */
  readonly markOf: (partition: number) => Mark | undefined
  /**
   * Takes what was read of a partition; hands back what puts it in place, in the step in which the partition begins, and
   * undefined where it cannot be read.
   */
  readonly restore: (partition: number) => Effect.Effect<(() => void) | undefined>
  /** Nothing of a partition is used, for a reason, or what was is void. */
  readonly discard: (partition: number, reason: string) => Effect.Effect<void>
}

/** What leaders say of the logs that marks were made of. */
export interface Evidence {
  readonly epochEnds: ReadonlyArray<KafkaClient.EpochEndOffset>
  /** The ends, whatever the isolation. */
  readonly watermarks: ReadonlyArray<KafkaClient.ListedOffset>
  /** When they were asked. */
  readonly sent: Moment
}

/** What becomes of a partition: it is read from the log's start, it begins where the function puts it, or it is asked about again. */
export type Placement = undefined | (() => void) | "unknown"

export interface Resuming {
  /** Asks a leader about those of its partitions that may be resumed. */
  readonly ask: (leader: number, group: ReadonlyArray<Partition>) => Effect.Effect<Evidence, KafkaError>
  /** Decides about a partition whose log begins and ends at these offsets. */
  readonly decide: (
    partition: Partition,
    log: { readonly start: number; readonly end: number },
    evidence: Evidence
  ) => Effect.Effect<Placement>
}

/** Why the log is not known to be the one that was read; undefined where it is. */
const objection = (
  { epoch, position, seen }: Mark,
  { end, start }: { readonly start: number; readonly end: number },
  said: KafkaClient.EpochEndOffset | undefined,
  now: Moment
): string | undefined => {
  if (seen > now.wall) return "the clock was set back since it was saved"
  if (position < start) return `it ends at ${position}, and the log begins at ${start} now`
  if (position > end) return `it ends at ${position}, and the log at ${end}`
  if (epoch < 0) return position === 0 ? undefined : "it names no leader epoch that could be confirmed"
  if (said === undefined || said.errorCode !== 0)
    return "the leader cannot say where the leader epoch ends that was read"
  if (said.leaderEpoch !== epoch) return `the leader does not know leader epoch ${epoch}, which was read last`
  if (said.endOffset < position) {
    return `it ends at ${position}, and of leader epoch ${epoch}, which was read last, the log holds nothing after ${said.endOffset}`
  }
  return undefined
}

const noEnds = Effect.succeed<ReadonlyArray<KafkaClient.EpochEndOffset>>([])

export const make = (
  { client, moment, resumable, retention, topic }: SessionContext,
  stage: Stage,
  offsets: Offsets
): Resuming => {
  /** Whether what was read may still be put in place: nothing was shown, and nothing is about to be. */
  const isOpen = (): boolean => stage.isLoading && !stage.isStopped
  const markOf = (partition: Partition): Mark | undefined =>
    isOpen() ? resumable?.markOf(partition.partition) : undefined

  /** A broker that cannot say where an epoch ends confirms nothing. */
  const epochEnds = (leader: number, claimed: ReadonlyArray<readonly [Partition, Mark]>) =>
    client
      .endOffsetForEpoch(leader, {
        topic,
        partitions: claimed.map(([{ leaderEpoch, partition }, { epoch }]) => ({
          partition,
          currentLeaderEpoch: leaderEpoch,
          leaderEpoch: epoch
        }))
      })
      .pipe(
        Effect.catchTag("UnsupportedRequest", () =>
          Effect.succeed(
            claimed.map(([{ partition }]): KafkaClient.EpochEndOffset => ({
              partition,
              errorCode: ErrorCode.UNSUPPORTED_VERSION,
              leaderEpoch: -1,
              endOffset: -1
            }))
          )
        )
      )

  return {
    ask: (leader, group) =>
      Effect.suspend(() => {
        const sent = moment()
        const claimed = group.flatMap((partition) => {
          const mark = markOf(partition)
          return mark === undefined ? [] : [[partition, mark] as const]
        })
        const ofEpochs = claimed.filter(([, { epoch }]) => epoch >= 0)
        if (claimed.length === 0) return Effect.succeed({ epochEnds: [], watermarks: [], sent })
        const partitions = claimed.map(([partition]) => partition)
        return Effect.map(
          Effect.all(
            [
              ofEpochs.length === 0 ? noEnds : epochEnds(leader, ofEpochs),
              offsets.list(leader, "latest", "read_uncommitted", partitions)
            ],
            {
              concurrency: 2
            }
          ),
          ([epochEnds, watermarks]) => ({ epochEnds, watermarks, sent })
        )
      }),
    decide: Effect.fnUntraced(function* (partition, log, evidence): Effect.fn.Return<Placement> {
      const mark = markOf(partition)
      if (mark === undefined) return undefined
      const { discard, restore } = resumable!
      const number = partition.partition
      const said = evidence.epochEnds.find((one) => one.partition === number)
      const watermark = evidence.watermarks.find((one) => one.partition === number)
      // What passes by itself is asked again, but not for ever.
      const code = said?.errorCode || watermark?.errorCode || 0
      const isMissing = watermark === undefined || (said === undefined && mark.epoch >= 0)
      const mayPass = (isMissing || code !== 0) && code !== ErrorCode.UNSUPPORTED_VERSION
      if (mayPass && partition.failures < STALE_METADATA) return "unknown"
      const now = moment()
      const reason = objection(mark, log, said, now)
      if (reason !== undefined) return yield* Effect.as(discard(number, reason), undefined)
      // Where the log still ends there, nothing can have been missed however long ago it was read.
      const isWhole = watermark !== undefined && watermark.errorCode === 0 && watermark.offset <= mark.position
      const age = now.wall - mark.seen
      const seen = isWhole ? evidence.sent : { wall: mark.seen, monotonic: now.monotonic - age }
      const known = Math.min(mark.retention, retention.effective)
      if (!isWhole && age >= trustedFor(known)) {
        const detail = `${Math.round(age)} ms after all of it was read last, deletions may have expired unread (delete.retention.ms ${known})`
        return yield* Effect.as(discard(number, detail), undefined)
      }
      const put = yield* restore(number)
      if (put === undefined || !isOpen()) return undefined
      return () => {
        put()
        partition.resume(mark, seen, Math.min(mark.retention, retention.assumed))
      }
    })
  }
}
