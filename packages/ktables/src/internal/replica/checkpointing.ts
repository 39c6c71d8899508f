/**
 * A table's checkpoint: offered to the first load where it is of the same log, and kept in step with what is read from then
 * on. Where it stands is one value. Nothing that goes wrong here delays or fails the table.
 */
import { Cause, type Clock, Deferred, Effect, Fiber, Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { CheckpointFile, Found, Identity, Mark, Saved } from "../checkpoint/checkpointFile.ts"
import type { CheckpointError } from "../checkpoint/store.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { Partition } from "../log/partition.ts"
import type { Recorder } from "../log/recording.ts"
import type { Resumable } from "../log/resumption.ts"
import type { Session } from "../log/session.ts"
import { momentOf } from "../moment.ts"
import type { Survivors } from "../records/survivors.ts"
import type { SeenTopic } from "../topic/topicView.ts"
import type { Spread } from "./ownership.ts"

/** Bytes that a load may read after a checkpoint and still be appended to it: more make a new base. */
const MOST_APPENDED = 1 << 26
/** The part of the retention by which a checkpoint may age while nothing is read. */
const AGEING = 0.1
/** Milliseconds that stand for a retention that was never observed. */
const UNOBSERVED = 60_000
/** Milliseconds after which a write that is not over is a problem. */
const SLOW = 30_000
/** Milliseconds between two attempts to write a base, at most, where saves are not farther apart. */
const MOST_BETWEEN = 60_000
/** Milliseconds for which a table that is closed waits for its last save. */
const CLOSING = 5000

/** What is not used of a checkpoint: a partition, or all of it. */
export interface Discarded {
  readonly partition: number | undefined
  readonly reason: string
}

/** How a table's checkpoint is doing. */
export interface Report {
  readonly resumed: ReadonlyArray<number>
  readonly discarded: ReadonlyArray<Discarded>
  /** Milliseconds since the epoch. */
  readonly savedAt: number | undefined
  readonly bytes: number
  readonly problem: string | undefined
}

/** Where the writing stands. */
type Writing =
  /** A load is under way: what it reads after the checkpoint is recorded, of partitions that went on from there. */
  | { readonly _tag: "Loading" }
  /** What is read is recorded. */
  | { readonly _tag: "Following" }
  /** The log is another than what was recorded, until it has been loaded again. */
  | { readonly _tag: "Void" }
  /** None is written any more. */
  | { readonly _tag: "Ended"; readonly reason: string }

/** Takes what is recorded of a partition; hands back what puts it in place, and undefined where it cannot be read. */
export type Fill = (partition: number, recordedOf: Saved["recordedOf"]) => Effect.Effect<(() => void) | undefined>

/** What is followed, once a load has ended. */
type Following = Pick<Session, "partitions" | "isRetentionKnown">

export interface Checkpointing {
  /**
   * A session is about to begin. The first is offered what was saved, once that has been read.
   *
   * @param stop ends the wait
   */
  readonly begin: (
    seen: SeenTopic,
    fill: Fill,
    stop: Effect.Effect<void>
  ) => Effect.Effect<{ readonly resumable: Resumable | undefined; readonly recorder: Recorder | undefined }>
  /** What was read of a partition is void. */
  readonly restarted: (partition: Partition, reason: string) => void
  /** Whether some of what a load has gathered was not read from the log. */
  readonly hasResumed: () => boolean
  /**
   * A load has ended: what follows is recorded, and saved until the scope closes.
   *
   * @param gathered all that was loaded, which is asked for where a new base is written
   */
  readonly loaded: (
    gathered: Effect.Effect<ReadonlyArray<Survivors>>,
    session: Following
  ) => Effect.Effect<void, never, Scope.Scope>
  /** The session has ended: what comes next is another log. */
  readonly ended: () => void
  /** None can be kept from now on. */
  readonly end: (reason: string) => void
  /** The table is being closed, with its session: saves a last time. */
  readonly close: Effect.Effect<void>
  readonly report: () => Report
}

export const make = Effect.fnUntraced(function* (options: {
  readonly topic: string
  readonly clock: Clock.Clock
  readonly metrics: ReaderMetrics
  readonly isolation: KafkaClient.Isolation
  readonly headers: boolean
  /** Milliseconds between two saves. */
  readonly every: number
  /** Why there is to be none: then nothing is read or written. */
  readonly refusal: string | undefined
  readonly open: Effect.Effect<CheckpointFile, CheckpointError, Scope.Scope>
  /** How far keys lie outside their partitions. */
  readonly spread: () => Spread
}): Effect.fn.Return<Checkpointing, never, Scope.Scope> {
  const { clock, every, metrics, spread, topic } = options
  let writing: Writing = options.refusal === undefined ? { _tag: "Void" } : { _tag: "Ended", reason: options.refusal }
  let problem = options.refusal
  let isFirst = true
  /** Undefined until it is opened. */
  let file: CheckpointFile | undefined
  const found = Deferred.makeUnsafe<Found>()
  let identity: Identity | undefined
  let session: Following | undefined
  /** What was found, while partitions may go on from it. */
  let saved: Saved | undefined
  const resumed = new Set<number>()
  const discarded: Array<Discarded> = []

  /** One past the last offset recorded of each partition, and the newest mark that goes with it. */
  const recordedTo = new Map<number, number>()
  const marks = new Map<number, Mark>()
  /** Bytes that the load has read after the checkpoint. */
  let appended = 0
  let hasRecorded = false
  /** The last save: when it was, and the `seen` of each mark in it. */
  let savedAt: number | undefined
  let savedSeen: ReadonlyMap<number, number> = new Map()

  const discard = (partition: number | undefined, reason: string): Effect.Effect<void> => {
    discarded.push({ partition, reason })
    metrics.discarded()
    const what = partition === undefined ? topic : `${topic}[${partition}]`
    return Effect.logWarning(`${what}: read from its start, since its checkpoint cannot be used: ${reason}`)
  }

  const forget = (): void => {
    session = undefined
    recordedTo.clear()
    marks.clear()
    hasRecorded = false
  }
  /** Why it has ended, where nobody has logged that. */
  let unsaid: string | undefined
  const end = (reason: string): void => {
    if (writing._tag === "Ended") return
    writing = { _tag: "Ended", reason }
    if (problem !== reason) unsaid = reason
    problem = reason
    forget()
  }
  const say = Effect.suspend(() => {
    if (unsaid === undefined) return Effect.void
    const reason = unsaid
    unsaid = undefined
    return Effect.logWarning(`${topic}: it gets no checkpoint: ${reason}`)
  })

  const identityOf = ({ clusterId, partitions, topicId }: SeenTopic): Identity | undefined =>
    topicId === undefined || clusterId === undefined
      ? undefined
      : {
          clusterId,
          topic,
          topicId,
          partitions: partitions.length,
          isolation: options.isolation,
          headers: options.headers
        }

  /** Takes the partition's mark, where it goes with what is recorded: within an answer the one before does. */
  const mark = (partition: Partition): void => {
    if (partition.epochAt !== partition.position) return
    // Before it is known, what was read may have been read too late; what was proven before is, while nothing is read.
    const newest =
      session?.isRetentionKnown() === true ? partition.mark(momentOf(clock)) : marks.get(partition.partition)
    if (newest?.position === recordedTo.get(partition.partition)) marks.set(partition.partition, newest!)
    else marks.delete(partition.partition)
  }

  const recorder: Recorder = (partition, nextOffset, records, aborted) => {
    const from = recordedTo.get(partition.partition)
    if (from === undefined) return
    if (writing._tag === "Loading") appended += records.length
    if (writing._tag !== "Following" && appended > MOST_APPENDED) return
    file?.record(partition.partition, { fromOffset: from, records, aborted: aborted ?? [] })
    hasRecorded = true
    recordedTo.set(partition.partition, nextOffset)
    mark(partition)
  }

  const resumableBy = (fill: Fill, { marks: all, recordedOf }: Saved): Resumable => {
    const left = new Map(all.map((mark) => [mark.partition, mark]))
    return {
      markOf: (partition) => left.get(partition),
      restore: Effect.fnUntraced(function* (number) {
        const mark = left.get(number)!
        left.delete(number)
        const put = yield* fill(number, recordedOf)
        if (put === undefined) return yield* Effect.as(discard(number, "what it holds cannot be read"), undefined)
        return () => {
          resumed.add(number)
          recordedTo.set(number, mark.position)
          marks.set(number, mark)
          put()
        }
      }),
      discard: (partition, reason) => {
        left.delete(partition)
        return discard(partition, reason)
      }
    }
  }

  /** What was found, as far as it is of this log and of such a table. */
  const offered = (of: Identity, stop: Effect.Effect<void>) =>
    Effect.gen(function* () {
      const read = yield* Effect.raceFirst(Deferred.await(found), Effect.as(stop, undefined))
      if (read === undefined) return yield* Effect.as(discard(undefined, "it was not read in time"), undefined)
      if (read.unusable !== undefined) return yield* Effect.as(discard(undefined, read.unusable), undefined)
      if (read.saved === undefined) return undefined
      const was = read.saved.identity
      const other = (["clusterId", "topic", "topicId", "partitions", "isolation", "headers"] as const).find(
        (name) => was[name] !== of[name]
      )
      if (other !== undefined) {
        return yield* Effect.as(discard(undefined, `its ${other} is ${was[other]}, and not ${of[other]}`), undefined)
      }
      if (read.saved.marks.length > 0) return read.saved
      return yield* Effect.as(discard(undefined, UNPROVEN), undefined)
    })

  /** Notes why it is not saved, and logs it once. */
  const note = (message: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (problem === message) return Effect.void
      problem = message
      return Effect.logWarning(`${topic}: its checkpoint is not saved: ${message}`)
    })

  /** Notes what a write ended with, or that it takes long; hands back whether it was done. */
  const attempted = Effect.fnUntraced(function* (write: Effect.Effect<void, CheckpointError>) {
    const slow = `its store has not answered for ${SLOW / 1000} seconds`
    const watch = yield* Effect.forkChild(Effect.andThen(Effect.sleep(SLOW), note(slow)))
    return yield* write.pipe(
      // A store of somebody else's may die of a fault of its own.
      Effect.catchDefect((defect) => Effect.fail({ message: String(defect) })),
      Effect.ensuring(Fiber.interrupt(watch)),
      Effect.matchEffect({
        onSuccess: () => Effect.succeed(true),
        onFailure: ({ message }) => Effect.as(note(message), false)
      })
    )
  })
  const wasSaved = (at: number, all: ReadonlyArray<Mark>): void => {
    savedAt = at
    savedSeen = new Map(all.map(({ partition, seen }) => [partition, seen]))
    problem = undefined
    metrics.saved(file?.bytes() ?? 0)
  }

  /** Whether the newest mark is to be saved although nothing was read: a checkpoint ages by its `seen`. */
  const isAged = ({ partition, retention, seen }: Mark): boolean =>
    seen - (savedSeen.get(partition) ?? 0) > AGEING * (Number.isFinite(retention) ? retention : UNOBSERVED)

  const save = (isLast: boolean): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (writing._tag !== "Following" || file === undefined) return Effect.void
      if (spread() !== "none") {
        end(MISPLACED)
        return Effect.ignore(file.forget)
      }
      const of = file
      const now = clock.currentTimeMillisUnsafe()
      if (!of.isGoingOn()) {
        // A base that could not be written, which is known, is written first.
        if (of.isRecording()) return Effect.void
        // It says itself why nothing can follow.
        return Effect.map(attempted(of.save({ savedAt: now, marks: [] })), () => end(problem ?? "it has ended"))
      }
      for (const partition of session?.partitions.values() ?? []) mark(partition)
      const all = [...marks.values()]
      if (!hasRecorded && !isLast && !all.some(isAged)) return Effect.void
      hasRecorded = false
      return Effect.map(attempted(of.save({ savedAt: now, marks: all })), (isDone) => {
        if (isDone) return wasSaved(now, all)
        hasRecorded = true
        if (!of.isGoingOn()) end(problem!)
      })
    })

  /** Again and again, until it is written or something that follows it is lost. */
  const writeBase = Effect.fnUntraced(function* (
    of: CheckpointFile,
    base: Effect.Effect<void, CheckpointError>,
    at: number,
    all: ReadonlyArray<Mark>
  ) {
    for (let wait = every; !(yield* attempted(base)); wait = Math.min(2 * wait, Math.max(every, MOST_BETWEEN))) {
      if (!of.isRecording()) return end(problem!)
      yield* Effect.sleep(wait)
    }
    wasSaved(at, all)
  })

  if (options.refusal === undefined) {
    // Whatever a store of somebody else does, the table starts without it.
    // Made before the reader is, and so closed after it, when it has saved a last time.
    const scope = yield* Scope.fork(yield* Effect.scope)
    yield* options.open.pipe(
      Scope.provide(scope),
      Effect.flatMap((opened) => {
        file = opened
        return opened.read
      }),
      Effect.catchCause((cause) => {
        const error = Cause.squash(cause)
        problem = error instanceof Error ? error.message : String(error)
        return Effect.succeed<Found>({ saved: undefined, unusable: problem })
      }),
      Effect.flatMap((read) => Deferred.succeed(found, read)),
      Effect.forkIn(scope, { startImmediately: true })
    )
  }

  return {
    begin: (seen, fill, stop) =>
      Effect.gen(function* () {
        const wasFirst = isFirst
        isFirst = false
        forget()
        resumed.clear()
        appended = 0
        if (writing._tag === "Ended") return { resumable: undefined, recorder: undefined }
        identity = identityOf(seen)
        if (identity === undefined) {
          end("its brokers do not say by which id topic and cluster could be told from others")
          yield* say
          return { resumable: undefined, recorder: undefined }
        }
        saved = wasFirst ? yield* offered(identity, stop) : undefined
        writing = { _tag: "Loading" }
        return { resumable: saved === undefined ? undefined : resumableBy(fill, saved), recorder }
      }),
    restarted: ({ partition }, reason) => {
      recordedTo.delete(partition)
      marks.delete(partition)
      if (resumed.delete(partition)) discarded.push({ partition, reason })
    },
    hasResumed: () => resumed.size > 0,
    loaded: (gathered, following) =>
      Effect.gen(function* () {
        if (writing._tag === "Loading" && file === undefined) end(problem ?? "its store did not answer in time")
        if (writing._tag === "Loading" && spread() !== "none") end(MISPLACED)
        yield* say
        if (file === undefined || identity === undefined) return
        if (problem === MISPLACED) return yield* Effect.ignore(file.forget)
        if (writing._tag !== "Loading") return
        session = following
        const of = following.partitions
        if (saved !== undefined) {
          yield* Effect.logInfo(`${topic}: ${resumed.size} of ${of.size} partitions went on from the checkpoint`)
        }
        const goesOn = saved !== undefined && resumed.size === of.size && appended <= MOST_APPENDED && file.isGoingOn()
        // Nothing of it is held any more.
        saved = undefined
        // Before anything more is read.
        const survivors = goesOn ? [] : yield* gathered
        writing = { _tag: "Following" }
        const at = clock.currentTimeMillisUnsafe()
        for (const partition of of.values()) {
          if (!goesOn) recordedTo.set(partition.partition, partition.position)
          mark(partition)
        }
        const all = [...marks.values()]
        const first = goesOn
          ? save(false)
          : writeBase(file, file.rewrite(identity, survivors, { savedAt: at, marks: all }), at, all)
        const again = Effect.sleep(every).pipe(
          Effect.andThen(save(false)),
          Effect.andThen(say),
          Effect.repeat({ while: () => writing._tag === "Following" })
        )
        yield* Effect.forkScoped(Effect.interruptible(Effect.andThen(first, again)), { startImmediately: true })
      }),
    ended: () => {
      if (writing._tag !== "Ended") writing = { _tag: "Void" }
      forget()
    },
    end,
    close: Effect.asVoid(Effect.timeoutOption(Effect.interruptible(save(true)), CLOSING)),
    report: () => ({
      resumed: [...resumed].sort((a, b) => a - b),
      discarded,
      savedAt,
      bytes: file?.bytes() ?? 0,
      problem
    })
  }
})

const UNPROVEN =
  "when it was saved, it was not known of any partition that all of it had been read while its tombstones were kept"
const MISPLACED = "keys lie outside their partitions"
