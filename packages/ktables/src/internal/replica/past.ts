/**
 * Reads a topic once up to a point in its logs, and says of each partition from which offset on such an answer is proven to
 * be complete.
 *
 * The truth at an offset O of a partition is what its records below O come to, those that compaction has removed since
 * included. What is read is what is left of them. Compaction removes a record only for a newer one of its key, which it has
 * read, and a tombstone only once nothing older of its key is left. So, as long as nothing is removed while it is read:
 *
 * 1. What is left of a key is the newest part of its records, without a gap, or nothing. A key that has a record left below O
 *    therefore has its newest below O left: the answer is right about it. It can only be wrong about keys of which nothing is
 *    left below O, and show them as absent.
 * 2. Where no offset below O is without its record, nothing was removed: the answer is right about every key.
 * 3. A record below O that was the newest there was removed for a newer one, at O or above, which compaction had read. What
 *    compaction has read ends below the last stable offset, and below the first record that is younger than
 *    `min.compaction.lag.ms`. Where O is not below that end, the answer is right about every key.
 *
 * 2 and 3 need a log that begins at 0: what was deleted below a log's start may have been in the table at the time. That the
 * log has gaps says that compaction ran, and never how far it has come, so that nothing else is a proof.
 *
 * Compaction may run while the log is read, and remove a newer record for which the older one was read already. Where the log
 * has gaps and the answer is not complete by 3, it is read a second time up to the last gap. A record that is still there was
 * there the whole time, and so was everything newer of its key by 1; where one is gone, all is read again. The proofs by 3 ask
 * for the log's end after the reading, so that what compaction had read meanwhile is below it.
 */
import { Effect, type Clock, Deferred, type Scope } from "effect"
import { KeysMoved, OffsetNotInLog } from "../../TableError.ts"
import type { Connectivity } from "../log/connectivity.ts"
import { Continuity } from "../log/continuity.ts"
import type { LogError } from "../log/logError.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { OffsetWaiters } from "../log/offsetWaiters.ts"
import type { Partition } from "../log/partition.ts"
import type { LogPoint, Range } from "../log/range.ts"
import * as Session from "../log/session.ts"
import { inSlices } from "../slice.ts"
import type { SeenTopic, TopicView } from "../topic/topicView.ts"
import type { Applier } from "./applier.ts"
import { gather } from "./gather.ts"
import { boundedBy, type Limits } from "./limits.ts"
import type { LogContents } from "./logContents.ts"
import type { Survivors } from "../records/survivors.ts"
import { trim } from "./trim.ts"

/** What was read of a partition. */
export interface PastPartition {
  readonly partition: number
  readonly logStart: number
  /** The records below it count. */
  readonly offset: number
  /** The lowest offset for which an answer is proven to be complete, as for all from there on. */
  readonly completeFrom: number
}

/** Undefined where compaction ran while the log was read: it is to be read again. */
export type Past<K, V> =
  | { readonly contents: LogContents<K, V>; readonly partitions: ReadonlyArray<PastPartition> }
  | undefined

/** The part of `min.compaction.lag.ms` that is counted on: brokers' clocks are not this process's. */
const COUNTED_ON = 0.9

