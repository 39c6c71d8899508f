/**
 * Deals with what brokers answer to a session's fetches: failures and errors park the partitions they concern or end the
 * session, headers tell where to ask on, and records are taken.
 */
import type { LogError } from "./logError.ts"
import { Effect, type Exit } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import { AuthenticationRefused, ClusterRefused, type DataLoss, NotAuthorized } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { RecordCursor, summarize } from "../records/batchReader.ts"
import { type Partition, STALE_METADATA } from "./partition.ts"
import type { Offsets } from "./offsets.ts"
import { record } from "./recording.ts"
import { hiddenTransactions, problemOf, unreadableAgain, visibleEnd } from "./recordSet.ts"
import { FOLLOWER_REST, type SessionContext } from "./sessionContext.ts"
import type { Stage } from "./stage.ts"
import type { Asked, Tombstones } from "./tombstones.ts"

/** Answers in a row that do not follow the protocol before the reader gives up. */
const MALFORMED = 5

/** A partition that was asked for, and which of its questions that was. */
export interface Question extends Asked {
  readonly partition: Partition
  readonly question: number
}

export interface Readable extends Question {
  readonly fetched: KafkaClient.FetchedPartition
  /** Of Fetch. */
  readonly version: number
}

export interface Answers {
  /** Deals with errors and headers; hands back what is to be read. */
  readonly sort: (
    answer: KafkaClient.FetchAnswer,
    asked: ReadonlyMap<number, Question>,
    broker: number
  ) => Effect.Effect<ReadonlyArray<Readable>, LogError>
  /** Has the records of a partition taken. */
  readonly read: (readable: Readable) => Effect.Effect<void, LogError>
  /** Deals with a fetch that was not answered. */
  readonly onFailed: (
    exit: Exit.Failure<KafkaClient.FetchAnswer, KafkaError>,
    asked: ReadonlyMap<number, Question>
  ) => Effect.Effect<void, LogError>
}

