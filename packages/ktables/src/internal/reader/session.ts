/**
 * Follows one identity of a topic: describes it, gives every partition a place to start and a target, and runs one fetch
 * loop per broker that serves some of them. It ends only by a `TableError`: lost records, another topic under the name, a
 * deleted topic, records that cannot be read, or a cluster that refuses for good.
 *
 * Whatever passes by itself (elections, restarts, cut connections) parks the partition it concerns; the controller
 * describes the topic after a back-off and sends it on its way again, while the others keep flowing.
 */
import { Cause, Clock, Deferred, Effect, Exit, Fiber, Latch, Random, Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import {
  AuthenticationRefused,
  ClusterRefused,
  DataLoss,
  NotAuthorized,
  ReaderDied,
  type TableError,
  TopicDeleted,
  TopicRecreated,
  UnreadableRecords
} from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { type BatchProblem, RecordCursor, summarize } from "../records/batchReader.ts"
import { backoff, backoffMillis } from "../topic/backoff.ts"
import { AnswerMemory } from "./answerMemory.ts"
import type { Gate } from "./gate.ts"
import type { ReaderMetrics } from "./metrics.ts"
import { Partition } from "./partition.ts"

export interface FetchSettings {
  readonly isolation: KafkaClient.Isolation
  readonly rack: string | undefined
  /** Milliseconds of a long poll. */
  readonly maxWait: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly maxPartitionBytes: number
  /** Milliseconds between two looks at the topic's description. */
  readonly metadataRefresh: number
  /** Milliseconds for which the topic's tombstones are kept at least. */
  readonly deleteRetention: Effect.Effect<number>
}

/** Takes a partition's records up to the cursor's end, in slices. */
export type Consume = (partition: Partition, cursor: RecordCursor) => Effect.Effect<void, TableError>

/** Milliseconds that a record waits for a description of the topic that tells whose it is. */
const LOOK = 1000
/** Milliseconds that a catch-up fetch waits where there is nothing: holes at a log's end must not cost a long poll. */
const LOADING_WAIT = 100
/** How often, and for how many milliseconds, a topic must be missing before it counts as deleted. */
const ABSENCES = 3
const ABSENT_FOR = 3000
/** Failures of a partition after which metadata with an older epoch is believed: a topic without an id may be another. */
const STALE_METADATA = 8
/** Failures in a row from which on a partition does not cut the running long poll short more often than every `CUT` milliseconds. */
const PATIENT = 3
const CUT = 1000
/** How often an end offset below one that was seen is asked for again. */
const REGRESSIONS = 10
/** Answers in a row that do not follow the protocol before the reader gives up. */
const MALFORMED = 5
/** How often a new leader is asked where the epoch that was read last ends. */
const CONFIRMATIONS = 10
/** Milliseconds that a load may take on its own account before a partition counts as out of reach meanwhile. */
const LONG_LOAD = 3_600_000
/** Bytes that an answer may have around its records. */
const ANSWER_OVERHEAD = 1 << 16
/** The most bytes a request can ask for. */
const MAX_BYTES = 2147483647

interface Question {
  readonly partition: Partition
  readonly question: number
}

interface Readable extends Question {
  readonly fetched: KafkaClient.FetchedPartition
}

interface Asked {
  readonly fiber: Fiber.Fiber<KafkaClient.FetchAnswer, KafkaError>
  readonly questions: Map<number, Question>
}

interface Loop {
  /** What the outstanding question asks for. */
  asked: ReadonlyMap<number, Question> | undefined
  /** Ends the loop at once: a partition has come that its long poll does not ask for. */
  readonly kick: Latch.Latch
}

export interface Identity {
  readonly topicId: string | undefined
  readonly clusterId: string | undefined
}

export interface Session {
  readonly identity: Identity
  readonly partitions: ReadonlyMap<number, Partition>
  /** Where the answers of the load lie. */
  readonly memory: AnswerMemory
  /** Offsets replayed and to replay until caught up. */
  readonly progress: () => { readonly replayed: number; readonly target: number }
  readonly caughtUp: () => boolean
  /** Replays until every partition has reached its target, or `stop` is opened. */
  readonly load: (consume: Consume, stop: Deferred.Deferred<void>) => Effect.Effect<void, TableError>
  /** Follows the log for ever; `onProgress` hears of every partition that moved. */
  readonly follow: (consume: Consume) => Effect.Effect<never, TableError>
  /** Reads some partitions' logs anew from its start to where it has been applied, beside the session's own positions. */
  readonly reread: (consume: Consume, of: ReadonlySet<number>) => Effect.Effect<void, TableError>
  /** The ends of all partitions now, whatever the isolation, partitions that were added meanwhile included. */
  readonly endOffsets: Effect.Effect<ReadonlyMap<number, number>, TableError>
  /** Looks up whether acknowledged records that are waited for are still in the leader's log. */
  readonly verifyAwaited: Effect.Effect<void>
  /** Describes the topic now, so that partitions that were added before the call are known; gives up where nobody answers. */
  readonly look: Effect.Effect<void>
  /** Whether the log is known not to be what is being read any more. */
  readonly hasFailed: () => boolean
  /** Asks where the ends are of partitions that have not been read to their targets, without waiting for a long poll to tell. */
  readonly lookAhead: (targets: ReadonlyMap<number, number>) => Effect.Effect<void>
}

const byLeader = (of: Iterable<Partition>): ReadonlyMap<number, Array<Partition>> => {
  const groups = new Map<number, Array<Partition>>()
  for (const partition of of) {
    if (partition.leader < 0) continue
    const group = groups.get(partition.leader)
    if (group === undefined) groups.set(partition.leader, [partition])
    else group.push(partition)
  }
  return groups
}

/** Two ids that are both known and not the same. */
const differs = (a: string | undefined, b: string | undefined): boolean => a !== undefined && b !== undefined && a !== b

/** A record set that no batch could be read from, though nothing is wrong but its length. */
const unreadable = (records: Buffer, partition: Partition): BatchProblem | undefined =>
  summarize(records).wholeBytes > 0
    ? undefined
    : {
        kind: "Corrupt",
        offset: partition.position,
        detail: `${records.length} bytes that hold no whole batch`
      }

/**
 * Whether what was answered last is still being applied. Only the loop that does so may ask for more, and only where it
 * was not told to ask again.
 */
const isBusy = (partition: Partition, broker: number): boolean =>
  partition.readFrom >= 0 && (partition.readFrom !== broker || partition.fetchPosition <= partition.position)

export const make = Effect.fnUntraced(function* (options: {
  readonly client: KafkaClient.Service
  readonly description: KafkaClient.TopicDescription
  readonly settings: FetchSettings
  readonly gate: Gate
  readonly metrics: ReaderMetrics
  /** Hears of positions that moved. */
  readonly onProgress: (partition: Partition) => void
  /** Hears of partitions that were added since the session began; an error ends it. */
  readonly onGrown: (previous: number, current: number) => TableError | undefined
}): Effect.fn.Return<Session, never, Scope.Scope> {
  const { client, gate, metrics, settings } = options
  const topic = options.description.topic
  const identity: Identity = { topicId: options.description.topicId, clusterId: options.description.clusterId }
  const clock = yield* Clock.Clock
  const scope = yield* Scope.Scope
  const failure = Deferred.makeUnsafe<never, TableError>()
  const changed = Latch.makeUnsafe(false)

  const memory = new AnswerMemory(
    Math.min(settings.maxBytes, settings.maxPartitionBytes * options.description.partitions.length) + ANSWER_OVERHEAD,
    options.description.partitions.length
  )
  const partitions = new Map<number, Partition>()
  /** Partitions whose start and target are not known yet. */
  const unplaced = new Set<Partition>()
  let consume: Consume | undefined
  let loading = true
  let loaded = Deferred.makeUnsafe<void>()
  let stop: Deferred.Deferred<void> = Deferred.makeUnsafe()
  let malformed = 0
  let deleteRetention = Number.POSITIVE_INFINITY
  /** Running loops by broker. */
  const loops = new Map<number, Loop>()
  /** Open while no loop runs. */
  const idle = Latch.makeUnsafe(true)

  const fail = (error: TableError): Effect.Effect<void> => Deferred.fail(failure, error)
  /** Makes an effect's failure the session's: none of the fibers ends without anybody hearing of it. */
  const guarded = <A>(effect: Effect.Effect<A, TableError>): Effect.Effect<void> =>
    Effect.asVoid(effect).pipe(
      Effect.catch(fail),
      Effect.catchDefect((defect) => fail(new ReaderDied({ topic, cause: defect }))),
      Effect.onExit((exit) =>
        Exit.isFailure(exit) ? fail(new ReaderDied({ topic, cause: Cause.squash(exit.cause) })) : Effect.void
      )
    )
  const now = (): number => clock.currentTimeMillisUnsafe()

  const park = (partition: Partition): void => {
    partition.parked = true
    partition.replica = -1
    partition.failures++
    partition.rewind()
    changed.openUnsafe()
  }
  /** Has the topic described again, soon. */
  const refresh = (): void => {
    outdated = true
    changed.openUnsafe()
  }
  let outdated = false
  const disconnect = (partition: Partition): void => {
    partition.disconnectedSince ??= now()
    park(partition)
  }
  const lost = (partition: Partition, resetTo: number, detail: string): DataLoss =>
    new DataLoss({ topic, partition: partition.partition, consumedTo: partition.position, resetTo, detail })

  // ------------------------------------------------------------------------------------------------ progress

  const wanted = (partition: Partition): boolean =>
    !partition.parked &&
    !unplaced.has(partition) &&
    (!loading || partition.fetchPosition < partition.target) &&
    !(loading && partition.caughtUp)

  const isLoaded = (): boolean => {
    if (unplaced.size > 0) return false
    for (const partition of partitions.values()) if (!partition.caughtUp) return false
    return true
  }
  const moved = (partition: Partition): void => {
    gate.advance(partition)
    options.onProgress(partition)
    if (loading && isLoaded()) Deferred.doneUnsafe(loaded, Effect.void)
  }

  // ------------------------------------------------------------------------------------------------ fetch loops

  const ask = (fetcher: KafkaClient.Fetcher, broker: number, loop: Loop): Effect.Effect<Asked | undefined> =>
    Effect.suspend(() => {
      loop.kick.closeUnsafe()
      const questions = new Map<number, Question>()
      const asked: Array<KafkaClient.FetchRequest["partitions"][number]> = []
      let { maxBytes } = settings
      for (const partition of partitions.values()) {
        if (partition.source !== broker || !wanted(partition) || isBusy(partition, broker)) continue
        questions.set(partition.partition, { partition, question: partition.question })
        maxBytes = Math.max(maxBytes, partition.maxBytes)
        asked.push({
          partition: partition.partition,
          fetchOffset: partition.fetchPosition,
          currentLeaderEpoch: partition.leaderEpoch,
          lastFetchedEpoch: partition.fetchEpoch,
          maxBytes: partition.maxBytes
        })
      }
      if (asked.length === 0) return Effect.undefined
      // A full answer serves the first partitions first: each takes its turn.
      if (asked.length > 1) asked.push(...asked.splice(0, rotation++ % asked.length))
      const request: KafkaClient.FetchRequest = {
        topic,
        topicId: identity.topicId,
        isolation: settings.isolation,
        maxWait: loading ? Math.min(LOADING_WAIT, settings.maxWait) : settings.maxWait,
        minBytes: settings.minBytes,
        maxBytes,
        rack: settings.rack,
        partitions: asked,
        allocate: loading ? memory.allocate : undefined
      }
      return Effect.map(Effect.forkIn(fetcher.fetch(request), scope, { startImmediately: true }), (fiber): Asked => ({
        fiber,
        questions
      }))
    })
  let rotation = 0

  /** Until when brokers want to be left alone, in milliseconds since the epoch. */
  const throttledUntil = new Map<number, number>()
  const awaitThrottle = (broker: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const left = (throttledUntil.get(broker) ?? 0) - now()
      return left > 0 ? orStop(Effect.sleep(left)) : Effect.void
    })

  const runLoop = (broker: number, loop: Loop): Effect.Effect<void> =>
    Effect.scoped(
      Effect.gen(function* () {
        const fetcher = yield* client.openFetcher(broker)
        yield* awaitThrottle(broker)
        let asked = yield* ask(fetcher, broker, loop)
        while (asked !== undefined) {
          const { fiber, questions }: Asked = asked
          loop.asked = questions
          const exit = yield* Effect.raceFirst(Fiber.await(fiber), Effect.as(orStop(loop.kick.await), undefined))
          if (exit === undefined) {
            yield* Fiber.interrupt(fiber)
            break
          }
          if (Exit.isFailure(exit)) {
            yield* onFetchFailed(exit, questions)
            break
          }
          const answer = exit.value
          if (answer.throttle > 0) throttledUntil.set(broker, now() + answer.throttle)
          const sets = answer.partitions.flatMap(({ records }) => (records.length > 0 ? [records] : []))
          memory.receive(sets)
          const readable = yield* sort(answer, questions, broker)
          // The next question leaves before this answer is decoded: headers alone tell where it starts.
          asked = stopped() || answer.throttle > 0 ? undefined : yield* ask(fetcher, broker, loop)
          loop.asked = asked?.questions
          for (const { fetched, partition, question } of readable) yield* read(partition, fetched, question)
          if (sets.length > 0) memory.release(sets[0]!)
          if (answer.throttle > 0) yield* awaitThrottle(broker)
          if (asked === undefined && !stopped()) asked = yield* ask(fetcher, broker, loop)
        }
      })
    ).pipe(
      guarded,
      Effect.ensuring(
        Effect.sync(() => {
          loops.delete(broker)
          if (loops.size === 0) idle.openUnsafe()
          // What this loop left behind, or was given while it ended, is picked up again.
          changed.openUnsafe()
        })
      )
    )

  const stopped = (): boolean => loading && Deferred.isDoneUnsafe(stop)
  /** Waits for `effect`, or the end of the load. */
  const orStop = (effect: Effect.Effect<void>): Effect.Effect<void> =>
    loading ? Effect.raceFirst(Deferred.await(stop), effect) : effect

  /** When a broker's long poll was cut short last for a partition that had failed often, in milliseconds since the epoch. */
  const cutAt = new Map<number, number>()
  const mayCut = (broker: number): boolean => {
    const left = (cutAt.get(broker) ?? Number.NEGATIVE_INFINITY) + CUT - now()
    if (left <= 0) cutAt.set(broker, now())
    else wakeAt = Math.min(wakeAt, now() + left)
    return left <= 0
  }
  /** When the controller is to look again at the latest. */
  let wakeAt = Number.POSITIVE_INFINITY

  const ensureLoops: Effect.Effect<void> = Effect.suspend(() => {
    if (consume === undefined || stopped()) return Effect.void
    const missing = new Set<number>()
    for (const partition of partitions.values()) {
      if (partition.source < 0 || !wanted(partition) || partition.readFrom >= 0) continue
      const loop = loops.get(partition.source)
      if (loop === undefined) missing.add(partition.source)
      else if (
        loop.asked !== undefined &&
        loop.asked.get(partition.partition)?.question !== partition.question &&
        (partition.failures < PATIENT || mayCut(partition.source))
      ) {
        loop.kick.openUnsafe()
      }
    }
    return Effect.forEach(
      missing,
      (broker) => {
        const loop: Loop = { asked: undefined, kick: Latch.makeUnsafe(false) }
        loops.set(broker, loop)
        idle.closeUnsafe()
        return Effect.forkIn(runLoop(broker, loop), scope)
      },
      { discard: true }
    )
  })

  const onFetchFailed = (
    exit: Exit.Failure<KafkaClient.FetchAnswer, KafkaError>,
    questions: Map<number, Question>
  ): Effect.Effect<void, TableError> =>
    Effect.gen(function* () {
      const result = yield* Effect.result(exit)
      if (result._tag === "Success") return
      const error = result.failure
      yield* metrics.failed(error._tag)
      switch (error._tag) {
        case "AuthenticationFailed":
          // Before anything was ever read the settings are wrong; later, credentials may be renewed.
          if (![...partitions.values()].some((partition) => partition.answeredAt >= 0)) {
            return yield* new AuthenticationRefused({ topic, broker: error.broker, detail: error.detail })
          }
          break
        case "UnsupportedRequest":
          return yield* new ClusterRefused({ topic, detail: error.message, cause: error })
        case "MalformedAnswer":
          if (++malformed >= MALFORMED) {
            return yield* new ClusterRefused({ topic, detail: error.message, cause: error })
          }
      }
      for (const { partition, question } of questions.values()) {
        if (partition.question === question) disconnect(partition)
      }
      yield* Effect.logDebug(`fetching ${topic} failed: ${error.message}`)
    })

  /** Deals with errors and headers; hands back what is to be read. */
  const sort = Effect.fnUntraced(function* (
    answer: KafkaClient.FetchAnswer,
    asked: ReadonlyMap<number, Question>,
    broker: number
  ): Effect.fn.Return<ReadonlyArray<Readable>, TableError> {
    const readable: Array<Readable> = []
    const questions = new Map(asked)
    if (answer.errorCode !== 0) {
      for (const { partition, question } of questions.values()) if (partition.question === question) park(partition)
      yield* metrics.failed(`fetch ${answer.errorCode}`)
      return readable
    }
    malformed = 0
    // Where all are told of and none has records, none was left out for want of room.
    let empty = answer.partitions.length >= asked.size
    for (const fetched of answer.partitions) if (fetched.records.length > 0) empty = false
    const at = now()
    for (const fetched of answer.partitions) {
      const question = questions.get(fetched.partition)
      if (question === undefined || question.question !== question.partition.question) continue
      const partition = question.partition
      questions.delete(fetched.partition)
      if (fetched.errorCode !== 0 || fetched.diverging !== undefined) {
        yield* onPartitionError(partition, fetched, broker)
        continue
      }
      if (fetched.preferredReadReplica >= 0 && fetched.records.length === 0) {
        partition.replica = fetched.preferredReadReplica
        changed.openUnsafe()
        continue
      }
      const gap = partition.answeredAt < 0 ? 0 : at - partition.answeredAt
      if (gap > Math.max(deleteRetention, 2 * settings.maxWait + 1000, loading ? LONG_LOAD : 0)) {
        return yield* lost(
          partition,
          fetched.logStartOffset,
          `out of reach for ${gap} ms, longer than the topic keeps its tombstones (delete.retention.ms ${deleteRetention})`
        )
      }
      if (partition.epoch < 0 && fetched.logStartOffset >= 0 && fetched.logStartOffset < partition.start) {
        // Where nothing was read yet, no epoch tells of a truncation.
        return yield* lost(partition, fetched.logStartOffset, "the log begins below where reading began")
      }
      partition.answeredAt = at
      partition.disconnectedSince = undefined
      partition.highWatermark = fetched.highWatermark
      partition.lastStableOffset = fetched.lastStableOffset
      partition.logStart = Math.max(partition.logStart, fetched.logStartOffset)
      if (fetched.records.length > 0) {
        const summary = summarize(fetched.records)
        if (summary.firstBatchNeeds > partition.maxBytes) {
          // Not even one batch fits: ask for as much as it needs.
          partition.maxBytes = Math.min(summary.firstBatchNeeds, MAX_BYTES)
          continue
        }
        if (summary.wholeBytes === 0) {
          // No batch as far as headers tell: reading names what is wrong.
          partition.readFrom = broker
          readable.push({ partition, fetched, question: question.question })
          continue
        }
        if (summary.nextOffset <= partition.fetchPosition) {
          // Nothing that was asked for: an answer that goes backwards is not obeyed.
          yield* metrics.failed("answer behind the position")
          park(partition)
          continue
        }
        partition.failures = 0
        partition.fetchPosition = summary.nextOffset
        partition.fetchEpoch = summary.lastEpoch
        partition.readFrom = broker
        readable.push({ partition, fetched, question: question.question })
        continue
      }
      partition.failures = 0
      if (empty) {
        const end = settings.isolation === "read_committed" ? fetched.lastStableOffset : fetched.highWatermark
        if (end > partition.readTo && partition.position === partition.fetchPosition) {
          // Only markers and holes up to here, or nothing at all.
          partition.readTo = end
          moved(partition)
        }
      }
    }
    // What the broker did not answer is asked again by the controller.
    for (const { partition, question } of questions.values()) if (partition.question === question) park(partition)
    return readable
  })

  const read = Effect.fnUntraced(function* (
    partition: Partition,
    fetched: KafkaClient.FetchedPartition,
    question: number
  ): Effect.fn.Return<void, TableError> {
    const cursor = new RecordCursor({
      records: fetched.records,
      fromOffset: partition.position,
      abortedTransactions: settings.isolation === "read_committed" ? fetched.abortedTransactions : undefined,
      listener: partition.recent
    })
    yield* consume!(partition, cursor)
    partition.readFrom = -1
    partition.position = Math.max(partition.position, cursor.nextOffset)
    partition.readTo = Math.max(partition.readTo, partition.position)
    partition.epoch = Math.max(partition.epoch, cursor.passedEpoch)
    partition.epochAt = partition.position
    const problem = cursor.problem ?? unreadable(fetched.records, partition)
    if (problem !== undefined) {
      yield* metrics.failed(problem.kind)
      // The problem's own offset may be part of the damage.
      if (partition.unreadableAt === partition.position) {
        return yield* new UnreadableRecords({
          topic,
          partition: partition.partition,
          offset: problem.offset >= 0 ? problem.offset : partition.position,
          kind: problem.kind,
          detail: problem.detail
        })
      }
      // The wire may have spoilt it: fetched once more.
      partition.unreadableAt = partition.position
      yield* Effect.logWarning(
        `${topic}[${partition.partition}]@${problem.offset} cannot be read (${problem.kind}: ${problem.detail}); fetching it again`
      )
      park(partition)
    } else {
      partition.unreadableAt = -1
      if (partition.question !== question) {
        // Told to ask again meanwhile: from here on, not from where the answer began.
        partition.rewind()
        changed.openUnsafe()
      }
    }
    yield* metrics.read(partition, fetched.records.length)
    moved(partition)
  })

  const onPartitionError = Effect.fnUntraced(function* (
    partition: Partition,
    fetched: KafkaClient.FetchedPartition,
    broker: number
  ): Effect.fn.Return<void, TableError> {
    const where = `${topic}[${partition.partition}]`
    if (fetched.diverging !== undefined) {
      const { endOffset, epoch } = fetched.diverging
      yield* metrics.failed("truncated")
      // An older epoch means that the one which was read last is not in the log at all, wherever the older one ends.
      const isOlder = epoch >= 0 && epoch < partition.fetchEpoch
      if (endOffset < 0 || (endOffset >= partition.position && !isOlder)) return park(partition)
      return yield* lost(
        partition,
        Math.min(endOffset, partition.position),
        `the log was truncated: of epoch ${partition.epoch} it does not hold what was read, epoch ${epoch} ends at ${endOffset}`
      )
    }
    yield* metrics.failed(`fetch ${fetched.errorCode}`)
    switch (fetched.errorCode) {
      case ErrorCode.OFFSET_OUT_OF_RANGE:
        // A follower may lag: the leader is asked before anything is concluded.
        if (broker !== partition.leader) return park(partition)
        return yield* onOutOfRange(partition)
      case ErrorCode.TOPIC_AUTHORIZATION_FAILED:
        return yield* new NotAuthorized({ topic, operation: "Read", detail: `the broker refuses to fetch ${where}` })
      case ErrorCode.UNSUPPORTED_VERSION:
      case ErrorCode.UNSUPPORTED_COMPRESSION_TYPE:
        return yield* new ClusterRefused({ topic, detail: `fetching ${where} answered error ${fetched.errorCode}` })
    }
    park(partition)
  })

  const onOutOfRange = Effect.fnUntraced(function* (partition: Partition): Effect.fn.Return<void, TableError> {
    const bounds = yield* Effect.result(
      Effect.all([listOne(partition, "earliest"), listOne(partition, "latest")], { concurrency: 2 })
    )
    if (bounds._tag === "Failure" || bounds.success[0] === undefined || bounds.success[1] === undefined) {
      return park(partition)
    }
    const [earliest, latest] = bounds.success
    if (partition.position < earliest) {
      return yield* lost(partition, earliest, "records were deleted before they were read (DeleteRecords or retention)")
    }
    if (partition.position > latest) {
      return yield* lost(partition, latest, "the log is shorter than what was read: an unclean election truncated it")
    }
    if (partition.epoch >= 0 && partition.failures >= STALE_METADATA) {
      return yield* lost(
        partition,
        partition.position,
        `the leader does not know epoch ${partition.epoch}, which was read last`
      )
    }
    park(partition)
  })

  // ------------------------------------------------------------------------------------------------ offsets

  const list = (
    broker: number,
    at: "earliest" | "latest",
    isolation: KafkaClient.Isolation,
    of: ReadonlyArray<Partition>
  ) =>
    client.listOffsets(broker, {
      topic,
      at,
      isolation,
      partitions: of.map((p) => ({ partition: p.partition, leaderEpoch: p.leaderEpoch }))
    })
  const listOne = (partition: Partition, at: "earliest" | "latest"): Effect.Effect<number | undefined, KafkaError> =>
    Effect.map(list(partition.leader, at, "read_uncommitted", [partition]), (listed) => {
      const first = listed.find((l) => l.partition === partition.partition)
      return first === undefined || first.errorCode !== 0 || first.offset < 0 ? undefined : first.offset
    })

  /** Partitions whose start and target are being asked for. */
  const placing = new Set<Partition>()

  /** Gives partitions their start and target, leader by leader: one that does not answer holds up no other. */
  const place: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      byLeader([...unplaced].filter((partition) => !placing.has(partition))),
      ([leader, group]) => {
        for (const partition of group) placing.add(partition)
        return placeGroup(leader, group).pipe(
          Effect.ensuring(
            Effect.sync(() => {
              for (const partition of group) placing.delete(partition)
              if (unplaced.size > 0) changed.openUnsafe()
            })
          ),
          Effect.andThen(Effect.suspend(() => ensureLoops)),
          guarded,
          Effect.forkIn(scope, { startImmediately: true })
        )
      },
      { discard: true }
    )
  )

  /** Those that cannot be told yet stay unplaced, and are tried again. */
  const placeGroup = Effect.fnUntraced(function* (
    leader: number,
    group: ReadonlyArray<Partition>
  ): Effect.fn.Return<void, TableError> {
    const listed = yield* Effect.result(
      Effect.all(
        [list(leader, "earliest", settings.isolation, group), list(leader, "latest", settings.isolation, group)],
        {
          concurrency: 2
        }
      )
    )
    if (listed._tag === "Failure") {
      yield* metrics.failed(listed.failure._tag)
      for (const partition of group) disconnect(partition)
      return
    }
    const [starts, ends] = listed.success
    for (const partition of group) {
      const start = starts.find((l) => l.partition === partition.partition)
      const end = ends.find((l) => l.partition === partition.partition)
      const code = start?.errorCode || end?.errorCode || 0
      if (code === ErrorCode.TOPIC_AUTHORIZATION_FAILED) {
        return yield* new NotAuthorized({ topic, operation: "Describe", detail: "the broker refuses its offsets" })
      }
      // An end before the start is none: one of the two is out of date.
      if (start === undefined || end === undefined || code !== 0 || start.offset < 0 || end.offset < start.offset) {
        park(partition)
        continue
      }
      partition.begin(start.offset, end.offset)
      partition.logStart = start.offset
      partition.failures = 0
      unplaced.delete(partition)
      moved(partition)
    }
  })

  // ------------------------------------------------------------------------------------------------ metadata

  let absences = 0
  let absentSince = 0

  /** Takes over leaders and partitions; what the description does not tell is asked for again. */
  const adopt = (description: KafkaClient.TopicDescription): void => {
    const known = partitions.size
    for (const described of description.partitions) {
      let partition = partitions.get(described.partition)
      if (partition === undefined) {
        partition = new Partition(described.partition, settings.maxPartitionBytes)
        partitions.set(described.partition, partition)
        unplaced.add(partition)
      }
      // Metadata of a broker that lags must not undo a newer election.
      const isStale = described.leaderEpoch >= 0 && described.leaderEpoch < partition.leaderEpoch
      if (isStale && partition.failures < STALE_METADATA) {
        if (partition.parked) park(partition)
        continue
      }
      if (described.leader < 0) {
        partition.leader = -1
        partition.disconnectedSince ??= now()
        park(partition)
        continue
      }
      if (described.leader !== partition.leader || described.leaderEpoch !== partition.leaderEpoch) {
        if (partition.leaderEpoch >= 0) confirm(partition)
        partition.leader = described.leader
        partition.leaderEpoch = described.leaderEpoch
        partition.replica = -1
        // What the old leader is still to answer is asked of the new one.
        partition.rewind()
      }
      partition.parked = false
    }
    for (const partition of partitions.values()) {
      if (partition.partition >= description.partitions.length && partition.parked) park(partition)
    }
    const grown = known > 0 && partitions.size > known ? options.onGrown(known, partitions.size) : undefined
    if (grown !== undefined) Deferred.doneUnsafe(failure, Effect.fail(grown))
  }

  const describe = Effect.fnUntraced(function* (): Effect.fn.Return<void, TableError> {
    const described = yield* Effect.result(client.describeTopic(topic))
    if (described._tag === "Failure") {
      const error = described.failure
      yield* metrics.failed(error._tag)
      if (error._tag === "BrokerError") {
        if (error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION || error.code === ErrorCode.UNKNOWN_TOPIC_ID) {
          if (absences++ === 0) absentSince = now()
          if (absences >= ABSENCES && now() - absentSince >= ABSENT_FOR) return yield* new TopicDeleted({ topic })
        } else if (error.code === ErrorCode.TOPIC_AUTHORIZATION_FAILED) {
          return yield* new NotAuthorized({ topic, operation: "Describe", detail: error.message })
        }
      } else if (error._tag === "UnsupportedRequest") {
        return yield* new ClusterRefused({ topic, detail: error.message, cause: error })
      }
      describeFailures++
      changed.openUnsafe()
      return
    }
    absences = 0
    const description = described.success
    const isSameTopic = identity.topicId !== undefined && identity.topicId === description.topicId
    const another = differs(identity.clusterId, description.clusterId)
      ? { previous: `cluster ${identity.clusterId}`, current: `cluster ${description.clusterId}` }
      : differs(identity.topicId, description.topicId)
        ? { previous: `${identity.topicId}`, current: `${description.topicId}` }
        : // Partitions are never taken away, so where the id is the same this is a broker that lags.
          !isSameTopic && description.partitions.length < partitions.size
          ? { previous: `${partitions.size} partitions`, current: `${description.partitions.length} partitions` }
          : undefined
    if (another !== undefined) {
      // A broker that lags tells of the past: what is to be believed has to be said twice in a row.
      if (suspected === another.current) return yield* new TopicRecreated({ topic, ...another })
      suspected = another.current
      describeFailures++
      changed.openUnsafe()
      return
    }
    suspected = undefined
    describeFailures = 0
    gate.confirmTopic(description.topicId)
    adopt(description)
    yield* place
  })
  let describeFailures = 0
  let suspected: string | undefined

  /** Partitions that were elected a new leader for, which is to say whether it holds what was read. */
  const unconfirmed = new Set<Partition>()
  const confirm = (partition: Partition): void => {
    unconfirmed.add(partition)
    changed.openUnsafe()
  }
  const confirming = new Set<Partition>()

  /** Asks new leaders, each for itself; waits that counted on what the old ones had take their targets anew. */
  const confirmElected: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(
      [...unconfirmed].filter((partition) => !confirming.has(partition)),
      (partition) => {
        confirming.add(partition)
        return Effect.gen(function* () {
          for (let attempt = 1; unconfirmed.has(partition) && attempt <= CONFIRMATIONS; attempt++) {
            if (attempt > 1) yield* backoff(attempt - 1)
            if (partition.leader < 0) continue
            const epoch = partition.leaderEpoch
            const isConfirmed = (yield* validate(partition)) && (yield* lowerTarget(partition))
            if (isConfirmed && partition.leaderEpoch === epoch) unconfirmed.delete(partition)
          }
          unconfirmed.delete(partition)
          gate.again()
        }).pipe(
          Effect.ensuring(Effect.sync(() => confirming.delete(partition))),
          guarded,
          Effect.forkIn(scope, { startImmediately: true })
        )
      },
      { discard: true }
    )
  )

  /**
   * After an election the new leader says where the epoch we read last ends: a shorter log was truncated (KIP-320). False
   * where it does not say.
   */
  const validate = Effect.fnUntraced(function* (partition: Partition): Effect.fn.Return<boolean, TableError> {
    // Taken before asking: the position may be in another epoch by the time of the answer.
    const { epoch, epochAt } = partition
    if (epoch < 0 || unplaced.has(partition)) return true
    const ends = yield* Effect.result(
      client.endOffsetForEpoch(partition.leader, {
        topic,
        partitions: [{ partition: partition.partition, currentLeaderEpoch: partition.leaderEpoch, leaderEpoch: epoch }]
      })
    )
    if (ends._tag === "Failure") return ends.failure._tag === "UnsupportedRequest"
    const end = ends.success.find((e) => e.partition === partition.partition)
    if (end === undefined || end.errorCode !== 0) return false
    if (end.endOffset < 0) return true
    if (end.endOffset < epochAt || (end.leaderEpoch >= 0 && end.leaderEpoch < epoch)) {
      return yield* lost(
        partition,
        Math.min(end.endOffset, epochAt),
        `the log was truncated: of epoch ${epoch} its new leader holds nothing behind ${end.endOffset}`
      )
    }
    return true
  })

  /** A log that lost records behind our position may end below what was to be replayed: the target is never raised. */
  const lowerTarget = Effect.fnUntraced(function* (partition: Partition): Effect.fn.Return<boolean> {
    if (partition.caughtUp || unplaced.has(partition)) return true
    const listed = yield* Effect.result(list(partition.leader, "latest", settings.isolation, [partition]))
    if (listed._tag === "Failure") return false
    const end = listed.success.find((l) => l.partition === partition.partition)
    if (end === undefined || end.errorCode !== 0 || end.offset < 0) return false
    if (end.offset < partition.target) {
      partition.target = Math.max(end.offset, partition.start)
      moved(partition)
    }
    return true
  })

  const verifyAwaited: Effect.Effect<void> = Effect.gen(function* () {
    if (gate.awaitsAnother) refresh()
    for (const number of gate.awaitedPartitions) {
      const partition = partitions.get(number)
      if (partition === undefined || partition.leader < 0 || partition.leaderEpoch < 0) continue
      const ends = yield* Effect.result(
        client.endOffsetForEpoch(partition.leader, {
          topic,
          partitions: [
            {
              partition: number,
              currentLeaderEpoch: partition.leaderEpoch,
              leaderEpoch: partition.leaderEpoch
            }
          ]
        })
      )
      if (ends._tag === "Failure") continue
      const end = ends.success.find((e) => e.partition === number)
      if (end !== undefined && end.errorCode === 0 && end.endOffset >= 0) gate.logEndsAt(number, end.endOffset)
    }
  })

  const controller = Effect.gen(function* () {
    adopt(options.description)
    gate.confirmTopic(identity.topicId)
    yield* place
    let described = now()
    while (true) {
      yield* ensureLoops
      yield* confirmElected
      const left = Math.min(described + settings.metadataRefresh, wakeAt) - now()
      if (left > 0) yield* Effect.raceFirst(changed.await, Effect.sleep(left))
      if (now() >= wakeAt) wakeAt = Number.POSITIVE_INFINITY
      changed.closeUnsafe()
      let isDue = outdated || describeFailures > 0 || now() - described >= settings.metadataRefresh
      for (const partition of unplaced) if (!placing.has(partition)) isDue = true
      // Who failed last is served first: partitions that have been away for long do not hold it up.
      let failures = Number.POSITIVE_INFINITY
      for (const partition of partitions.values()) {
        if (!partition.parked || placing.has(partition)) continue
        isDue = true
        failures = Math.min(failures, partition.failures)
      }
      if (!isDue) continue
      failures = Math.max(describeFailures, failures === Number.POSITIVE_INFINITY ? 0 : failures)
      if (failures > 0) yield* Effect.sleep(backoffMillis(failures, yield* Random.next))
      described = now()
      outdated = false
      const asked = looking
      looking = undefined
      yield* describe()
      if (asked !== undefined) Deferred.doneUnsafe(asked, Effect.void)
    }
  })

  let looking: Deferred.Deferred<void> | undefined
  const look: Effect.Effect<void> = Effect.suspend(() => {
    const looked = (looking ??= Deferred.makeUnsafe())
    outdated = true
    changed.openUnsafe()
    return Effect.asVoid(Effect.timeoutOption(Deferred.await(looked), LOOK))
  })

  // ------------------------------------------------------------------------------------------------ reads beside

  /** The answer of one partition, whatever it takes; leaders are followed as the controller learns of them. */
  const fetchAlone = Effect.fnUntraced(function* (
    shadow: Partition,
    of: Partition
  ): Effect.fn.Return<KafkaClient.FetchedPartition, TableError> {
    for (let failures = 1; ; failures++) {
      const result = yield* Effect.result(
        Effect.scoped(
          Effect.flatMap(client.openFetcher(of.leader), (fetcher) =>
            fetcher.fetch({
              topic,
              topicId: identity.topicId,
              isolation: settings.isolation,
              maxWait: LOADING_WAIT,
              minBytes: settings.minBytes,
              maxBytes: Math.max(settings.maxBytes, shadow.maxBytes),
              rack: undefined,
              partitions: [
                {
                  partition: of.partition,
                  fetchOffset: shadow.position,
                  currentLeaderEpoch: of.leaderEpoch,
                  lastFetchedEpoch: shadow.epoch,
                  maxBytes: shadow.maxBytes
                }
              ]
            })
          )
        )
      )
      if (result._tag === "Success") {
        const fetched = result.success.partitions.find((f) => f.partition === of.partition)
        if (fetched !== undefined && fetched.diverging !== undefined) {
          return yield* lost(of, fetched.diverging.endOffset, "the log was truncated while it was read again")
        }
        if (fetched !== undefined && fetched.errorCode === 0) {
          if (fetched.records.length > 0) return fetched
          const end = settings.isolation === "read_committed" ? fetched.lastStableOffset : fetched.highWatermark
          // A log that ends where it did and gives nothing has holes up to there.
          if (end >= shadow.target) return fetched
        }
        if (fetched?.errorCode === ErrorCode.TOPIC_AUTHORIZATION_FAILED) {
          return yield* new NotAuthorized({ topic, operation: "Read", detail: "the broker refuses to fetch it again" })
        }
        if (fetched?.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
          const earliest = yield* Effect.result(listOne(of, "earliest"))
          if (earliest._tag === "Success" && earliest.success !== undefined && earliest.success > shadow.position) {
            shadow.position = earliest.success
            shadow.epoch = -1
          }
        }
      }
      refresh()
      yield* backoff(failures)
    }
  })

  const rereadAll = Effect.fnUntraced(function* (
    take: Consume,
    of: ReadonlySet<number>
  ): Effect.fn.Return<void, TableError> {
    for (const number of of) {
      const partition = partitions.get(number)!
      const shadow = new Partition(number, partition.maxBytes)
      shadow.begin(partition.start, partition.position)
      while (shadow.position < shadow.target) {
        const fetched = yield* fetchAlone(shadow, partition)
        if (fetched.records.length === 0) break
        const summary = summarize(fetched.records)
        if (summary.firstBatchNeeds > shadow.maxBytes) {
          shadow.maxBytes = Math.min(summary.firstBatchNeeds, MAX_BYTES)
          continue
        }
        const cursor = new RecordCursor({
          records: fetched.records,
          fromOffset: shadow.position,
          abortedTransactions: settings.isolation === "read_committed" ? fetched.abortedTransactions : undefined
        })
        yield* take(shadow, cursor)
        const problem = cursor.problem ?? unreadable(fetched.records, shadow)
        if (problem !== undefined) {
          // The wire may have spoilt it: fetched once more.
          const { detail, kind } = problem
          if (shadow.unreadableAt === shadow.position) {
            const offset = problem.offset >= 0 ? problem.offset : shadow.position
            return yield* new UnreadableRecords({ topic, partition: number, offset, kind, detail })
          }
          shadow.unreadableAt = shadow.position
          continue
        }
        shadow.position = Math.max(shadow.position, cursor.nextOffset)
        shadow.epoch = summary.lastEpoch
      }
    }
  })

  const endOffsets = Effect.fnUntraced(function* (): Effect.fn.Return<ReadonlyMap<number, number>, TableError> {
    const ends = new Map<number, number>()
    const listLeft = Effect.suspend(() =>
      Effect.forEach(
        byLeader([...partitions.values()].filter((partition) => !ends.has(partition.partition))),
        ([leader, group]) =>
          Effect.map(Effect.result(list(leader, "latest", "read_uncommitted", group)), (listed) => {
            if (listed._tag === "Failure") return
            for (const { errorCode, offset, partition } of listed.success) {
              const known = partitions.get(partition)
              if (known === undefined || errorCode !== 0 || offset < 0) continue
              // Right after an election the new leader's high watermark may lag behind what was already seen.
              if (offset < known.highWatermark && regressions++ < REGRESSIONS) continue
              ends.set(partition, Math.max(offset, known.highWatermark))
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
    )
    let regressions = 0
    // Partitions that were added since the topic was last described belong to the promise, too.
    let isCurrent = false
    const describeAgain = Effect.map(Effect.result(client.describeTopic(topic)), (described) => {
      isCurrent = described._tag === "Success" && described.success.topicId === identity.topicId
      // Another topic by now, or none: this session is about to end, or the broker lags.
      if (!isCurrent) return refresh()
      if (described._tag === "Success" && described.success.partitions.length > partitions.size) {
        adopt(described.success)
        refresh()
      }
    })
    yield* Effect.all([describeAgain, listLeft], { concurrency: 2, discard: true })
    for (let failures = 1; ; failures++) {
      if (!isCurrent) yield* describeAgain
      if (isCurrent && ends.size < partitions.size) yield* listLeft
      if (isCurrent && ends.size >= partitions.size) break
      yield* backoff(failures)
      if (failures > 1) refresh()
    }
    return ends
  })

  const lookAhead: Session["lookAhead"] = (targets) =>
    Effect.suspend(() => {
      const behind = [...partitions.values()].filter((p) => p.readTo < (targets.get(p.partition) ?? 0))
      return Effect.forEach(
        byLeader(behind),
        ([leader, group]) =>
          Effect.gen(function* () {
            const listed = yield* Effect.result(
              Effect.all(
                [list(leader, "latest", "read_committed", group), list(leader, "latest", "read_uncommitted", group)],
                { concurrency: 2 }
              )
            )
            if (listed._tag === "Failure") return
            for (const [i, ends] of listed.success.entries()) {
              for (const { errorCode, offset, partition } of ends) {
                const known = partitions.get(partition)
                if (known === undefined || errorCode !== 0) continue
                if (i === 0) known.lastStableOffset = Math.max(known.lastStableOffset, offset)
                else known.highWatermark = Math.max(known.highWatermark, offset)
              }
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
    })

  // ------------------------------------------------------------------------------------------------ start

  yield* Effect.forkIn(guarded(controller), scope)
  yield* Effect.forkIn(
    Effect.flatMap(settings.deleteRetention, (millis) =>
      Effect.sync(() => {
        deleteRetention = millis
      })
    ),
    scope
  )

  const load: Session["load"] = (take, until) =>
    Effect.gen(function* () {
      consume = take
      stop = until
      yield* ensureLoops
      yield* Effect.raceFirst(Effect.raceFirst(Deferred.await(loaded), Deferred.await(until)), Deferred.await(failure))
      // Loops end behind the answer they are in the middle of; what they still take belongs to the load.
      yield* Deferred.succeed(until, undefined)
      yield* Effect.raceFirst(idle.await, Deferred.await(failure))
    })

  return {
    identity,
    partitions,
    memory,
    progress: () => {
      let replayed = 0
      let target = 0
      for (const partition of partitions.values()) {
        replayed += Math.min(partition.readTo, partition.target) - partition.start
        target += partition.target - partition.start
      }
      return { replayed, target }
    },
    caughtUp: isLoaded,
    load,
    follow: (take) =>
      Effect.gen(function* () {
        consume = take
        loading = false
        memory.close()
        // A partition that was complete early was not asked for since: that is no absence.
        for (const partition of partitions.values()) {
          const gap = partition.answeredAt < 0 ? 0 : now() - partition.answeredAt
          if (gap <= Math.max(deleteRetention, LONG_LOAD)) partition.answeredAt = now()
        }
        yield* ensureLoops
        return yield* Deferred.await(failure)
      }),
    reread: (take, of) => Effect.raceFirst(rereadAll(take, of), Deferred.await(failure)),
    endOffsets: Effect.suspend(() => Effect.raceFirst(endOffsets(), Deferred.await(failure))),
    verifyAwaited,
    look,
    hasFailed: () => Deferred.isDoneUnsafe(failure),
    lookAhead
  }
})
