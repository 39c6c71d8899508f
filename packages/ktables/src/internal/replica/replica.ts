/**
 * Keeps a table's contents in step with its topic: loads, goes live, and when the log turns out to be another than the one
 * that was read, builds the contents again beside the old ones and swaps them. Where it stands is one value.
 */
import { Cause, Clock, Context, Deferred, Effect, type Schedule, Tracer } from "effect"
import { type CatchUpTimeout, type ReaderError, TableClosed } from "../../TableError.ts"
import type { TopicPosition } from "../../TablePosition.ts"
import { TableStatus } from "../../TableStatus.ts"
import type { WaitEnd } from "../log/ackWaits.ts"
import { Connectivity } from "../log/connectivity.ts"
import { errorOf, type LogError } from "../log/logError.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import { OffsetWaiters } from "../log/offsetWaiters.ts"
import type { Partition } from "../log/partition.ts"
import type { Range } from "../log/range.ts"
import type { FetchSettings } from "../log/session.ts"
import type { SeenTopic, TopicView } from "../topic/topicView.ts"
import { monotonicMillis } from "../moment.ts"
import type { Cell } from "../table/cell.ts"
import { backoff } from "../backoff.ts"
import type { Watch } from "../topic/describe.ts"
import type { Applier } from "./applier.ts"
import type { Checkpointing } from "./checkpointing.ts"
import { CurrentSession } from "./currentSession.ts"
import type { Limits } from "./limits.ts"
import type { LogContents } from "./logContents.ts"
import * as Reading from "./reading.ts"
import * as Waits from "./waits.ts"

/** What to do when the log is no longer the one that was read. */
export type Recovery = "rebuild" | "freeze" | "fail"

export interface Settings extends FetchSettings {
  readonly range: Range
  readonly limits: Limits
  readonly onDataLoss: Recovery
  readonly onTopicRecreated: Recovery
  readonly restart: Schedule.Schedule<unknown, ReaderError> | undefined
}

/** Where the reader stands. */
type State =
  /** No broker has described the topic. */
  | { readonly _tag: "Starting" }
  /** The first load; degraded where it is to be shown before it is complete, and the rest follows live. */
  | { readonly _tag: "Loading"; readonly isDegraded: boolean }
  /** All is read that was there, and what comes is applied. */
  | { readonly _tag: "Live" }
  /** The contents are built again, beside what was shown before, if anything was. */
  | { readonly _tag: "Rebuilding"; readonly reason: LogError; readonly isDegraded: boolean }
  /** Final where no restart may bring it back: the contents are to stay as they are. */
  | { readonly _tag: "Failed"; readonly error: ReaderError; readonly isFinal: boolean }
  /** The error is what waits end with. */
  | { readonly _tag: "Closed"; readonly error: WaitEnd }

type Progress = { readonly replayed: number; readonly target: number }

const statusOf = (state: State, progress: Progress): TableStatus => {
  switch (state._tag) {
    case "Starting":
      return TableStatus.Loading(progress)
    case "Loading":
      return state.isDegraded ? TableStatus.Degraded(progress) : TableStatus.Loading(progress)
    case "Rebuilding":
      return state.isDegraded
        ? TableStatus.Degraded(progress)
        : TableStatus.Rebuilding({ reason: state.reason, ...progress })
    case "Live":
      return TableStatus.CaughtUp()
    case "Failed":
      return TableStatus.Failed({ error: state.error })
    case "Closed":
      return TableStatus.Closed()
  }
}

export interface Replica extends Pick<Waits.Waits, "awaitOffset" | "barrier"> {
  /** Runs for ever, or until the reader has failed for good. */
  readonly run: Effect.Effect<never, ReaderError>
  /** Done once a broker has described the topic. */
  readonly started: Deferred.Deferred<void, WaitEnd>
  /** Ends the catch-up where it stands: what was read is shown, and the rest follows live. */
  readonly degrade: (error: CatchUpTimeout) => Effect.Effect<void>
  readonly close: Effect.Effect<void>
  readonly progress: () => Progress
  /** How much of the log the contents have that are shown. */
  readonly position: () => TopicPosition
  /** Those that are read, by their numbers. */
  readonly partitions: () => ReadonlyArray<Partition>
  /** Why partitions are not connected, each cause once. */
  readonly away: () => ReadonlyArray<string>
  /** What the last load took. */
  readonly catchUp: () => Reading.CatchUp | undefined
  readonly connectivity: Connectivity
}

/** Milliseconds between two status updates while replaying. */
const PROGRESS = 100
/** Milliseconds within which losses of the log count as repeated, and are backed off from. */
const REPEATED = 10_000
/** Milliseconds that showing an incomplete table may take at least. */
const SHOWING = 1000

/** Whether the log is not the one that was read. */
const isOfLog = ({ _tag }: LogError): boolean =>
  _tag === "DataLoss" || _tag === "TopicRecreated" || _tag === "KeysMoved"