export const make = (context: SessionContext, stage: Stage, offsets: Offsets, tombstones: Tombstones): Answers => {
  const {
    connected,
    disconnect,
    lost,
    metrics,
    moment,
    now,
    park,
    partitions,
    recorder,
    settings,
    topic,
    waiters,
    wakeup
  } = context
  let malformed = 0

  const onFailed: Answers["onFailed"] = (exit, asked) =>
    Effect.gen(function* () {
      const result = yield* Effect.result(exit)
      if (result._tag === "Success") return
      const error = result.failure
      metrics.failed(error._tag)
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
      const current = [...asked.values()].flatMap(({ partition, question }) =>
        partition.question === question ? partition : []
      )
      const followed = current.filter(({ replica }) => replica >= 0)
      for (const partition of current) disconnect(partition, error.message)
      if (followed.length === 0) return yield* Effect.logDebug(`fetching ${topic} failed: ${error.message}`)
      const names = followed.map(({ partition }) => `${topic}[${partition}]`).join(", ")
      yield* Effect.logWarning(
        `${names}: the follower is away, and the leader is read from for ${FOLLOWER_REST / 1000} s: ${error.message}`
      )
    })

  /** The loss that an answer shows beside its records. */
  const lossOf = (partition: Partition, fetched: KafkaClient.FetchedPartition): DataLoss | undefined => {
    // Where nothing was read yet, no epoch shows a truncation.
    return partition.epoch < 0 && fetched.logStartOffset >= 0 && fetched.logStartOffset < partition.firstLogStart
      ? lost(partition, fetched.logStartOffset, "the log begins below where it began when it was first asked for")
      : undefined
  }

  const sort: Answers["sort"] = Effect.fnUntraced(function* (answer, asked, broker) {
    const readable: Array<Readable> = []
    const questions = new Map(asked)
    if (answer.errorCode !== 0) {
      for (const { partition, question } of questions.values()) if (partition.question === question) park(partition)
      metrics.failed(`fetch ${answer.errorCode}`)
      return readable
    }
    malformed = 0
    // Others run meanwhile, so that nothing may have been concluded from the questions yet.
    for (const { logStartOffset, partition: number } of answer.partitions) {
      const question = questions.get(number)
      if (question?.partition.startsAt(logStartOffset) === true) yield* stage.cut(question.partition)
    }
    // Where all are answered and none has records, none was left out for want of room.
    let empty = answer.isCrowded !== true && answer.partitions.length >= asked.size
    for (const fetched of answer.partitions) if (fetched.records.length > 0) empty = false
    const at = moment()
    const throttledUntil = answer.throttle > 0 ? at.wall + answer.throttle : -1
    for (const { partition } of questions.values()) partition.throttled(throttledUntil)
    for (const fetched of answer.partitions) {
      const question = questions.get(fetched.partition)
      if (question === undefined || question.question !== question.partition.question) continue
      const partition = question.partition
      questions.delete(fetched.partition)
      if (fetched.errorCode !== 0 || fetched.diverging !== undefined) {
        yield* onPartitionError(partition, fetched, broker)
        continue
      }
      const mayFollow = partition.leaderUntil <= now() && !partition.tombstones.isBound
      if (fetched.preferredReadReplica >= 0 && mayFollow && fetched.records.length === 0) {
        tombstones.ended(partition, question, fetched, answer.version)
        partition.follow(fetched.preferredReadReplica)
        wakeup.call()
        continue
      }
      const loss = lossOf(partition, fetched)
      if (loss !== undefined) return yield* loss
      if (!tombstones.trusts(partition, at)) continue
      partition.answered(fetched, at)
      connected(partition)
      if (fetched.records.length > 0) {
        const summary = summarize(fetched.records)
        if (partition.needsMore(summary)) continue
        if (!partition.take(summary, broker)) {
          // Nothing that was asked for: an answer that goes backwards is not obeyed.
          metrics.failed("answer behind the position")
          park(partition)
          continue
        }
        tombstones.answered(partition, question, at)
        readable.push({ ...question, fetched, version: answer.version })
        continue
      }
      partition.nothingNew()
      tombstones.answered(partition, question, at)
      // Only markers and holes up to the end, or nothing at all.
      if (empty && partition.emptyTo(visibleEnd(settings.isolation, fetched))) stage.moved(partition)
      else metrics.lag(partition)
      tombstones.ended(partition, question, fetched, answer.version)
    }
    for (const { partition, question } of questions.values()) {
      if (partition.question !== question) continue
      // A broker that throttles is there, and is asked the same again when its time is over.
      if (answer.throttle > 0) connected(partition)
      // What the broker did not answer is asked again by the controller.
      else park(partition)
    }
    return readable
  })

  const read: Answers["read"] = Effect.fnUntraced(function* (readable) {
    const { fetched, partition, question } = readable
    const abortedTransactions = hiddenTransactions(settings.isolation, fetched)
    const cursor = new RecordCursor({
      records: fetched.records,
      fromOffset: partition.position,
      abortedTransactions,
      listener: waiters.listenerOf(partition)
    })
    yield* stage.take(partition, cursor)
    partition.read(cursor)
    if (recorder !== undefined) record(recorder, partition, cursor, fetched.records, abortedTransactions)
    const problem = problemOf(cursor, fetched.records, partition)
    if (problem !== undefined) {
      metrics.failed(problem.kind)
      const failure = unreadableAgain(topic, partition, problem)
      if (failure !== undefined) return yield* failure
      yield* Effect.logWarning(
        `${topic}[${partition.partition}]@${partition.position} cannot be read (${problem.kind}: ${problem.detail}); fetching it again`
      )
      park(partition)
    } else {
      partition.readable()
      if (partition.question !== question) {
        // Told to ask again meanwhile: from here on, not from where the answer began.
        partition.rewind()
        wakeup.call()
      }
      tombstones.ended(partition, readable, fetched, readable.version)
    }
    metrics.read(fetched.records.length)
    stage.moved(partition)
  })

  const onPartitionError = Effect.fnUntraced(function* (
    partition: Partition,
    fetched: KafkaClient.FetchedPartition,
    broker: number
  ): Effect.fn.Return<void, LogError> {
    const where = `${topic}[${partition.partition}]`
    if (fetched.diverging !== undefined) {
      const { endOffset, epoch } = fetched.diverging
      metrics.failed("truncated")
      // An older epoch means that the one which was read last is not in the log at all, wherever the older one ends.
      const isOlder = epoch >= 0 && epoch < partition.fetchEpoch
      if (endOffset < 0 || (endOffset >= partition.position && !isOlder)) return park(partition)
      return yield* lost(
        partition,
        Math.min(endOffset, partition.position),
        `the log was truncated: of epoch ${partition.epoch} it does not hold what was read, epoch ${epoch} ends at ${endOffset}`
      )
    }
    metrics.failed(`fetch ${fetched.errorCode}`)
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

  const onOutOfRange = Effect.fnUntraced(function* (partition: Partition): Effect.fn.Return<void, LogError> {
    const [earliest, latest] = yield* Effect.all(
      [offsets.listOne(partition, "earliest"), offsets.listOne(partition, "latest")],
      { concurrency: 2 }
    )
    if (earliest === undefined || latest === undefined) return park(partition)
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

  return { sort, read, onFailed }
}
