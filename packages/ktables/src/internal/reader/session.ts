/**
 * Follows one identity of a topic: describes it, gives every partition a place to start and a target, and runs one fetch
 * loop per broker that serves some of them. It ends only by a `TableError`: lost records, another topic under the name, a
 * deleted topic, records that cannot be read, or a cluster that refuses for good.
 *
 * Whatever passes by itself (elections, restarts, cut connections) parks the partition it concerns; the controller
 * describes the topic after a back-off and sends it on its way again, while the others keep flowing.
 */
import { Clock, Deferred, Effect, Exit, Fiber, Latch, Random, Scope } from "effect"
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
import { RecordCursor, summarize } from "../records/batchReader.ts"
import { backoff, backoffMillis } from "../topic/backoff.ts"
import { forEachBatchHeader } from "./batchHeaders.ts"
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

/** Milliseconds that a catch-up fetch waits where there is nothing: holes at a log's end must not cost a long poll. */
const LOADING_WAIT = 100
/** How often, and for how many milliseconds, a topic must be missing before it counts as deleted. */
const ABSENCES = 3
const ABSENT_FOR = 3000
/** Failures of a partition after which metadata with an older epoch is believed: a topic without an id may be another. */
const STALE_METADATA = 8
/** Failures in a row from which on a partition waits for the running long poll instead of cutting it short. */
const PATIENT = 3
/** How often an end offset below one that was seen is asked for again. */
const REGRESSIONS = 10
/** Answers in a row that do not follow the protocol before the reader gives up. */
const MALFORMED = 5

interface Question {
  readonly partition: Partition
  readonly question: number
}

interface Asked {
  readonly fiber: Fiber.Fiber<KafkaClient.FetchAnswer, KafkaError>
  readonly questions: Map<number, Question>
}

interface Loop {
  /** What the outstanding question asks for. */
  asked: ReadonlyMap<number, Question> | undefined
  /** Ends the loop at once: a partition has come that its long poll does not ask for. */
  readonly kick: Deferred.Deferred<void>
}

export interface Identity {
  readonly topicId: string | undefined
  readonly clusterId: string | undefined
}

