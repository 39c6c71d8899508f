/**
 * A topic's table as it was, and what happened to one key: single readings of a log, which end and leave nothing behind. They
 * are parts of `KafkaTable`, as `KafkaTable.at` and `KafkaTable.history`.
 *
 * @since 0.1.0
 */
import { Clock, Context, Duration, Effect, Metric, Option } from "effect"
import { backoff } from "./internal/backoff.ts"
import { Connectivity } from "./internal/log/connectivity.ts"
import * as Metrics from "./internal/log/metrics.ts"
import { OffsetWaiters } from "./internal/log/offsetWaiters.ts"
import type { LogPoint as Point } from "./internal/log/range.ts"
import type { FetchSettings, Session } from "./internal/log/session.ts"
import * as Check from "./internal/options.ts"
import * as Applier from "./internal/replica/applier.ts"
import { checkFetch, type FetchOptions, fetchSettingsOf } from "./internal/replica/fetchOptions.ts"
import { type Keeps, LogContents } from "./internal/replica/logContents.ts"
import { checkOnDecodeError, type OnDecodeError } from "./internal/replica/onDecodeError.ts"
import * as PastReading from "./internal/replica/past.ts"
import { checkPartitions, checkPoint, type LogPoint, pointOf } from "./internal/replica/points.ts"
import { rateLimited } from "./internal/replica/reports.ts"
import { sameness } from "./internal/replica/sameness.ts"
import { Cell } from "./internal/table/cell.ts"
import { CellTable } from "./internal/table/cellTable.ts"
import { describeWithin } from "./internal/topic/describe.ts"
import * as TopicView from "./internal/topic/topicView.ts"
import { checkTopic } from "./internal/topic/validate.ts"
import { KafkaClient, type Service as ClientService } from "./KafkaClient.ts"
import type { Table } from "./Table.ts"
import type { TableEntry, WithHeaders } from "./TableEntry.ts"
import {
  InvalidOption,
  type NotStarted,
  type OffsetNotInLog,
  type ReaderError,
  ReadTimeout,
  TopicRecreated
} from "./TableError.ts"
import type { TableTopic } from "./TableTopic.ts"

// ---------------------------------------------------------------------------------------------------------------------
// the table as it was
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What was read of a partition, and how far it can be relied on.
 *
 * @category models
 * @since 0.1.0
 */
export interface PastPartition {
  readonly partition: number
  /** The records below this offset count. */
  readonly offset: number
  /**
   * An answer for this offset, or for any from there on, is proven to be complete; 0 where this one is, and everything before
   * it. Below it keys may be missing that were there, since compaction has removed their records of that time.
   */
  readonly completeFrom: number
  /** Where the log began: what was deleted below it is not known. */
  readonly logStart: number
}

/**
 * A topic's table as it was: a table that never changes, with all reads and operators of one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Past<in out K, out V, out Entry extends TableEntry<K, V> = TableEntry<K, V>> extends Table<K, V> {
  readonly topic: string
  /** The value with the place of its record in the log, its timestamp, and its headers where they are kept. */
  readonly getEntry: (key: K) => Effect.Effect<Option.Option<Entry>>
  /** By partition: of which offset the answer is, and from which on it would be proven to be complete. */
  readonly partitions: ReadonlyArray<PastPartition>
  /** The offsets of `partitions`, to ask for the same again. */
  readonly offsets: ReadonlyMap<number, number>
  /** Whether the answer is proven to be complete, in all partitions: no key is missing. */
  readonly isComplete: boolean
}

/**
 * Options of `at`.
 *
 * @category options
 * @since 0.1.0
 */
export interface AtOptions<out R = never, out Headers extends boolean = boolean> {
  /** How long it may take in all, before it fails with `ReadTimeout`. Default: 30 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** The partitions to read. Default: all. */
  readonly partitions?: ReadonlyArray<number> | undefined
  /** Whether the headers of each entry's record are kept. Default: false. */
  readonly headers?: Headers | undefined
  /** Default: `skip`. */
  readonly onDecodeError?: OnDecodeError<R> | undefined
  /** Entries that it may have: with more it fails with `TableTooLarge`; while it is read there may be twice as many. Default: no limit. */
  readonly maxEntries?: number | undefined
  /** As `maxEntries`: bytes of keys, values and kept headers, as they are in the log after decompression. Default: no limit. */
  readonly maxBytes?: number | undefined
  /** Default: as the comments of `FetchOptions` say. */
  readonly fetch?: FetchOptions | undefined
  /** As for a table: how long the topic keeps tombstones, where its settings may not be read. */
  readonly deleteRetention?: Duration.Input | undefined
}

const checkTimeout = Check.duration({ min: 1 })

const checkAtOptions = Check.record<AtOptions>({
  timeout: checkTimeout,
  partitions: checkPartitions,
  headers: Check.boolean,
  onDecodeError: checkOnDecodeError,
  maxEntries: Check.integer({ min: 1 }),
  maxBytes: Check.integer({ min: 1 }),
  fetch: checkFetch,
  deleteRetention: Check.duration({ min: 1 })
})

