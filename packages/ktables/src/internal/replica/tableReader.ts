/**
 * Keeps a table's contents in step with its topic: loads, goes live, and when the log turns out to be another than the one
 * that was read, builds the contents anew beside the old ones and swaps them.
 */
import { Cause, Clock, Context, Deferred, Effect, Exit, type Schedule, type Scope, Tracer } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import {
  BarrierTimeout,
  type CatchUpTimeout,
  KeysMoved,
  NotAwaitable,
  ReaderDied,
  TableClosed,
  type TableError,
  TopicDeleted
} from "../../TableError.ts"
import { TableStatus } from "../../TableStatus.ts"
import type { WriteAck } from "../../WriteAck.ts"
import { monotonicMillis } from "../moment.ts"
import { backoff } from "../topic/backoff.ts"
import type { Watch } from "../topic/describe.ts"
import type { Applier } from "./applier.ts"
import { trim } from "./trim.ts"
import { LOAD_SLICE } from "../slice.ts"
import type { Cell } from "../table/cell.ts"
import type { LogContents } from "./logContents.ts"
import { Connectivity } from "../log/connectivity.ts"
import { OffsetWaiters } from "../log/offsetWaiters.ts"
import { excess, type Extent, type Limits, sumOf } from "./limits.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { Partition } from "../log/partition.ts"
import type { PlacedAck } from "../log/recentBatches.ts"
import * as Session from "../log/session.ts"
import { Survivors } from "./survivors.ts"

/** What to do when the log is no longer the one that was read. */
export type Recovery = "rebuild" | "freeze" | "fail"

export interface Settings extends Session.FetchSettings {
  readonly limits: Limits
  readonly onDataLoss: Recovery
  readonly onTopicRecreated: Recovery
  readonly restart: Schedule.Schedule<unknown, TableError> | undefined
}

export interface TableReader {
  /** Runs for ever, or until the reader has failed for good. */
  readonly run: Effect.Effect<never, TableError>
  /** Done once a broker has described the topic. */
  readonly started: Deferred.Deferred<void, TableError>
  /** Ends the catch-up where it stands: what was read is shown, and the rest follows live. */
  readonly degrade: (error: CatchUpTimeout) => Effect.Effect<void>
  readonly close: Effect.Effect<void>
  readonly awaitOffset: (ack: WriteAck) => Effect.Effect<void, TableError>
  readonly barrier: (timeout: number | undefined) => Effect.Effect<void, TableError>
  readonly progress: () => { readonly replayed: number; readonly target: number }
  readonly partitions: () => ReadonlyArray<Partition>
  /** Why partitions are not connected, each cause once. */
  readonly away: () => ReadonlyArray<string>
  readonly catchUp: () => { readonly millis: number; readonly records: number } | undefined
  readonly connectivity: Connectivity
}

/** Milliseconds between two status updates while replaying. */
const PROGRESS = 100
/** Milliseconds after which a wait for an acknowledged record asks whether the record is still there. */
const SUSPICION = 1000
/** Milliseconds within which losses of the log count as repeated, and are backed off from. */
const REPEATED = 10_000
/** Milliseconds that showing an incomplete table may take at least. */
const SHOWING = 1000

const asTableError = (topic: string, cause: Cause.Cause<TableError>): TableError => {
  const error = Cause.squash(cause)
  return typeof error === "object" && error !== null && "_tag" in error && Cause.hasFails(cause)
    ? (error as TableError)
    : new ReaderDied({ topic, cause: error })
}