export interface Session {
  readonly identity: Identity
  readonly partitions: ReadonlyMap<number, Partition>
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

export const make = Effect.fnUntraced(function* (options: {
  readonly client: KafkaClient.Service
  readonly description: KafkaClient.TopicDescription
  readonly settings: FetchSettings
  readonly gate: Gate
  readonly metrics: ReaderMetrics
  /** Hears of positions that moved. */
  readonly onProgress: (partition: Partition) => void
}): Effect.fn.Return<Session, never, Scope.Scope> {
  const { client, gate, metrics, settings } = options
  const topic = options.description.topic
  const identity: Identity = { topicId: options.description.topicId, clusterId: options.description.clusterId }
  const clock = yield* Clock.Clock
  const scope = yield* Scope.Scope
  const failure = Deferred.makeUnsafe<never, TableError>()
  const changed = Latch.makeUnsafe(false)

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
  const now = (): number => clock.currentTimeMillisUnsafe()

  const park = (partition: Partition): void => {
    partition.parked = true
    partition.replica = -1
    partition.failures++
    partition.rewind()
    changed.openUnsafe()
  }
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

  const ask = (fetcher: KafkaClient.Fetcher, broker: number): Effect.Effect<Asked | undefined> =>
    Effect.suspend(() => {
      const questions = new Map<number, Question>()
      const asked: Array<KafkaClient.FetchRequest["partitions"][number]> = []
      for (const partition of partitions.values()) {
        if (partition.source !== broker || !wanted(partition)) continue
        questions.set(partition.partition, { partition, question: partition.question })
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
        maxBytes: settings.maxBytes,
        rack: settings.rack,
        partitions: asked
      }
      return Effect.map(Effect.forkIn(fetcher.fetch(request), scope, { startImmediately: true }), (fiber): Asked => ({
        fiber,
        questions
      }))
    })
  let rotation = 0

  const runLoop = (broker: number, loop: Loop): Effect.Effect<void> =>
    Effect.scoped(
      Effect.gen(function* () {
        const fetcher = yield* client.openFetcher(broker)
        let asked = yield* ask(fetcher, broker)
        while (asked !== undefined) {
          const { fiber, questions }: Asked = asked
          loop.asked = questions
          const exit = yield* Effect.raceFirst(
            Fiber.await(fiber),
            Effect.as(
              loading ? Effect.raceFirst(Deferred.await(stop), Deferred.await(loop.kick)) : Deferred.await(loop.kick),
              undefined
            )
          )
          if (exit === undefined) {
            yield* Fiber.interrupt(fiber)
            break
          }
          if (Exit.isFailure(exit)) {
            yield* onFetchFailed(exit, questions)
            break
          }
          const answer = exit.value
          if (answer.throttle > 0) yield* Effect.sleep(answer.throttle)
          const readable = yield* sort(answer, questions, broker)
          // The next question leaves before this answer is decoded: headers alone tell where it starts.
          asked = stopped() ? undefined : yield* ask(fetcher, broker)
          loop.asked = asked?.questions
          for (const [partition, fetched] of readable) yield* read(partition, fetched)
          if (asked === undefined && !stopped()) asked = yield* ask(fetcher, broker)
        }
      })
    ).pipe(
      Effect.catch((error) => fail(error)),
      Effect.catchDefect((defect) => fail(new ReaderDied({ topic, cause: defect }))),
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

  const ensureLoops: Effect.Effect<void> = Effect.suspend(() => {
    if (consume === undefined || stopped()) return Effect.void
    const missing = new Set<number>()
    for (const partition of partitions.values()) {
      if (partition.source < 0 || !wanted(partition)) continue
      const loop = loops.get(partition.source)
      if (loop === undefined) missing.add(partition.source)
      else if (loop.asked?.has(partition.partition) === false && partition.failures < PATIENT) {
        Deferred.doneUnsafe(loop.kick, Effect.void)
      }
    }
    return Effect.forEach(
      missing,
      (broker) => {
        const loop: Loop = { asked: undefined, kick: Deferred.makeUnsafe() }
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
    questions: Map<number, Question>,
    broker: number
  ): Effect.fn.Return<ReadonlyArray<readonly [Partition, KafkaClient.FetchedPartition]>, TableError> {
    const readable: Array<readonly [Partition, KafkaClient.FetchedPartition]> = []
    if (answer.errorCode !== 0) {
      for (const { partition } of questions.values()) park(partition)
      yield* metrics.failed(`fetch ${answer.errorCode}`)
      return readable
    }
    malformed = 0
    let empty = true
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
      if (gap > deleteRetention && gap > 2 * settings.maxWait + 1000 && !loading) {
        return yield* lost(
          partition,
          fetched.logStartOffset,
          `out of reach for ${gap} ms, longer than the topic keeps its tombstones (delete.retention.ms ${deleteRetention})`
        )
      }
      partition.answeredAt = at
      partition.disconnectedSince = undefined
      partition.failures = 0
      partition.highWatermark = fetched.highWatermark
      partition.lastStableOffset = fetched.lastStableOffset
      partition.logStart = Math.max(partition.logStart, fetched.logStartOffset)
      if (fetched.records.length > 0) {
        const summary = summarize(fetched.records)
        if (summary.wholeBytes === 0) {
          // Not even one batch fits: ask for as much as it needs.
          partition.maxBytes = Math.max(partition.maxBytes, summary.firstBatchNeeds, partition.maxBytes * 2)
          continue
        }
        if (summary.nextOffset <= partition.fetchPosition) {
          // Nothing that was asked for: an answer that goes backwards is not obeyed.
          yield* metrics.failed("answer behind the position")
          park(partition)
          continue
        }
        partition.fetchPosition = summary.nextOffset
        partition.fetchEpoch = summary.lastEpoch
        readable.push([partition, fetched])
      } else if (empty) {
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
    fetched: KafkaClient.FetchedPartition
  ): Effect.fn.Return<void, TableError> {
    const question = partition.question
    forEachBatchHeader(fetched.records, partition.position, (first, last, producerId, producerEpoch, sequence) =>
      partition.recent.add(first, last, producerId, producerEpoch, sequence)
    )
    const cursor = new RecordCursor({
      records: fetched.records,
      fromOffset: partition.position,
      abortedTransactions: settings.isolation === "read_committed" ? fetched.abortedTransactions : undefined
    })
    yield* consume!(partition, cursor)
    if (partition.question !== question) return
    partition.position = Math.max(partition.position, cursor.nextOffset)
    partition.readTo = Math.max(partition.readTo, partition.position)
    if (cursor.leaderEpoch >= 0) partition.epoch = cursor.leaderEpoch
    const problem = cursor.problem
    if (problem !== undefined) {
      yield* metrics.failed(problem.kind)
      if (partition.unreadableAt === problem.offset) {
        return yield* new UnreadableRecords({
          topic,
          partition: partition.partition,
          offset: problem.offset,
          kind: problem.kind,
          detail: problem.detail
        })
      }
      // The wire may have spoilt it: fetched once more.
      partition.unreadableAt = problem.offset
      yield* Effect.logWarning(
        `${topic}[${partition.partition}]@${problem.offset} cannot be read (${problem.kind}: ${problem.detail}); fetching it again`
      )
      park(partition)
    } else {
      partition.unreadableAt = -1
      partition.epoch = Math.max(partition.epoch, partition.fetchEpoch)
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
      if (endOffset < 0 || endOffset >= partition.position) return park(partition)
      return yield* lost(
        partition,
        endOffset,
        `the log was truncated: epoch ${partition.epoch} is not in it, epoch ${epoch} ends at ${endOffset}`
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
      case ErrorCode.UNKNOWN_SERVER_ERROR:
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

  /** Gives partitions their start and target; those that cannot be told yet stay unplaced and are tried again. */
  const place = Effect.fnUntraced(function* (): Effect.fn.Return<void, TableError> {
    yield* Effect.forEach(
      byLeader(unplaced),
      ([leader, group]) =>
        Effect.gen(function* () {
          const listed = yield* Effect.result(
            Effect.all(
              [list(leader, "earliest", settings.isolation, group), list(leader, "latest", settings.isolation, group)],
              { concurrency: 2 }
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
              return yield* new NotAuthorized({
                topic,
                operation: "Describe",
                detail: "the broker refuses its offsets"
              })
            }
            if (start === undefined || end === undefined || code !== 0 || start.offset < 0 || end.offset < 0) {
              park(partition)
              continue
            }
            partition.begin(start.offset, Math.max(start.offset, end.offset))
            partition.logStart = start.offset
            partition.failures = 0
            unplaced.delete(partition)
            moved(partition)
          }
        }),
      { concurrency: "unbounded", discard: true }
    )
    if (unplaced.size > 0) changed.openUnsafe()
  })

  // ------------------------------------------------------------------------------------------------ metadata

  let absences = 0
  let absentSince = 0

  const adopt = (description: KafkaClient.TopicDescription): ReadonlyArray<Partition> => {
    const elected: Array<Partition> = []
    for (const described of description.partitions) {
      let partition = partitions.get(described.partition)
      if (partition === undefined) {
        partition = new Partition(described.partition, settings.maxPartitionBytes)
        partitions.set(described.partition, partition)
        unplaced.add(partition)
      }
      // Metadata of a broker that lags must not undo a newer election.
      const isStale = described.leaderEpoch >= 0 && described.leaderEpoch < partition.leaderEpoch
      if (isStale && partition.failures < STALE_METADATA) continue
      if (described.leader < 0) {
        partition.leader = -1
        partition.disconnectedSince ??= now()
        park(partition)
        continue
      }
      if (described.leaderEpoch !== partition.leaderEpoch && partition.leaderEpoch >= 0) elected.push(partition)
      partition.leader = described.leader
      partition.leaderEpoch = described.leaderEpoch
      partition.parked = false
    }
    return elected
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
    describeFailures = 0
    absences = 0
    const description = described.success
    if (differs(identity.clusterId, description.clusterId)) {
      return yield* new TopicRecreated({
        topic,
        previous: `cluster ${identity.clusterId}`,
        current: `cluster ${description.clusterId}`
      })
    }
    if (differs(identity.topicId, description.topicId)) {
      return yield* new TopicRecreated({ topic, previous: identity.topicId!, current: description.topicId! })
    }
    if (description.partitions.length < partitions.size && description.partitions.length > 0) {
      return yield* new TopicRecreated({
        topic,
        previous: `${partitions.size} partitions`,
        current: `${description.partitions.length} partitions`
      })
    }
    gate.confirmTopic(description.topicId)
    const elected = adopt(description)
    for (const partition of elected) yield* validate(partition)
    yield* place()
  })
  let describeFailures = 0

  /** After an election the new leader says where the epoch we read last ends: a shorter log was truncated (KIP-320). */
  const validate = Effect.fnUntraced(function* (partition: Partition): Effect.fn.Return<void, TableError> {
    if (partition.epoch < 0 || unplaced.has(partition)) return
    const ends = yield* Effect.result(
      client.endOffsetForEpoch(partition.leader, {
        topic,
        partitions: [
          {
            partition: partition.partition,
            currentLeaderEpoch: partition.leaderEpoch,
            leaderEpoch: partition.epoch
          }
        ]
      })
    )
    if (ends._tag === "Failure") return
    const end = ends.success.find((e) => e.partition === partition.partition)
    if (end === undefined || end.errorCode !== 0 || end.endOffset < 0) return
    if (end.endOffset < partition.position) {
      return yield* lost(
        partition,
        end.endOffset,
        `the log was truncated: epoch ${partition.epoch} ends at ${end.endOffset} on its new leader`
      )
    }
  })

  const verifyAwaited: Effect.Effect<void> = Effect.gen(function* () {
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
    yield* place()
    yield* ensureLoops
    let described = now()
    while (true) {
      const left = described + settings.metadataRefresh - now()
      if (left > 0) yield* Effect.raceFirst(changed.await, Effect.sleep(left))
      changed.closeUnsafe()
      let failures = describeFailures
      let due = now() - described >= settings.metadataRefresh || unplaced.size > 0
      for (const partition of partitions.values()) {
        if (!partition.parked) continue
        due = true
        failures = Math.max(failures, partition.failures)
      }
      if (due || describeFailures > 0) {
        if (failures > 0) yield* Effect.sleep(backoffMillis(failures, yield* Random.next))
        described = now()
        yield* describe()
      }
      yield* ensureLoops
    }
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
              maxBytes: settings.maxBytes,
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
        if (fetched !== undefined && fetched.errorCode === 0) return fetched
        if (fetched?.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
          const earliest = yield* Effect.result(listOne(of, "earliest"))
          if (earliest._tag === "Success" && earliest.success !== undefined && earliest.success > shadow.position) {
            shadow.position = earliest.success
            shadow.epoch = -1
          }
        }
      }
      changed.openUnsafe()
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
        const summary = summarize(fetched.records)
        if (fetched.records.length === 0) break
        if (summary.wholeBytes === 0) {
          shadow.maxBytes = Math.max(shadow.maxBytes * 2, summary.firstBatchNeeds)
          continue
        }
        const cursor = new RecordCursor({
          records: fetched.records,
          fromOffset: shadow.position,
          abortedTransactions: settings.isolation === "read_committed" ? fetched.abortedTransactions : undefined
        })
        yield* take(shadow, cursor)
        if (cursor.problem !== undefined) {
          const { detail, kind, offset } = cursor.problem
          return yield* new UnreadableRecords({ topic, partition: number, offset, kind, detail })
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
    const described = yield* Effect.all([Effect.result(client.describeTopic(topic)), listLeft], { concurrency: 2 })
    if (described[0]._tag === "Success" && described[0].success.topicId === identity.topicId) {
      if (described[0].success.partitions.length > partitions.size) {
        adopt(described[0].success)
        changed.openUnsafe()
        yield* listLeft
      }
    }
    for (let failures = 1; ends.size < partitions.size; failures++) {
      yield* backoff(failures)
      if (failures > 1) changed.openUnsafe()
      yield* listLeft
    }
    return ends
  })

  // ------------------------------------------------------------------------------------------------ start

  const running = Effect.forkIn(
    controller.pipe(
      Effect.catch((error) => fail(error)),
      Effect.catchDefect((defect) => fail(new ReaderDied({ topic, cause: defect })))
    ),
    scope
  )

  yield* running
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
        yield* ensureLoops
        return yield* Deferred.await(failure)
      }),
    reread: (take, of) => Effect.raceFirst(rereadAll(take, of), Deferred.await(failure)),
    endOffsets: Effect.suspend(() => Effect.raceFirst(endOffsets(), Deferred.await(failure))),
    verifyAwaited
  }
})