const counted = (count: number, one: string, several: string): string => `${count} ${count === 1 ? one : several}`

export const make = <K, V>(options: {
  readonly view: TopicView
  readonly topic: string
  readonly settings: Settings
  readonly applier: Applier<K, V>
  readonly metrics: ReaderMetrics
  /** What the reader fills. */
  readonly cell: Cell<K, V, ReaderError, LogContents<K, V>>
  /** Undefined where the table is to have no checkpoint. */
  readonly checkpointing: Checkpointing | undefined
  /** Creates the topic where asked to, and describes it; retries what passes by itself. */
  readonly start: Effect.Effect<SeenTopic, ReaderError>
  /** Describes the topic again, for as long as it takes, while `watch` looks on. */
  readonly describe: (watch: Watch) => Effect.Effect<SeenTopic, ReaderError>
}): Effect.Effect<Replica> =>
  Effect.gen(function* () {
    const { applier, cell, metrics, settings, topic } = options
    const clock = yield* Clock.Clock
    /** The span that the table is made in. */
    const maker = yield* Effect.serviceOption(Tracer.ParentSpan)
    const waiters = new OffsetWaiters(applier.outdone, clock)
    const connectivity = new Connectivity(topic, clock, metrics)
    metrics.connected(true)
    const current = new CurrentSession()
    const started = Deferred.makeUnsafe<void, WaitEnd>()
    /** Done once a load's contents can be read. */
    const shown = Deferred.makeUnsafe<void>()
    let state: State = { _tag: "Starting" }
    /** Ends the load that is under way. */
    let stop = Deferred.makeUnsafe<void>()
    /** When progress was shown last. */
    let progressAt = 0
    let catchUp: Reading.CatchUp | undefined
    /** The topic that is read. */
    let topicId: string | undefined
    /** What is shown while a session reads that is not shown yet. */
    let left: TopicPosition = { topic, topicId, partitions: [] }
    const position = (): TopicPosition =>
      waiters.isHeld ? left : { topic, topicId, partitions: inOrder().map((partition) => partition.reached) }
    const inOrder = () => [...current.partitions.values()].sort((a, b) => a.partition - b.partition)

    const show = (): void => {
      const status = statusOf(state, current.progress())
      // Before it wakes anybody.
      if (cell.status._tag !== "Closed") metrics.status(status._tag)
      cell.setStatus(status)
    }
    const become = (next: State): void => {
      state = next
      show()
    }
    const failure = (): WaitEnd | undefined =>
      state._tag === "Failed" || state._tag === "Closed" ? state.error : undefined
    const hasShown = (): boolean => Deferred.isDoneUnsafe(shown)

    /** When the reading that is under way began, by the monotonic clock. */
    let began = 0
    const completed = Effect.gen(function* () {
      const { size } = cell.contents
      metrics.sized(size)
      yield* Effect.logInfo(
        `${topic}: ${counted(size, "entry", "entries")} from ${counted(current.partitions.size, "partition", "partitions")} in ${Math.round(monotonicMillis(clock) - began)} ms`
      )
      become({ _tag: "Live" })
    })

    const reading = Reading.make({
      ...options,
      clock,
      connectivity,
      waiters,
      current,
      progress: {
        isComplete: () => state._tag === "Live",
        advanced: () => {
          const at = monotonicMillis(clock)
          if (state._tag === "Live" || at - progressAt < PROGRESS) return
          progressAt = at
          show()
        },
        shown: Effect.fnUntraced(function* (took, isComplete) {
          catchUp = took
          metrics.caughtUp(took.millis / 1000)
          if (isComplete) yield* completed
          else show()
          yield* Deferred.succeed(shown, undefined)
        }),
        completed
      }
    })

    /** Reads until the log turns out to be another, or cannot be read any more; succeeds with why. */
    const read = Effect.fnUntraced(function* (seen: SeenTopic): Effect.fn.Return<LogError> {
      began = monotonicMillis(clock)
      topicId = seen.topicId
      stop = Deferred.makeUnsafe()
      // Who waits for a first, incomplete load goes on doing so; what is shown already is only replaced by the whole.
      if ("isDegraded" in state && state.isDegraded && !hasShown()) Deferred.doneUnsafe(stop, Effect.void)
      const cause = yield* Effect.flip(Effect.sandbox(Effect.scoped(reading(seen, stop))))
      connectivity.forget()
      left = position()
      current.end()
      waiters.hold()
      waiters.again()
      if (Cause.hasInterruptsOnly(cause)) return yield* Effect.failCause(cause as Cause.Cause<never>)
      return errorOf(topic, cause)
    })

    /** The contents are about to be built again. */
    const rebuild = (reason: LogError): Effect.Effect<void> =>
      Effect.gen(function* () {
        connectivity.noteError(reason.message)
        become({ _tag: "Rebuilding", reason, isDegraded: false })
        metrics.rebuilt()
        metrics.failed(reason._tag)
        yield* Effect.logWarning(`building the table of ${topic} again: ${reason.message}`)
      })

    const recoveryFrom = ({ _tag }: ReaderError): Recovery => {
      switch (_tag) {
        case "DataLoss":
          return settings.onDataLoss
        case "TopicRecreated":
          return settings.onTopicRecreated
        default:
          return "fail"
      }
    }

    let losses = 0
    let lostAt = Number.NEGATIVE_INFINITY
    /** A log that keeps changing is read again at a measured pace. */
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

    const failed = (error: ReaderError): Effect.Effect<never, ReaderError> =>
      Effect.gen(function* () {
        connectivity.noteError(error.message)
        // First, so that whoever is woken by the failure finds it here, too.
        become({ _tag: "Failed", error, isFinal: hasShown() && recoveryFrom(error) === "freeze" })
        waiters.fail(error, true)
        current.fail(error)
        metrics.failed(error._tag)
        yield* Effect.logError(`the reader of ${topic} failed: ${error.message}`)
        yield* Deferred.fail(started, error)
        return yield* Effect.fail(error)
      })

    /** A number may be a mistake, or that of a partition to come. */
    const warnOfAbsent = (count: number): Effect.Effect<void> =>
      Effect.forEach(
        [...(settings.range.partitions ?? [])].filter((partition) => partition >= count),
        (partition) =>
          Effect.logWarning(
            `${topic}: partition ${partition} is to be read, and the topic has ${count}: it is read once it is added`
          ),
        { discard: true }
      )

    let isStarted = false
    /** One life of the reader: from the topic's description to the failure that ends it. */
    const life: Effect.Effect<never, ReaderError> = Effect.gen(function* () {
      if (state._tag === "Failed") {
        waiters.reopen()
        current.reopen()
        yield* rebuild(state.error)
      }
      let seen = yield* isStarted ? describeAgain : start
      if (!isStarted) yield* warnOfAbsent(seen.partitions.length)
      isStarted = true
      if (state._tag === "Starting") state = { _tag: "Loading", isDegraded: false }
      yield* Deferred.succeed(started, undefined)
      while (true) {
        const error = yield* read(seen)
        if (isOfLog(error) && !hasShown()) {
          // Nothing was shown yet, so nothing is lost: the load begins again.
          metrics.reloaded()
          yield* Effect.logInfo(`loading ${topic} again: ${error.message}`)
        } else {
          if (error._tag !== "KeysMoved" && recoveryFrom(error) !== "rebuild") return yield* Effect.fail(error)
          yield* rebuild(error)
        }
        yield* pace
        seen = yield* describeAgain
      }
    }).pipe(
      Effect.catchCause((cause) => {
        if (Cause.hasInterruptsOnly(cause)) return Effect.failCause(cause as Cause.Cause<never>)
        return failed(errorOf(topic, cause))
      })
    )

    const run = (
      settings.restart === undefined
        ? life
        : Effect.retry(life, {
            while: () => !(state._tag === "Failed" && state.isFinal),
            schedule: settings.restart
          })
    ).pipe(
      // What goes on for as long as the table lives is part of no trace that ends with its start.
      Effect.updateContext((context: Context.Context<never>) => Context.omit(Tracer.ParentSpan)(context)),
      Effect.annotateLogs({ topic })
    )

    const waits = Waits.make({
      topic,
      isolation: settings.isolation,
      range: settings.range,
      clock,
      current,
      waiters,
      failure
    })

    return {
      run: Effect.raceFirst(run, waits.watch),
      started,
      degrade: (error) =>
        Effect.gen(function* () {
          if (state._tag !== "Loading" && state._tag !== "Rebuilding") return
          become({ ...state, isDegraded: true })
          yield* Effect.logWarning(`${error.message}: serving it incomplete`)
          if (!hasShown()) yield* Deferred.succeed(stop, undefined)
          // A codec or a broker may hold up even that: then it is shown as soon as it can be.
          yield* Effect.raceFirst(
            Effect.raceFirst(Deferred.await(shown), Effect.ignore(cell.awaitCaughtUp)),
            Effect.sleep(Math.max(error.waited, SHOWING))
          )
        }),
      close: Effect.suspend(() => {
        const closed = new TableClosed({ topic })
        become({ _tag: "Closed", error: failure() ?? closed })
        metrics.closed()
        waiters.fail(closed, true)
        current.fail(closed)
        return Effect.asVoid(Deferred.fail(started, closed))
      }),
      awaitOffset: waits.awaitOffset,
      barrier: waits.barrier,
      progress: () => current.progress(),
      position,
      partitions: inOrder,
      away: () => [
        ...new Set([...current.partitions.values()].flatMap(({ disconnectedBecause }) => disconnectedBecause ?? []))
      ],
      catchUp: () => catchUp,
      connectivity
    }
  })
