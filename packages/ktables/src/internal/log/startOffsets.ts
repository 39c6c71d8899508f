/** Gives a session's partitions their start and target, leader by leader: one that does not answer holds up no other. */
import type { LogError } from "./logError.ts"
import { Effect } from "effect"
import { ClusterRefused, NotAuthorized } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import type { Partition } from "./partition.ts"
import type { FetchLoops } from "./fetchLoops.ts"
import { byLeader, type Offsets } from "./offsets.ts"
import { type LogPoint, placeIn } from "./range.ts"
import type { Resuming } from "./resumption.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { Stage } from "./stage.ts"

export interface StartOffsets {
  /** Begins to ask for the starts and targets that are missing. */
  readonly place: Effect.Effect<void>
  /** Whether a partition's start and target are being asked for. */
  readonly isUnderWay: (partition: Partition) => boolean
}

export const make = (
  context: SessionContext,
  stage: Stage,
  offsets: Offsets,
  fetchLoops: FetchLoops,
  resuming: Resuming
): StartOffsets => {
  const { disconnect, fork, metrics, park, placed, range, settings, wakeup, topic, unplaced } = context
  const placing = new Set<Partition>()

  type Listed = ReadonlyArray<KafkaClient.ListedOffset>

  /** Where the logs were at the point's time; where it is none, nobody has to be asked. */
  const listTimes = (
    leader: number,
    group: ReadonlyArray<Partition>,
    point: LogPoint | undefined
  ): Effect.Effect<Listed | undefined, KafkaError> =>
    point?._tag === "Time" ? offsets.list(leader, point.at, settings.isolation, group) : Effect.undefined

  /** A log's ends first: what is stamped at a time in the present may be written between two questions. */
  const listAll = Effect.fnUntraced(function* (leader: number, group: ReadonlyArray<Partition>) {
    const [starts, ends] = yield* Effect.all(
      [
        offsets.list(leader, "earliest", settings.isolation, group),
        offsets.list(leader, "latest", settings.isolation, group)
      ],
      { concurrency: 2 }
    )
    const [froms, tos] = yield* Effect.all([listTimes(leader, group, range.from), listTimes(leader, group, range.to)], {
      concurrency: 2
    })
    return { starts, ends, froms, tos }
  })

  /** Those that nobody knows yet stay unplaced, and are tried again. */
  const placeGroup = Effect.fnUntraced(function* (
    leader: number,
    group: ReadonlyArray<Partition>
  ): Effect.fn.Return<void, LogError> {
    const epochs = new Map(group.map((partition) => [partition, partition.leaderEpoch]))
    const listed = yield* Effect.result(
      Effect.all([listAll(leader, group), resuming.ask(leader, group)], { concurrency: 2 })
    )
    if (listed._tag === "Failure") {
      metrics.failed(listed.failure._tag)
      for (const partition of group) disconnect(partition, listed.failure.message)
      return
    }
    const [{ ends, froms, starts, tos }, evidence] = listed.success
    for (const partition of group) {
      const of = (listed: Listed | undefined) => listed?.find((one) => one.partition === partition.partition)
      const start = of(starts)
      const end = of(ends)
      const from = of(froms)
      const to = of(tos)
      const code = start?.errorCode || end?.errorCode || from?.errorCode || to?.errorCode || 0
      if (code === ErrorCode.TOPIC_AUTHORIZATION_FAILED) {
        return yield* new NotAuthorized({ topic, operation: "Describe", detail: "the broker refuses its offsets" })
      }
      if (code === ErrorCode.UNSUPPORTED_FOR_MESSAGE_FORMAT) {
        return yield* new ClusterRefused({ topic, detail: "its records have no timestamps, and no time can be found" })
      }
      // Of another leader by now, which may have cut the log: it is asked.
      if (partition.leaderEpoch !== epochs.get(partition)) continue
      const isMissing = (froms !== undefined && from === undefined) || (tos !== undefined && to === undefined)
      // An end before the start is none: one of the two is out of date.
      if (
        start === undefined ||
        end === undefined ||
        isMissing ||
        code !== 0 ||
        start.offset < 0 ||
        end.offset < start.offset
      ) {
        park(partition)
        continue
      }
      const log = { partition: partition.partition, start: start.offset, end: end.offset }
      const placement = yield* resuming.decide(partition, log, evidence)
      if (placement === "unknown") {
        park(partition)
        continue
      }
      if (partition.leaderEpoch !== epochs.get(partition)) continue
      const asked = range.from?._tag === "Offsets" ? range.from.of.get(partition.partition) : undefined
      if (asked !== undefined && asked > end.offset) {
        yield* Effect.logWarning(
          `${topic}[${partition.partition}] is to be read from ${asked} on, and ends at ${end.offset}: all that comes is read`
        )
      }
      const first = placeIn(log, range.from, from?.offset, start.offset)
      const last = placeIn(log, range.to, to?.offset, end.offset)
      partition.begin(first, Math.max(first, last), partition.leaderEpoch, start.offset)
      placement?.()
      placed(partition)
      stage.moved(partition)
    }
  })

  return {
    place: Effect.suspend(() =>
      Effect.forEach(
        byLeader([...unplaced].filter((partition) => !placing.has(partition))),
        ([leader, group]) => {
          for (const partition of group) placing.add(partition)
          const asking = Effect.ensuring(
            placeGroup(leader, group),
            Effect.sync(() => {
              for (const partition of group) placing.delete(partition)
              if (unplaced.size > 0) wakeup.call()
            })
          )
          return fork(Effect.andThen(asking, fetchLoops.ensure), { startImmediately: true })
        },
        { discard: true }
      )
    ),
    isUnderWay: (partition) => placing.has(partition)
  }
}
