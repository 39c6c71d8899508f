/**
 * One reading of a topic, from the start of its log until the log turns out to be another: survivors are gathered, contents
 * built of them and shown in place of those before, and then what follows is applied.
 */
import { type Clock, Deferred, Effect, type Scope } from "effect"
import { KeysMoved, type ReaderError } from "../../TableError.ts"
import type { Connectivity } from "../log/connectivity.ts"
import type { LogError } from "../log/logError.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { OffsetWaiters } from "../log/offsetWaiters.ts"
import type { SeenTopic, TopicView } from "../topic/topicView.ts"
import type { Range } from "../log/range.ts"
import * as Session from "../log/session.ts"
import { monotonicMillis } from "../moment.ts"
import type { Cell } from "../table/cell.ts"
import { EntriesCursor } from "../checkpoint/entries.ts"
import type { Applier } from "./applier.ts"
import type { Checkpointing, Fill } from "./checkpointing.ts"
import type { CurrentSession } from "./currentSession.ts"
import { type Base } from "./build.ts"
import { gather, join } from "./gather.ts"
import { boundedBy, type Limits } from "./limits.ts"
import type { LogContents } from "./logContents.ts"
import { Survivors } from "../records/survivors.ts"
import { trim } from "./trim.ts"

export interface CatchUp {
  readonly millis: number
  readonly records: number
}

/** What a reading reports of how far it is. */
export interface Progress {
  /** Whether everything has been read that was there when a reading began. */
  readonly isComplete: () => boolean
  /** Some of it has been read. */
  readonly advanced: () => void
  /** What was read of the load is shown; whether it was all. */
  readonly shown: (catchUp: CatchUp, isComplete: boolean) => Effect.Effect<void>
  /** The rest has been read, too. */
  readonly completed: Effect.Effect<void>
}

