/** Gives a session's partitions their start and target, leader by leader: one that does not answer holds up no other. */
import type { LogError } from "./logError.ts"
import { Effect } from "effect"
import { NotAuthorized } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import type { Partition } from "./partition.ts"
import type { FetchLoops } from "./fetchLoops.ts"
import { byLeader, type Offsets } from "./offsets.ts"
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
  const { disconnect, guarded, metrics, park, placed, scope, settings, wakeup, topic, unplaced } = context
  const placing = new Set<Partition>()

  /** Those that nobody knows yet stay unplaced, and are tried again. */
  const placeGroup = Effect.fnUntraced(function* (
    leader: number,
    group: ReadonlyArray<Partition>
  ): Effect.fn.Return<void, LogError> {
    const epochs = new Map(group.map((partition) => [partition, partition.leaderEpoch]))
    const listed = yield* Effect.result(
      Effect.all(
        [
          offsets.list(leader, "earliest", settings.isolation, group),
          offsets.list(leader, "latest", settings.isolation, group),
          resuming.ask(leader, group)
        ],
        { concurrency: 3 }
      )
    )
    if (listed._tag === "Failure") {
      metrics.failed(listed.failure._tag)
      for (const partition of group) disconnect(partition, listed.failure.message)
      return
    }
    const [starts, ends, evidence] = listed.success
    for (const partition of group) {
      const start = starts.find((l) => l.partition === partition.partition)
      const end = ends.find((l) => l.partition === partition.partition)
      const code = start?.errorCode || end?.errorCode || 0
      if (code === ErrorCode.TOPIC_AUTHORIZATION_FAILED) {
        return yield* new NotAuthorized({ topic, operation: "Describe", detail: "the broker refuses its offsets" })
      }
      // Of another leader by now, which may have cut the log: it is asked.
      if (partition.leaderEpoch !== epochs.get(partition)) continue
      // An end before the start is none: one of the two is out of date.
      if (start === undefined || end === undefined || code !== 0 || start.offset < 0 || end.offset < start.offset) {
        park(partition)
        continue
      }
      const placement = yield* resuming.decide(partition, { start: start.offset, end: end.offset }, evidence)
      if (placement === "unknown") {
        park(partition)
        continue
      }
      if (partition.leaderEpoch !== epochs.get(partition)) continue
      partition.begin(start.offset, end.offset, partition.leaderEpoch)
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
          return placeGroup(leader, group).pipe(
            Effect.ensuring(
              Effect.sync(() => {
                for (const partition of group) placing.delete(partition)
                if (unplaced.size > 0) wakeup.call()
              })
            ),
            Effect.andThen(fetchLoops.ensure),
            guarded,
            Effect.forkIn(scope, { startImmediately: true })
          )
        },
        { discard: true }
      )
    ),
    isUnderWay: (partition) => placing.has(partition)
  }
}