export const make = <K, V>(options: {
  readonly view: TopicView
  readonly topic: string
  readonly clock: Clock.Clock
  readonly settings: Session.FetchSettings & { readonly limits: Limits }
  readonly range: Range & { readonly to: LogPoint }
  readonly applier: Applier<K, V>
  readonly metrics: ReaderMetrics
  readonly connectivity: Connectivity
  readonly waiters: OffsetWaiters
  /** Is handed the session while it reads. */
  readonly onSession: (session: Session.Session) => void
}) => {
  const { applier, clock, metrics, range, settings, topic, view } = options
  const bounded = boundedBy(topic, settings.limits)

  /** Milliseconds for which records are safe from compaction; none where that cannot be read. */
  const compactionLag: Effect.Effect<number> = Effect.map(Effect.result(view.settings.read), (read) => {
    const lag = read._tag === "Success" ? Number(read.success.get("min.compaction.lag.ms")) : 0
    return Number.isFinite(lag) ? lag * COUNTED_ON : 0
  })

  /** The lowest offsets that compaction cannot have read up to. */
  const uncompactedFrom = Effect.fnUntraced(function* (
    session: Session.Session
  ): Effect.fn.Return<(partition: Partition) => number, LogError> {
    const lag = yield* compactionLag
    const young =
      lag > 0 ? yield* session.list(Math.ceil(clock.currentTimeMillisUnsafe() - lag), "read_committed") : undefined
    const ends = yield* session.list("latest", "read_committed")
    return ({ firstLogStart, partition }) => {
      const end = ends.get(partition)!
      const first = young?.get(partition) ?? -1
      return firstLogStart > 0 || first < 0 ? end : Math.min(first, end)
    }
  })

  /** Whether every record that counts and lies below the partition's last gap is still there. */
  const isStillThere = Effect.fnUntraced(function* (
    session: Session.Session,
    survivors: Survivors,
    below: number
  ): Effect.fn.Return<boolean, LogError> {
    let left = 0
    let entry = 0
    yield* inSlices(() => {
      if (entry >= survivors.size) return false
      if (survivors.valueLength(entry) >= 0 && survivors.offsetOf(entry) < below) left++
      entry++
      return true
    })
    if (left === 0) return true
    let isPast = false
    yield* session.reread(
      (_, cursor) =>
        inSlices(() => {
          if (isPast || left === 0 || !cursor.next()) return false
          isPast = cursor.offset >= below
          if (isPast || cursor.keyLength < 0 || cursor.valueLength < 0) return !isPast
          const found = survivors.find(cursor.buffer, cursor.keyStart, cursor.keyLength)
          if (found >= 0 && survivors.offsetOf(found) === cursor.offset) left--
          return true
        }),
      new Set([survivors.partition]),
      () => isPast || left === 0
    )
    return left === 0
  })

  return (seen: SeenTopic): Effect.Effect<Past<K, V>, LogError | OffsetNotInLog, Scope.Scope> =>
    Effect.gen(function* () {
      const survivors = new Map<number, Survivors>()
      const continuities = new Map<number, Continuity>()
      const session: Session.Session = yield* Session.make({
        ...options,
        seen,
        recorder: undefined,
        resumable: undefined,
        onProgress: () => {},
        onRestart: ({ partition }) => {
          survivors.delete(partition)
          continuities.delete(partition)
        },
        onGrown: (previous, now) =>
          new KeysMoved({ topic, detail: `it grew from ${previous} to ${now} partitions while it was read` })
      })
      options.onSession(session)
      const continuityOf = ({ partition, start, target }: Partition): Continuity => {
        let of = continuities.get(partition)
        if (of === undefined) continuities.set(partition, (of = new Continuity(start, target)))
        return of
      }
      const take = gather({
        bounded,
        metrics,
        keepsHeaders: applier.needsHeaders,
        memory: session.memory,
        survivors
      })
      yield* session.load((partition, cursor) => {
        cursor.report(continuityOf(partition))
        return take(partition, cursor)
      }, Deferred.makeUnsafe())

      const contents = yield* applier.build([...survivors.values()], new Map(), session)
      for (const { logStart, partition } of session.partitions.values()) {
        yield* trim(contents, partition, logStart, (slice) => void contents.mutate(slice, false))
      }
      yield* bounded(
        () => contents.extent,
        () => true
      )

      const uncompacted = yield* uncompactedFrom(session)
      const partitions: Array<PastPartition> = []
      for (const partition of session.partitions.values()) {
        const { firstLogStart, partition: number, target } = partition
        const continuity = continuityOf(partition)
        const asked = range.to._tag === "Offsets" ? range.to.of.get(number) : undefined
        if (asked !== undefined && asked > target) {
          return yield* new OffsetNotInLog({ topic, partition: number, offset: asked, logEnd: target })
        }
        // What was stamped at the time, or later, may have been in the gap before the first such record that is left.
        const offset = asked ?? continuity.reached
        const { unbrokenFrom } = continuity
        const completeFrom = unbrokenFrom === 0 ? 0 : uncompacted(partition)
        partitions.push({ partition: number, logStart: firstLogStart, offset, completeFrom })
        const of = survivors.get(number)
        if (offset < completeFrom && of !== undefined && !(yield* isStillThere(session, of, unbrokenFrom)))
          return undefined
      }
      return { contents, partitions: partitions.sort((a, b) => a.partition - b.partition) }
    })
}
