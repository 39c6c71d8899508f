/**
 * A topic's table as it was, and what happened to one key: single readings of a log, which end and leave nothing behind. They
 * are parts of `KafkaTable`, as `KafkaTable.at` and `KafkaTable.history`.
 *
 * @since 0.1.0
 */
import { Clock, Context, Duration, Effect, Metric, Option, Scope, Stream } from "effect"
import { backoff } from "./internal/backoff.ts"
import { Connectivity } from "./internal/log/connectivity.ts"
import * as Metrics from "./internal/log/metrics.ts"
import { Outdone } from "./internal/log/outdone.ts"
import { OffsetWaiters } from "./internal/log/offsetWaiters.ts"
import type { LogPoint as Point } from "./internal/log/range.ts"
import type { FetchSettings, Session } from "./internal/log/session.ts"
import * as Check from "./internal/options.ts"
import { printed } from "./internal/defects.ts"
import { partitionOf } from "./internal/records/partitioner.ts"
import * as Applier from "./internal/replica/applier.ts"
import * as Decoding from "./internal/replica/decoding.ts"
import * as KeyHistory from "./internal/replica/keyHistory.ts"
import { checkFetch, type FetchOptions, fetchSettingsOf } from "./internal/replica/fetchOptions.ts"
import { emptyContents, type Keeps, type LogContents } from "./internal/replica/logContents.ts"
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
import type { Header, TableEntry, WithHeaders } from "./TableEntry.ts"
import {
  type DecodeError,
  EncodeError,
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
  /** Where it is not the session's own: offsets read so far, and in all. */
  read: (() => Pick<ReadTimeout, "replayed" | "target">) | undefined
  lastReason: string | undefined

  summary(): Pick<ReadTimeout, "replayed" | "target" | "reasons"> {
    const partitions = [...(this.session?.partitions.values() ?? [])]
    const away = partitions.flatMap(({ disconnectedBecause }) => disconnectedBecause ?? [])
    const reasons = this.lastReason === undefined ? away : [...away, this.lastReason]
    return {
      ...(this.read?.() ?? this.session?.progress() ?? { replayed: 0, target: 0 }),
      reasons: [...new Set(reasons)]
    }
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
  const empty = () => emptyContents(topic, keeps)
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

// ---------------------------------------------------------------------------------------------------------------------
// the records of a key
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What is left in the log of a key: its records, and where the log of a partition ended.
 *
 * @category models
 * @since 0.1.0
 */
export type HistoryItem<V> = HistoryItem.Set<V> | HistoryItem.Deleted | HistoryItem.Undecodable | HistoryItem.End

/**
 * The members of `HistoryItem`.
 *
 * @since 0.1.0
 */
export declare namespace HistoryItem {
  /**
   * Where a record lies, and what else it says.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Place {
    readonly partition: number
    readonly offset: number
    /** Milliseconds since the epoch; -1 where neither producer nor topic stamped it. */
    readonly timestamp: number
    readonly headers: ReadonlyArray<Header>
  }

  /**
   * The key was set.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Set<V> extends Place {
    readonly _tag: "Set"
    readonly value: V
  }

  /**
   * The key was deleted.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Deleted extends Place {
    readonly _tag: "Deleted"
  }

  /**
   * The key was set to something that does not decode.
   *
   * @category models
   * @since 0.1.0
   */
  export interface Undecodable extends Place {
    readonly _tag: "Undecodable"
    readonly error: DecodeError
    /** The bytes of the value. */
    readonly raw: Uint8Array
  }

  /**
   * A partition has been read to its end.
   *
   * @category models
   * @since 0.1.0
   */
  export interface End {
    readonly _tag: "End"
    readonly partition: number
    /** Where the log began: what was deleted below it is not known. */
    readonly logStart: number
    /** Where it ended when the reading began. */
    readonly offset: number
    /** From this offset on nothing was removed: no record of the key is missing that lies there or later. */
    readonly completeFrom: number
  }
}

/**
 * Options of `history`.
 *
 * @category options
 * @since 0.1.0
 */
export interface HistoryOptions {
  /**
   * The partitions to read, one after another: the one that the key belongs to today, all of them, or these. Keys lie in
   * others where the topic has grown, or producers place them otherwise. Default: `own`.
   */
  readonly partitions?: "own" | "all" | ReadonlyArray<number> | undefined
  /** How long nothing may be answered, before the stream fails with `ReadTimeout`. Default: 30 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** Default: as the comments of `FetchOptions` say. */
  readonly fetch?: FetchOptions | undefined
}

const checkHistoryOptions = Check.record<HistoryOptions>({
  partitions: Check.either(Check.oneOf("own", "all"), checkPartitions),
  timeout: checkTimeout,
  fetch: checkFetch
})

/**
 * What `history` can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type HistoryError = ReadError | EncodeError

/**
 * Every record of a key that is still in the log, oldest first: what it was set to, when it was deleted, with places, timestamps
 * and headers. It ends where the log ended when it began.
 *
 * **When to use**
 *
 * For who changed it, and when. Where programs name themselves in a header, this shows it.
 *
 * **Details**
 *
 * It reads the key's partition once, from its start, and looks at the bytes of keys only; nothing but the records of this key is
 * decoded, and no more than an answer is held. The reading goes on as elements are asked for. A value that does not decode is
 * an element that says so. Records of aborted transactions are none.
 *
 * The last element of each partition is its `End`. Its `completeFrom` is the offset from which on no record is missing:
 * below it, compaction has removed some of the partition's records, and perhaps of this key. Where it is 0, this is all that
 * ever was.
 *
 * **Gotchas**
 *
 * The key is looked for as its codec encodes it: records of other bytes that decode to the same are not found.
 *
 * **Example** (Who changed the price of apples)
 *
 * ```ts
 * import { Console, Schema, Stream } from "effect"
 * import { KafkaTable, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * export const program = KafkaTable.history(prices, "apple").pipe(
 *   Stream.runForEach((item) => {
 *     switch (item._tag) {
 *       case "Set":
 *         return Console.log(new Date(item.timestamp), item.value, item.headers)
 *       case "Deleted":
 *         return Console.log(new Date(item.timestamp), "deleted")
 *       case "Undecodable":
 *         return Console.log(new Date(item.timestamp), item.error.message)
 *       case "End":
 *         return Console.log(`complete from offset ${item.completeFrom} on`)
 *     }
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const history = <K, V, RD, RE>(
  topic: TableTopic<K, V, RD, RE>,
  key: K,
  givenOptions: HistoryOptions = {}
): Stream.Stream<HistoryItem<V>, HistoryError, KafkaClient | RD | RE> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const context = yield* Effect.context<RD>()
      yield* Check.taken(checkTopic, topic, undefined, "topic")
      const { name } = topic
      const options = yield* Check.taken(checkHistoryOptions, givenOptions, name)
      const bytes = yield* Effect.mapError(
        topic.key.encode(key),
        ({ detail }) => new EncodeError({ topic: name, part: "key", detail: printed(detail) })
      )
      const waited = Duration.toMillis(options.timeout ?? DEFAULT_TIMEOUT)
      const progress = new ReadProgress()
      const inTime = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | ReadTimeout> =>
        Effect.timeoutOrElse(effect, {
          duration: waited,
          orElse: () => Effect.fail(new ReadTimeout({ topic: name, waited, ...progress.summary() }))
        })
      const clock = yield* Clock.Clock
      const view = yield* TopicView.acquire(client, name)
      const seen = yield* describeWithin(client, name, waited)
      const count = seen.partitions.length
      const wanted = yield* wantedOf(name, bytes, count, options.partitions ?? "own")
      const metrics = Metrics.make(name, unseen(context as Context.Context<never>))
      const read = KeyHistory.make<K, V>({
        view,
        topic: name,
        clock,
        settings: readSettingsOf({ fetch: options.fetch }),
        decoding: Decoding.make({ topic, context, onDecodeError: "skip", metrics, report: yield* rateLimited }),
        metrics,
        connectivity: new Connectivity(name, clock, metrics),
        waiters: new OffsetWaiters(new Outdone(), clock),
        onSession: (session) => {
          progress.session = session
        }
      })
      const scope = yield* Effect.scope
      const reading = yield* inTime(Effect.provideService(read(seen, bytes, wanted), Scope.Scope, scope))
      progress.read = reading.progress
      return Stream.paginate(undefined, () =>
        Effect.map(
          inTime(reading.next),
          (items) => [items ?? [], items === undefined ? Option.none() : Option.some(undefined)] as const
        )
      )
    })
  ).pipe(
    Stream.catchTags({
      NotStarted: ({ reason }) => Stream.fail(reason),
      KeysMoved: Stream.die
    })
  )

/** The partitions that are to be read for a key. */
const wantedOf = (
  topic: string,
  key: Uint8Array,
  count: number,
  partitions: NonNullable<HistoryOptions["partitions"]>
): Effect.Effect<ReadonlyArray<number>, InvalidOption> => {
  if (partitions === "own") return Effect.succeed([partitionOf(key, 0, key.length, count)])
  const wanted = partitions === "all" ? Array.from({ length: count }, (_, partition) => partition) : partitions
  return Effect.as(checkRange(topic, count, wanted, { _tag: "Time", at: 0 }), wanted)
}