export const make = <K, V>(options: {
  readonly view: TopicView
  readonly topic: string
  readonly clock: Clock.Clock
  readonly settings: Session.FetchSettings & { readonly limits: Limits; readonly range: Range }
  readonly applier: Applier<K, V>
  readonly cell: Cell<K, V, ReaderError, LogContents<K, V>>
  readonly metrics: ReaderMetrics
  readonly connectivity: Connectivity
  readonly waiters: OffsetWaiters
  readonly current: CurrentSession
  readonly progress: Progress
  /** Undefined where the table is to have no checkpoint. */
  readonly checkpointing: Checkpointing | undefined
}) => {
  const { applier, cell, checkpointing, clock, current, metrics, progress, settings, topic, waiters } = options
  const bounded = boundedBy(topic, settings.limits)
  const extent = () => cell.contents.extent
  /** An older record of a key that went may lie in another partition. */
  const misplaced = Effect.suspend(() =>
    applier.spread() === "shared"
      ? Effect.fail(new KeysMoved({ topic, detail: "records of keys that lie in several went below a log's start" }))
      : Effect.void
  )
  const complete = Effect.andThen(bounded(extent, always), progress.completed)

  /** The topic that offsets of the range are of; one that was made again is read from its start, since all of it is later. */
  let generation: number | undefined
  const rangeOf = (seen: SeenTopic): Range => {
    const { range } = settings
    generation ??= seen.generation
    const isAnother = seen.generation !== generation
    return isAnother && range.from?._tag === "Offsets" ? { ...range, from: undefined } : range
  }

  /** Ends only by an error. `stop` ends the load where it stands. */
  return (seen: SeenTopic, stop: Deferred.Deferred<void>): Effect.Effect<never, LogError, Scope.Scope> =>
    Effect.gen(function* () {
      const began = monotonicMillis(clock)
      metrics.partitions(seen.partitions.length)
      waiters.hold()
      /** Done once what is shown is all. */
      const reached = Deferred.makeUnsafe<void>()
      let stage: "gathering" | "building" | "shown" = "gathering"
      const survivors = new Map<number, Survivors>()
      /** Per partition that goes on from a checkpoint, its base: the survivors are of what was read after it. */
      const bases = new Map<number, Base>()
      const fill: Fill = Effect.fnUntraced(function* (partition, recordedOf) {
        const { answers, base } = recordedOf(partition, session.memory)
        const of = new Survivors(partition, session.memory, applier.needsHeaders)
        for (const walk of answers) {
          yield* join(of, walk, metrics)
          if (walk.problem !== undefined) return undefined
        }
        return () => {
          survivors.set(partition, of)
          bases.set(partition, base)
        }
      })
      /** The survivors, with what is left of their bases. */
      const gathered = Effect.suspend(() => {
        const all = [...survivors.values()]
        return Effect.as(
          Effect.forEach(all, (of) => join(of, new EntriesCursor(bases.get(of.partition) ?? [], of), metrics), {
            discard: true
          }),
          all
        )
      })
      const { recorder, resumable } =
        checkpointing === undefined ? withoutCheckpoint : yield* checkpointing.begin(seen, fill, Deferred.await(stop))
      yield* Effect.addFinalizer(() => Effect.sync(() => checkpointing?.ended()))
      const session: Session.Session = yield* Session.make({
        ...options,
        range: rangeOf(seen),
        seen,
        recorder,
        resumable,
        onProgress: () => {
          if (stage !== "shown" || Deferred.isDoneUnsafe(reached)) return
          if (session.caughtUp()) Deferred.doneUnsafe(reached, Effect.void)
        },
        onRestart: (partition, reason) => {
          survivors.delete(partition.partition)
          bases.delete(partition.partition)
          checkpointing?.restarted(partition, reason)
        },
        onGrown: (previous, now) => {
          checkpointing?.end("partitions were added, so that keys lie where they no longer belong")
          if (stage !== "building") applier.grown(now)
          return stage === "building" || applier.spread() !== "none"
            ? new KeysMoved({ topic, detail: `it grew from ${previous} to ${now} partitions` })
            : undefined
        }
      })
      current.begin(session)

      const gathering = gather({
        bounded,
        metrics,
        keepsHeaders: applier.needsHeaders,
        memory: session.memory,
        survivors
      })
      const load = session.load(
        (partition, cursor) => Effect.map(gathering(partition, cursor), () => progress.advanced()),
        stop
      )
      yield* Effect.withSpan(load, "KafkaTable.load", { attributes: { topic } })

      stage = "building"
      const next = yield* applier.build([...survivors.values()], bases, session)
      stage = "gathering"
      if (checkpointing?.hasResumed() === true) {
        // Tombstones and other records that did not count are in no checkpoint.
        if (applier.spread() !== "none")
          return yield* new KeysMoved({ topic, detail: "some lie outside their partitions" })
        next.hasForgotten = true
      }
      for (const { logStart, partition } of session.partitions.values()) {
        if ((yield* trim(next, partition, logStart, (slice) => void next.mutate(slice, false))) > 0) yield* misplaced
      }
      if (session.hasFailed()) return yield* session.follow(nothing, nothing)
      yield* bounded(() => next.extent, session.caughtUp)
      yield* cell.replace(next, () => waiters.release(session.partitions))
      const records = Array.from(survivors.values(), ({ records }) => records).reduce((sum, more) => sum + more, 0)
      const letGo = Effect.sync(() => {
        survivors.clear()
        bases.clear()
      })
      stage = "shown"
      const isComplete = session.caughtUp()
      if (isComplete) yield* bounded(extent, always)
      const shown = progress.shown({ millis: Math.round(monotonicMillis(clock) - began), records }, isComplete)

      const live = applier.live(
        session,
        (partition, position) => {
          partition.applied(position)
          waiters.advance(partition)
        },
        bounded(extent, progress.isComplete)
      )
      const sized = (): void => metrics.sized(cell.contents.size)
      const follow = session.follow(
        (partition, cursor) =>
          Effect.map(live(partition, cursor), () => {
            if (progress.isComplete()) sized()
            else progress.advanced()
          }),
        Effect.fnUntraced(function* ({ logStart, partition }) {
          const removed = yield* applier.trim(partition, logStart)
          if (removed === 0) return
          yield* Effect.logInfo(
            `${topic}[${partition}]: ${removed} entries went with their records, which lay below the log's start, ${logStart} now`
          )
          sized()
          yield* misplaced
        })
      )
      // The rest may be holes and markers, so that no record shows the end.
      const rest = isComplete ? Effect.void : Effect.andThen(Deferred.await(reached), complete)
      const reading = Effect.raceFirst(follow, Effect.andThen(rest, Effect.never))
      if (checkpointing === undefined) return yield* Effect.andThen(letGo, Effect.andThen(shown, reading))
      // In one piece: whoever has the table, and closes it at once, leaves a checkpoint.
      return yield* Effect.uninterruptibleMask((restore) =>
        shown.pipe(
          Effect.andThen(checkpointing.loaded(gathered, session)),
          Effect.andThen(letGo),
          Effect.andThen(Effect.onInterrupt(restore(reading), () => checkpointing.close))
        )
      )
    })
}

const nothing = () => Effect.void
const always = () => true
const withoutCheckpoint = { recorder: undefined, resumable: undefined }
