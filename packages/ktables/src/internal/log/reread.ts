/** Reads partitions' logs beside the positions of the session, which goes on meanwhile: again, or for somebody else. */
import type { LogError } from "./logError.ts"
import { Effect } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { NotAuthorized } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { RecordCursor, summarize } from "../records/batchReader.ts"
import { backoff } from "../backoff.ts"
import { elapsed } from "../moment.ts"
import { Partition } from "./partition.ts"
import { trustedFor } from "./tombstoneWatch.ts"
import type { Offsets } from "./offsets.ts"
import { hiddenTransactions, problemOf, unreadableAgain, visibleEnd } from "./recordSet.ts"
import type { SessionContext } from "./sessionContext.ts"
import type { SingleFetch } from "./singleFetch.ts"
import { type Consume, LOADING_WAIT } from "./stage.ts"

/** Reads each log from where the session began to where it has been applied. */
export type Reread = (
  consume: Consume,
  of: ReadonlySet<number>,
  /** Whether no more is wanted. */
  isOver: () => boolean
) => Effect.Effect<void, LogError>

/**
 * Reads a part of a partition's log, one answer each time it is run, so that whoever asks sets the pace; undefined at its end.
 * Leaders may change meanwhile: what is read is in order, and of one log, but may have been compacted otherwise.
 */
export type Walk = (partition: number, start: number, end: number) => Effect.Effect<RecordCursor | undefined, LogError>

/** An answer's records, and the cursor over them. */
interface Read {
  readonly cursor: RecordCursor
  readonly records: Buffer
}

export const make = (
  { lost, moment, partitions, retention, settings, wakeup, topic }: SessionContext,
  offsets: Offsets,
  fetchOne: SingleFetch
): { readonly reread: Reread; readonly walk: Walk } => {
  /** The answer of one partition, whatever it takes; leaders are followed as the controller learns of them. */
  const fetchAlone = Effect.fnUntraced(function* (
    shadow: Partition,
    of: Partition
  ): Effect.fn.Return<KafkaClient.FetchedPartition, LogError> {
    for (let failures = 1; ; failures++) {
      const result = yield* Effect.result(
        fetchOne(of, {
          isolation: settings.isolation,
          offset: shadow.position,
          lastFetchedEpoch: shadow.epoch,
          maxWait: LOADING_WAIT,
          maxBytes: shadow.maxBytes
        })
      )
      if (result._tag === "Success") {
        const fetched = result.success
        if (fetched === "throttled") {
          // Nothing has failed, and the connection waits for its time by itself.
          failures = 0
          continue
        }
        if (fetched !== undefined && fetched.diverging !== undefined) {
          return yield* lost(of, fetched.diverging.endOffset, "the log was truncated while it was read again")
        }
        if (fetched !== undefined && fetched.errorCode === 0) {
          // A log that ends where it did and gives nothing has holes up to there.
          if (fetched.records.length > 0 || visibleEnd(settings.isolation, fetched) >= shadow.target) return fetched
        }
        if (fetched?.errorCode === ErrorCode.TOPIC_AUTHORIZATION_FAILED) {
          return yield* new NotAuthorized({ topic, operation: "Read", detail: "the broker refuses to fetch it again" })
        }
        if (fetched?.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
          const earliest = yield* offsets.listOne(of, "earliest")
          if (earliest !== undefined && earliest > shadow.position) shadow.begin(earliest, shadow.target)
        }
      }
      wakeup.refresh()
      yield* backoff(failures)
    }
  })

  /** The next answer that has records; undefined at the end. */
  const next = Effect.fnUntraced(function* (
    shadow: Partition,
    of: Partition
  ): Effect.fn.Return<Read | undefined, LogError> {
    for (;;) {
      const fetched = yield* fetchAlone(shadow, of)
      const { records } = fetched
      if (records.length === 0) return undefined
      if (shadow.needsMore(summarize(records))) continue
      const cursor = new RecordCursor({
        records,
        fromOffset: shadow.position,
        abortedTransactions: hiddenTransactions(settings.isolation, fetched)
      })
      return { cursor, records }
    }
  })

  /** An answer's records have been looked at. */
  const passed = Effect.fnUntraced(function* (
    shadow: Partition,
    { cursor, records }: Read
  ): Effect.fn.Return<void, LogError> {
    shadow.read(cursor)
    const problem = problemOf(cursor, records, shadow)
    if (problem === undefined) return
    const failure = unreadableAgain(topic, shadow, problem)
    if (failure !== undefined) return yield* failure
  })

  const rereadOne = Effect.fnUntraced(function* (
    consume: Consume,
    partition: Partition,
    isOver: () => boolean
  ): Effect.fn.Return<void, LogError> {
    const shadow = new Partition(partition.partition, partition.maxBytes)
    shadow.begin(partition.start, partition.position)
    const { leaderEpoch } = partition
    const began = moment()
    const untrusted = () =>
      partition.leaderEpoch !== leaderEpoch || elapsed(began, moment()) >= trustedFor(retention.effective)
    while (shadow.position < shadow.target && !isOver()) {
      // As for a load: another log, or a later one, may have neither a record that was seen nor its tombstone.
      if (untrusted()) return yield* lost(partition, partition.start, "older values could not be looked up in one go")
      const read = yield* next(shadow, partition)
      if (read === undefined) break
      yield* consume(shadow, read.cursor)
      yield* passed(shadow, read)
    }
  })

  return {
    reread: (consume, of, isOver) =>
      Effect.forEach(of, (number) => rereadOne(consume, partitions.get(number)!, isOver), { discard: true }),
    walk: (number, start, end) => {
      const partition = partitions.get(number)!
      const shadow = new Partition(number, partition.maxBytes)
      shadow.begin(start, end)
      let last: Read | undefined
      return Effect.gen(function* () {
        if (last !== undefined) yield* passed(shadow, last)
        last = shadow.position < shadow.target ? yield* next(shadow, partition) : undefined
        return last?.cursor
      })
    }
  }
}