export const make = <K, V>(options: {
  readonly client: KafkaClient.Service
  readonly topic: string
  readonly settings: Settings
  readonly applier: Applier<K, V>
  readonly metrics: ReaderMetrics
  /** What the reader fills. */
  readonly cell: Cell<K, V, TableError, LogContents<K, V>>
  /** Creates the topic where asked to, and describes it; retries what passes by itself. */
  readonly start: Effect.Effect<KafkaClient.TopicDescription, TableError>
  /** Describes the topic again, for as long as it takes, while `watch` looks on. */
  readonly describe: (watch: Watch) => Effect.Effect<KafkaClient.TopicDescription, TableError>
}): Effect.Effect<TableReader> =>
  Effect.gen(function* () {
    const { applier, cell, client, metrics, settings, topic } = options
    const clock = yield* Clock.Clock
    /** The span that the table is made in. */
    const maker = yield* Effect.serviceOption(Tracer.ParentSpan)
    const waiters = new OffsetWaiters(applier.outdone)
    const connectivity = new Connectivity(topic, clock, metrics)
    metrics.connected(true)
    const started = Deferred.makeUnsafe<void, TableError>()
    let caughtUp = Deferred.makeUnsafe<void, TableError>()
    let session: Session.Session | undefined
    /** Completed when a session is there; replaced when it ends. */
    let sessionReady = Deferred.makeUnsafe<Session.Session, TableError>()
    /** Completed when the session has ended; replaced with it. */
    let sessionEnded = Deferred.makeUnsafe<void>()
    let stop = Deferred.makeUnsafe<void>()
    let degraded: CatchUpTimeout | undefined
    /** Completed once a load's contents can be read. */
    const shown = Deferred.makeUnsafe<void>()
    let reported = 0
    /** When the newest generation began, by the monotonic clock. */
    let began = 0
    let catchUp: { readonly millis: number; readonly records: number } | undefined
    let ended: TableError | undefined
    /** Why the contents are being built anew; undefined for the first load. */
    let reason: TableError | undefined

    const show = (status: TableStatus): void => {
      // Before it wakes anybody.
      if (cell.status._tag !== "Closed") metrics.status(status._tag)
      cell.setStatus(status)
    }
    const progress = () => session?.progress() ?? { replayed: 0, target: 0 }
    const currentStatus = (): TableStatus => {
      const { replayed, target } = progress()
      if (degraded !== undefined) return TableStatus.Degraded({ replayed, target })
      return reason !== undefined
        ? TableStatus.Rebuilding({ reason, replayed, target })
        : TableStatus.Loading({ replayed, target })
    }

    const { limits } = settings
    const isLimited = limits.maxEntries !== undefined || limits.maxBytes !== undefined
    /** Fails when there is more than there may be. */
    const bounded = (extent: Extent, isComplete: boolean): Effect.Effect<void, TableError> => {
      const error = excess(topic, limits, extent, isComplete)
      return error === undefined ? Effect.void : Effect.fail(error)
    }

    const complete = Effect.gen(function* () {
      if (Deferred.isDoneUnsafe(caughtUp)) return
      yield* bounded(cell.contents.extent, true)
      degraded = undefined
      reason = undefined
      yield* metrics.sized(cell.contents.size)
      const partitions = session?.partitions.size ?? 0
      yield* Effect.logInfo(
        `${topic}: ${counted(cell.contents.size, "entry", "entries")} from ${counted(partitions, "partition", "partitions")} in ${Math.round(monotonicMillis(clock) - began)} ms`
      )
      show(TableStatus.CaughtUp())
      yield* Deferred.succeed(caughtUp, undefined)
    })

    const showProgress = Effect.sync(() => {
      const at = monotonicMillis(clock)
      if (Deferred.isDoneUnsafe(caughtUp) || at - reported < PROGRESS) return
      reported = at
      show(currentStatus())
    })

    const generation = (description: KafkaClient.TopicDescription): Effect.Effect<never, TableError, Scope.Scope> =>
      Effect.gen(function* () {
        const since = monotonicMillis(clock)
        began = since
        metrics.partitions(description.partitions.length)
        waiters.hold()
        const reached = Deferred.makeUnsafe<void>()
        let isLive = false
        let isBuilding = false
        const survivors = new Map<number, Survivors>()
        /** An older record of a key that went may lie in another partition. */
        const misplaced = Effect.suspend(() =>
          applier.spread() === "shared"
            ? Effect.fail(
                new KeysMoved({ topic, detail: "records of keys that lie in several went below a log's start" })
              )
            : Effect.void
        )
        const current: Session.Session = yield* Session.make({
          client,
          description,
          settings,
          waiters,
          metrics,
          connectivity,
          onProgress: () => {
            if (isLive && !Deferred.isDoneUnsafe(reached) && current.caughtUp()) {
              Deferred.doneUnsafe(reached, Effect.void)
            }
          },
          onRestart: (partition) => survivors.delete(partition.partition),
          onGrown: (previous, now) => {
            if (!isBuilding) applier.grown(now)
            return isBuilding || applier.spread() !== "none"
              ? new KeysMoved({ topic, detail: `it grew from ${previous} to ${now} partitions` })
              : undefined
          }
        })
        session = current
        yield* Deferred.succeed(sessionReady, current)

        yield* current
          .load(
            Effect.fnUntraced(function* (partition, cursor) {
              let of = survivors.get(partition.partition)
              if (of === undefined)
                survivors.set(partition.partition, (of = new Survivors(partition.partition, current.memory)))
              while (true) {
                const from = performance.now()
                const end = of.take(cursor, from + LOAD_SLICE)
                metrics.slice(performance.now() - from)
                if (isLimited) {
                  yield* bounded(sumOf(Array.from(survivors.values(), ({ extent }) => extent)), false)
                }
                if (end) break
                yield* Effect.yieldNow
              }
              yield* showProgress
            }),
            stop
          )
          .pipe(Effect.withSpan("KafkaTable.load", { attributes: { topic } }))

        isBuilding = true
        const next = yield* applier.build([...survivors.values()], current)
        isBuilding = false
        for (const { logStart, partition } of current.partitions.values()) {
          if ((yield* trim(next, partition, logStart, (slice) => void next.mutate(slice, false))) > 0) yield* misplaced
        }
        if (current.hasFailed()) return yield* current.follow(nothing, nothing)
        yield* bounded(next.extent, current.caughtUp())
        yield* cell.replace(next, () => {
          catchUp = {
            millis: Math.round(monotonicMillis(clock) - since),
            records: [...survivors.values()].reduce((sum, { records }) => sum + records, 0)
          }
          survivors.clear()
          waiters.release(current.partitions)
        })
        yield* metrics.caughtUp(catchUp!.millis / 1000)
        isLive = true
        let completion: Effect.Effect<void, TableError> = Effect.void
        if (current.caughtUp()) yield* complete
        else {
          show(currentStatus())
          // The rest may be holes and markers, so that no record tells of the end.
          completion = Effect.andThen(Deferred.await(reached), complete)
        }
        yield* Deferred.succeed(shown, undefined)

        const live = applier.live(
          current,
          (partition, position) => {
            partition.applied(position)
            waiters.advance(partition)
          },
          isLimited ? Effect.suspend(() => bounded(cell.contents.extent, Deferred.isDoneUnsafe(caughtUp))) : Effect.void
        )
        const follow = current.follow(
          (partition, cursor) =>
            Effect.andThen(
              live(partition, cursor),
              Effect.suspend(() => (Deferred.isDoneUnsafe(caughtUp) ? metrics.sized(cell.contents.size) : showProgress))
            ),
          Effect.fnUntraced(function* ({ logStart, partition }) {
            const removed = yield* applier.trim(partition, logStart)
            if (removed === 0) return
            yield* Effect.logInfo(
              `${topic}[${partition}]: ${removed} entries went with their records, which lay below the log's start, ${logStart} now`
            )
            yield* metrics.sized(cell.contents.size)
            yield* misplaced
          })
        )
        return yield* Effect.raceFirst(follow, Effect.andThen(completion, Effect.never))
      })

    const leave = Effect.sync(() => {
      session = undefined
      connectivity.forget()
      sessionReady = Deferred.makeUnsafe()
      stop = Deferred.makeUnsafe()
      // Who waits for a first, incomplete load goes on doing so; what is shown already is only replaced by the whole.
      if (degraded !== undefined && !Deferred.isDoneUnsafe(shown)) Deferred.doneUnsafe(stop, Effect.void)
      waiters.hold()
      waiters.again()
      Deferred.doneUnsafe(sessionEnded, Effect.void)
      sessionEnded = Deferred.makeUnsafe()
    })

    /** Announces that the contents are about to be built anew. */
    const rebuild = (because: TableError): Effect.Effect<void> =>
      Effect.gen(function* () {
        reason = because
        connectivity.noteError(because.message)
        degraded = undefined
        if (Deferred.isDoneUnsafe(caughtUp)) caughtUp = Deferred.makeUnsafe()
        yield* metrics.rebuilt
        yield* metrics.failed(because._tag)
        yield* Effect.logWarning(`building the table of ${topic} anew: ${because.message}`)
        show(TableStatus.Rebuilding({ reason: because, replayed: 0, target: 0 }))
      })

    /** No restart brings it back: the contents are to stay as they are. */
    let isFinal = false
    let losses = 0
    let lostAt = Number.NEGATIVE_INFINITY
    /** A log that keeps changing is read anew at a measured pace. */
    const pace: Effect.Effect<void> = Effect.suspend(() => {
      const now = monotonicMillis(clock)
      losses = now - lostAt < REPEATED ? losses + 1 : 0
      lostAt = now
      return losses === 0 ? Effect.void : backoff(losses)
    })

    const start = Effect.withSpan(options.start, "KafkaTable.start", {
      attributes: { topic },
      ...(maker._tag === "Some" ? { parent: maker.value } : {})
    })

    const describeAgain = Effect.suspend(() => options.describe(connectivity.watching))

    /** One life of the reader: from the topic's description to the failure that ends it. */
    const life = (first: boolean): Effect.Effect<never, TableError> =>
      Effect.gen(function* () {
        let description = yield* first ? start : describeAgain
        yield* Deferred.succeed(started, undefined)
        while (true) {
          const exit = yield* Effect.exit(Effect.scoped(generation(description)))
          yield* leave
          if (Exit.isSuccess(exit)) return exit.value
          if (Cause.hasInterruptsOnly(exit.cause)) return yield* Effect.failCause(exit.cause as Cause.Cause<never>)
          const error = asTableError(topic, exit.cause)
          const isAnew = error._tag === "DataLoss" || error._tag === "TopicRecreated" || error._tag === "KeysMoved"
          if (isAnew && !Deferred.isDoneUnsafe(shown)) {
            // Nothing was shown yet, so nothing is lost: the load begins anew.
            yield* Effect.logInfo(`loading ${topic} anew: ${error.message}`)
          } else {
            const recovery =
              error._tag === "DataLoss"
                ? settings.onDataLoss
                : error._tag === "TopicRecreated"
                  ? settings.onTopicRecreated
                  : isAnew
                    ? "rebuild"
                    : "fail"
            isFinal = recovery === "freeze"
            if (recovery !== "rebuild") return yield* Effect.fail(error)
            yield* rebuild(error)
          }
          yield* pace
          description = yield* describeAgain
        }
      }).pipe(
        Effect.catchCause((cause) => {
          if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
          const error = asTableError(topic, cause)
          // A topic that is gone when it is looked for again was deleted under the table.
          return Effect.fail(
            error._tag !== "TopicNotFound" || !Deferred.isDoneUnsafe(shown) ? error : new TopicDeleted({ topic })
          )
        })
      )

    const announce = (error: TableError): Effect.Effect<void> =>
      Effect.gen(function* () {
        ended = error
        connectivity.noteError(error.message)
        // First, so that whoever hears of the failure finds it here, too.
        show(TableStatus.Failed({ error }))
        waiters.fail(error, true)
        yield* Deferred.fail(sessionReady, error)
        yield* metrics.failed(error._tag)
        yield* Effect.logError(`the reader of ${topic} failed: ${error.message}`)
        yield* Deferred.fail(started, error)
        yield* Deferred.fail(caughtUp, error)
      })

    let lives = 0
    const oneLife: Effect.Effect<never, TableError> = Effect.suspend(() => {
      if (lives++ === 0) return life(true)
      const because = ended!
      ended = undefined
      waiters.reopen()
      sessionReady = Deferred.makeUnsafe()
      caughtUp = Deferred.makeUnsafe()
      return Effect.andThen(rebuild(because), life(false))
    }).pipe(Effect.tapError(announce))

    const run = (
      settings.restart === undefined
        ? oneLife
        : Effect.retry(oneLife, { while: () => !isFinal, schedule: settings.restart })
    ).pipe(
      // What goes on for as long as the table lives is part of no trace that ends with its start.
      Effect.updateContext((context: Context.Context<never>) => Context.omit(Tracer.ParentSpan)(context)),
      Effect.annotateLogs({ topic })
    )

    const awaitSession: Effect.Effect<Session.Session, TableError> = Effect.suspend(() => Deferred.await(sessionReady))

    let verifiedAt = Number.NEGATIVE_INFINITY
    /** Asks once for all that wait. */
    const verifyAwaited: Effect.Effect<void> = Effect.suspend(() => {
      const now = monotonicMillis(clock)
      if (session === undefined || now - verifiedAt < SUSPICION) return Effect.void
      verifiedAt = now
      return session.verifyAwaited
    })

    const awaitOffset = (ack: WriteAck): Effect.Effect<void, TableError> =>
      Effect.suspend(() => {
        if (ack.topic !== topic) {
          return Effect.fail(new NotAwaitable({ topic, detail: `the acknowledgement is of topic ${ack.topic}` }))
        }
        const { offset } = ack
        if (offset === undefined) {
          return Effect.fail(
            new NotAwaitable({ topic, detail: "the acknowledgement has no offset; write with acks all or leader" })
          )
        }
        return awaitRecord({ ...ack, offset }, 1)
      })

    const suspicion: Effect.Effect<never> = Effect.forever(Effect.andThen(Effect.sleep(SUSPICION), verifyAwaited))

    const awaitRecord = (ack: PlacedAck, attempt: number): Effect.Effect<void, TableError> =>
      Effect.suspend(() => {
        const partitions = session?.partitions ?? noPartitions
        const found = waiters.look(ack, partitions) ?? Effect.raceFirst(waiters.awaitAck(ack, partitions), suspicion)
        return Effect.flatMap(found, (found) => (found === "applied" ? Effect.void : lookUp(ack, attempt)))
      })

    /** The record was passed, and nobody remembers whose it was. */
    const lookUp = (ack: PlacedAck, attempt: number): Effect.Effect<void, TableError> =>
      Effect.suspend(() => {
        const isThere =
          session === undefined
            ? Effect.undefined
            : Effect.raceFirst(session.lookUp(ack), Effect.as(Deferred.await(sessionEnded), undefined))
        const again = Effect.andThen(
          backoff(attempt),
          Effect.suspend(() => awaitRecord(ack, attempt + 1))
        )
        return Effect.flatMap(isThere, (isThere) => (isThere === true ? Effect.asVoid(waiters.applied(ack)) : again))
      })

    /** What a barrier waits for; undefined until the brokers have told. */
    interface Waiting {
      targets: ReadonlyMap<number, number> | undefined
    }

    const barrierOnce = (waiting: Waiting): Effect.Effect<"reached" | "again", TableError> =>
      Effect.gen(function* () {
        const current = yield* awaitSession
        const over = sessionEnded
        const ends = yield* Effect.exit(current.endOffsets)
        if (session !== current) return "again"
        if (Exit.isFailure(ends)) {
          // The session ends under the question: its successor is asked, or the reader's failure is the answer.
          if (ended !== undefined) return yield* ended
          yield* Deferred.await(over)
          return "again"
        }
        waiting.targets = ends.value
        const reached = waiters.awaitPositions(ends.value, current.partitions)
        if (settings.isolation === "read_uncommitted") return yield* reached
        // Whether an open transaction is in the way shows in the ends, which a long poll may keep to itself for long.
        return yield* Effect.raceFirst(
          reached,
          Effect.forever(Effect.andThen(Effect.sleep(SUSPICION), lookAhead(ends.value)))
        )
      })

    let lookedAt = Number.NEGATIVE_INFINITY
    /** Asks once for all that wait. */
    const lookAhead = (targets: ReadonlyMap<number, number>): Effect.Effect<void> =>
      Effect.suspend(() => {
        const now = monotonicMillis(clock)
        if (session === undefined || now - lookedAt < SUSPICION) return Effect.void
        lookedAt = now
        return session.lookAhead(targets)
      })

    const barrierLoop = (waiting: Waiting): Effect.Effect<void, TableError> =>
      Effect.flatMap(barrierOnce(waiting), (result) => (result === "reached" ? Effect.void : barrierLoop(waiting)))

    const missing = ({ targets }: Waiting) => {
      const partitions = session?.partitions ?? noPartitions
      const wanted =
        targets ?? [...partitions].map(([number, partition]) => [number, Math.max(0, partition.highWatermark)] as const)
      return [...wanted].flatMap(([number, target]) => {
        const partition = partitions.get(number)
        const position = partition?.readTo ?? 0
        const isAway = partition === undefined || partition.disconnectedSince !== undefined || partition.leader < 0
        if (position >= target && !(isAway && targets === undefined)) return []
        const reason = isAway
          ? ("disconnected" as const)
          : partition.lastStableOffset >= 0 &&
              partition.lastStableOffset <= position &&
              settings.isolation === "read_committed" &&
              partition.highWatermark > partition.lastStableOffset
            ? ("open transaction" as const)
            : ("behind" as const)
        return [{ partition: number, reason, position, target }]
      })
    }

    return {
      run,
      started,
      degrade: (error) =>
        Effect.gen(function* () {
          if (Deferred.isDoneUnsafe(caughtUp)) return
          degraded = error
          yield* Effect.logWarning(`${error.message}: serving it incomplete`)
          show(currentStatus())
          yield* Deferred.succeed(stop, undefined)
          // A codec or a broker may hold up even that: then it is shown as soon as it can be.
          yield* Effect.raceFirst(
            Effect.raceFirst(Deferred.await(shown), Effect.ignore(Deferred.await(caughtUp))),
            Effect.sleep(Math.max(error.waited, SHOWING))
          )
        }),
      close: Effect.suspend(() => {
        const closed = new TableClosed({ topic })
        ended ??= closed
        show(TableStatus.Closed())
        metrics.closed()
        waiters.fail(closed, true)
        Deferred.doneUnsafe(sessionEnded, Effect.void)
        return Effect.all(
          [Deferred.fail(sessionReady, closed), Deferred.fail(started, closed), Deferred.fail(caughtUp, closed)],
          { discard: true }
        )
      }),
      awaitOffset,
      barrier: (timeout) =>
        Effect.suspend(() => {
          const waiting: Waiting = { targets: undefined }
          return timeout === undefined
            ? barrierLoop(waiting)
            : Effect.timeoutOrElse(barrierLoop(waiting), {
                duration: timeout,
                orElse: () => Effect.fail(new BarrierTimeout({ topic, waited: timeout, waitingFor: missing(waiting) }))
              })
        }),
      progress,
      away: () => [
        ...new Set(
          [...(session?.partitions.values() ?? [])].flatMap(({ disconnectedBecause }) => disconnectedBecause ?? [])
        )
      ],
      partitions: () => [...(session?.partitions.values() ?? [])].sort((a, b) => a.partition - b.partition),
      catchUp: () => catchUp,
      connectivity
    }
  })

const nothing = () => Effect.void

const counted = (count: number, one: string, several: string): string => `${count} ${count === 1 ? one : several}`

const noPartitions: ReadonlyMap<number, Partition> = new Map()