/**
 * What a single reading of a topic can fail with: it could not begin, the log could not be read, or the time was over.
 *
 * @category errors
 * @since 0.1.0
 */
export type ReadError = NotStarted["reason"] | Exclude<ReaderError, NotStarted> | InvalidOption | ReadTimeout

/**
 * What `at` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type AtError = ReadError | OffsetNotInLog

/**
 * The table as it was at a time, or at offsets: what a table showed that had applied everything before, and nothing after.
 *
 * **When to use**
 *
 * For questions about the past: what was the price yesterday, what did the flags say when it broke, what has changed since
 * (`Table.diff` of two answers, or of one and a live table). It reads each partition once from its log's start, as a start
 * does, and ends; for a table that follows see `make`.
 *
 * **Details**
 *
 * At a time: before the first record that is stamped then or later, per partition; a time that nothing is stamped at or after
 * is the log's end. At offsets: the records below them; each partition that is read has to have one. Records count by their
 * offsets, as in a table, and those of aborted transactions never do.
 *
 * Compaction thins the past. Every entry of the answer is right: a record is only removed for a newer one, so what is left of
 * a key is its newest part. But of some keys nothing may be left below an offset: they are missing. `completeFrom` says for
 * each partition from which offset on an answer is proven to miss nothing, and `isComplete` whether this one is: where
 * nothing was ever removed, or where `min.compaction.lag.ms` keeps compaction away from what is younger. What is older than
 * that setting allows to see is not to be had from any reader. `docs/adr/0026-the-past-of-a-log.md` proves it.
 *
 * **Gotchas**
 *
 * Where an answer is not complete the log is read twice, since compaction may run meanwhile. On a topic without a compaction
 * lag that is written all the time, only topics that were never compacted have complete answers.
 *
 * **Example** (What has changed since yesterday)
 *
 * ```ts
 * import { DateTime, Effect, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * export const changedSinceYesterday = Effect.gen(function* () {
 *   const yesterday = yield* KafkaTable.at(prices, DateTime.subtract(yield* DateTime.now, { days: 1 }))
 *   if (!yesterday.isComplete) yield* Effect.logWarning("prices that were changed since may be missing in yesterday's")
 *   const today = yield* KafkaTable.make(prices)
 *   const changed = yield* Table.diff(yesterday, today)
 *   return yield* changed.entries
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const at = Effect.fn("KafkaTable.at")(function* <K, V, RD, RE, R = never, const Headers extends boolean = false>(
  topic: TableTopic<K, V, RD, RE>,
  given: LogPoint,
  givenOptions: AtOptions<R, Headers> = {}
): Effect.fn.Return<
  Past<K, V, [Headers] extends [true] ? WithHeaders<K, V> : TableEntry<K, V>>,
  AtError,
  KafkaClient | RD | R
> {
  const client = yield* KafkaClient
  const context = yield* Effect.context<RD | R>()
  yield* Check.taken(checkTopic, topic, undefined, "topic")
  const to = pointOf(yield* Check.taken(checkPoint, given, topic.name, "at"))
  const options = yield* Check.taken(checkAtOptions, givenOptions, topic.name)
  const keeps: Keeps = { sizes: options.maxBytes !== undefined, headers: options.headers === true }
  const waited = Duration.toMillis(options.timeout ?? DEFAULT_TIMEOUT)
  const progress = new ReadProgress()
  const past = yield* readPast(client, topic, to, options, keeps, context, progress).pipe(
    Effect.scoped,
    Effect.timeoutOrElse({
      duration: waited,
      orElse: () => Effect.fail(new ReadTimeout({ topic: topic.name, waited, ...progress.summary() }))
    })
  )
  return new PastTable(topic, past, context)
})

const DEFAULT_TIMEOUT = Duration.seconds(30)

/** How far a single reading is, and what has held it up. */
class ReadProgress {
  session: Session | undefined
  lastReason: string | undefined

  summary(): Pick<ReadTimeout, "replayed" | "target" | "reasons"> {
    const partitions = [...(this.session?.partitions.values() ?? [])]
    const away = partitions.flatMap(({ disconnectedBecause }) => disconnectedBecause ?? [])
    const reasons = this.lastReason === undefined ? away : [...away, this.lastReason]
    return { ...(this.session?.progress() ?? { replayed: 0, target: 0 }), reasons: [...new Set(reasons)] }
  }
}

/** Metrics of a table are those of one that lives: a single reading's are nobody's. */
const unseen = (context: Context.Context<never>): Context.Context<never> =>
  Context.add(context, Metric.MetricRegistry, new Map())

const readSettingsOf = (options: AtOptions<unknown>): FetchSettings => ({
  isolation: "read_committed",
  rack: undefined,
  metadataRefresh: 30_000,
  deleteRetention: options.deleteRetention === undefined ? undefined : Duration.toMillis(options.deleteRetention),
  ...fetchSettingsOf(options.fetch)
})

/** Refuses partitions that the topic has not, and offsets that say nothing of one that is read. */
const checkRange = (
  topic: string,
  count: number,
  partitions: ReadonlyArray<number> | undefined,
  to: Point
): Effect.Effect<void, InvalidOption> => {
  const named = partitions ?? Array.from({ length: count }, (_, partition) => partition)
  const absent = [...named, ...(to._tag === "Offsets" ? to.of.keys() : [])].find((partition) => partition >= count)
  const missing = to._tag === "Offsets" ? named.find((partition) => !to.of.has(partition)) : undefined
  if (absent !== undefined) {
    const expected = `partitions that the topic has, which are ${count}`
    return Effect.fail(new InvalidOption({ topic, option: "partitions", given: `partition ${absent}`, expected }))
  }
  if (missing === undefined) return Effect.void
  const expected = `an offset of each partition that is read, 0 where none of its records are meant`
  return Effect.fail(new InvalidOption({ topic, option: "at", given: `a Map without ${missing}`, expected }))
}

/** Reads until nothing has changed under the reading. */
const readPast = Effect.fnUntraced(function* <K, V, RD, RE, R>(
  client: ClientService,
  topic: TableTopic<K, V, RD, RE>,
  to: Point,
  options: AtOptions<R>,
  keeps: Keeps,
  context: Context.Context<RD | R>,
  progress: ReadProgress
) {
  const { name } = topic
  const { partitions } = options
  const clock = yield* Clock.Clock
  const view = yield* TopicView.acquire(client, name)
  const metrics = Metrics.make(name, unseen(context as Context.Context<never>))
  const empty = () => new LogContents<K, V>(keeps)
  const applier = Applier.make({
    topic,
    context,
    onDecodeError: options.onDecodeError ?? "skip",
    metrics,
    cell: new Cell<K, V, ReaderError, LogContents<K, V>>({
      name,
      contents: empty(),
      same: Object.is,
      capacity: 1
    }),
    empty,
    report: yield* rateLimited
  })
  const read = PastReading.make({
    view,
    topic: name,
    clock,
    settings: { ...readSettingsOf(options), limits: { maxEntries: options.maxEntries, maxBytes: options.maxBytes } },
    range: { partitions: partitions === undefined ? undefined : new Set(partitions), from: undefined, to },
    applier,
    metrics,
    connectivity: new Connectivity(name, clock, metrics),
    waiters: new OffsetWaiters(applier.outdone, clock),
    onSession: (session) => {
      progress.session = session
    }
  })
  let generation: number | undefined
  for (let attempt = 1; ; attempt++) {
    const seen = yield* describeWithin(client, name, options.timeout ?? DEFAULT_TIMEOUT)
    generation ??= seen.generation
    const change = view.change()
    if (seen.generation !== generation && change !== undefined)
      return yield* new TopicRecreated({ topic: name, ...change })
    yield* checkRange(name, seen.partitions.length, partitions, to)
    const past = yield* read(seen).pipe(
      Effect.scoped,
      Effect.catchTags({
        // What was read is not what is there: it is read again.
        DataLoss: ({ message }) => Effect.sync(() => void (progress.lastReason = message)),
        KeysMoved: ({ message }) => Effect.sync(() => void (progress.lastReason = message)),
        NotStarted: ({ reason }) => Effect.fail(reason)
      })
    )
    if (past !== undefined) return past
    progress.lastReason ??= "compaction ran while it was read"
    yield* backoff(attempt)
  }
})

class PastTable<K, V, RD, RE, Entry extends TableEntry<K, V>>
  extends CellTable<K, V, never, LogContents<K, V>>
  implements Past<K, V, Entry>
{
  readonly topic: string
  readonly getEntry: Past<K, V, Entry>["getEntry"]
  readonly partitions: ReadonlyArray<PastPartition>
  readonly offsets: ReadonlyMap<number, number>
  readonly isComplete: boolean

  constructor(
    topic: TableTopic<K, V, RD, RE>,
    { contents, partitions }: NonNullable<PastReading.Past<K, V>>,
    context: Context.Context<RD>
  ) {
    const cell = new Cell<K, V, never, LogContents<K, V>>({
      name: topic.name,
      contents,
      same: sameness(topic.value, context),
      capacity: 1
    })
    cell.setStatus({ _tag: "CaughtUp" })
    super(cell)
    this.topic = topic.name
    // It has headers where the contents keep them, which is what the type says.
    this.getEntry = (key) => Effect.sync(() => Option.fromUndefinedOr(contents.entry(key) as Entry | undefined))
    this.partitions = partitions
    this.offsets = new Map(partitions.map(({ offset, partition }) => [partition, offset]))
    this.isComplete = partitions.every(({ completeFrom, offset }) => offset >= completeFrom)
  }
}
