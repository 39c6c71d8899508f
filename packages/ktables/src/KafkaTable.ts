/**
 * A Kafka topic as an in-memory table: complete, live, typed.
 *
 * Every process that builds one reads the whole topic, keeps the last value of every key, and follows the log from then
 * on. No consumer group, no commits, and no local files but for the option `checkpoint`.
 *
 * **When to use**
 *
 * Use for data that is small enough to be in memory and that many processes need at hand: service registries, feature
 * flags, configuration, price lists.
 *
 * **The contract** (`docs/contract.md` names the tests of each guarantee)
 *
 * 1. Built means complete as of the end offsets at start (under `read_committed` the last stable offset), unless the
 *    status is `Degraded`.
 * 2. Afterwards updates show within milliseconds; an acknowledged write is readable after `awaitOffset(ack)` or `barrier`.
 * 3. A snapshot is immutable and of one version.
 * 4. The last write wins over the full log, whether or not the broker has compacted it.
 * 5. Null is a tombstone; empty bytes are data.
 * 6. A failed reader freezes contents and says why; transient outages do not fail it.
 * 7. Changes are gap-free and ordered per key.
 * 8. Aborted transactions are never visible under `read_committed`.
 * 9. No rebuild is ever seen half-done.
 * 10. Acknowledged writes are in the log exactly once and in order per key (`KafkaTableWriter`).
 * 11. A derived table is of its source's version whenever anybody looks (`Table`).
 * 12. A start from a checkpoint shows what a full replay would show; one that cannot be proven is not used (`CheckpointStore`).
 * 13. A remote table never goes back, but at a marked reset (`@effect-ktables/http/RemoteTable`).
 *
 * @since 0.1.0
 */
import { Clock, Cause, Context, Deferred, Duration, Effect, Exit, Layer, Option, Schedule, type Scope } from "effect"
import * as CheckpointFile from "./internal/checkpoint/checkpointFile.ts"
import * as Applier from "./internal/replica/applier.ts"
import * as Metrics from "./internal/log/metrics.ts"
import { described } from "./internal/operators/described.ts"
import { isSame } from "./internal/operators/isSame.ts"
import { checkFetch, type FetchOptions, fetchSettingsOf } from "./internal/replica/fetchOptions.ts"
import { checkOnDecodeError, type OnDecodeError, type RawRecord } from "./internal/replica/onDecodeError.ts"
import { checkPartitions, checkPoint, type LogPoint, pointOf } from "./internal/replica/points.ts"
import { rateLimited } from "./internal/replica/reports.ts"
import * as Checkpointing from "./internal/replica/checkpointing.ts"
import { emptyContents, type Keeps, type LogContents } from "./internal/replica/logContents.ts"
import { sameness } from "./internal/replica/sameness.ts"
import { Cell } from "./internal/table/cell.ts"
import { CellTable } from "./internal/table/cellTable.ts"
import type { Contents } from "./internal/table/contents.ts"
import * as Replica from "./internal/replica/replica.ts"
import { ErrorCode } from "./internal/protocol/errorCodes.ts"
import * as Check from "./internal/options.ts"
import { checkTopic } from "./internal/topic/validate.ts"
import { describeWithin, type Watch } from "./internal/topic/describe.ts"
import * as TopicView from "./internal/topic/topicView.ts"
import {
  checkEnsureOptions,
  DEFAULT_START_TIMEOUT,
  type EnsureOptions,
  type EnsureOutcome,
  ensureWith,
  isCreated
} from "./internal/topic/ensureTopic.ts"
import { CheckpointStore } from "./CheckpointStore.ts"
import { BrokerError } from "./KafkaError.ts"
import { type Isolation, KafkaClient, type Service as ClientService } from "./KafkaClient.ts"
import type { Table } from "./Table.ts"
import type { TableEntry, WithHeaders as EntryWithHeaders } from "./TableEntry.ts"
import {
  type AwaitOffsetError,
  type BarrierError,
  CatchUpTimeout,
  InvalidOption,
  NotStarted,
  ReaderDied,
  type ReaderError,
  type TableClosed,
  TopicDeleted
} from "./TableError.ts"
import type { TableStatus } from "./TableStatus.ts"
import type { TableTopic } from "./TableTopic.ts"
import type { WriteAck } from "./WriteAck.ts"

const TypeId = "~effect-ktables/KafkaTable"

// ---------------------------------------------------------------------------------------------------------------------
// models
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What a table has counted since it was built.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly entries: number
  /** Records read, tombstones and undecodable ones included; aborted ones and control markers are not. */
  readonly records: number
  readonly tombstones: number
  /** Records without a key, which a table cannot hold. */
  readonly keyless: number
  /** While loading only the last record of each key is decoded, so only those count. */
  readonly keyDecodeErrors: number
  readonly valueDecodeErrors: number
  /** Records of a key that was also seen in another partition. */
  readonly foreign: number
  /** Bytes of record batches, as fetched. */
  readonly bytes: number
  readonly rebuilds: number
  /**
   * Times a load began again without being a rebuild: of one partition, since its leader moved meanwhile or tombstones may
   * have expired unread, or of the topic, since it turned out to be another before any of it was shown.
   */
  readonly reloads: number
  /** Milliseconds: the longest time the table, with all that is derived from it, kept the event loop to itself. */
  readonly longestSlice: number
  /** How long the last load took, and how many records it replayed; none before the first. */
  readonly catchUp: Option.Option<{ readonly duration: Duration.Duration; readonly replayed: number }>
}

/**
 * Where the reader stands in a partition.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionHealth {
  readonly partition: number
  /** One past the last offset applied. */
  readonly position: number
  /** -1 before the first answer. */
  readonly highWatermark: number
  /** Behind it lie open transactions; -1 before the first answer. */
  readonly lastStableOffset: number
  /** Offsets between what was read and the high watermark. */
  readonly lag: number
  /** The leader's broker id; -1 when there is none. */
  readonly leader: number
  readonly connected: boolean
  /** Milliseconds since the epoch. */
  readonly disconnectedSince: Option.Option<number>
  /** Why it is not connected, with the address that was tried last. */
  readonly disconnectedBecause: Option.Option<string>
  /**
   * While a quota holds this client back: until when the broker asked to be left alone, in milliseconds since the epoch.
   * The partition is connected meanwhile, and read on after that.
   */
  readonly throttledUntil: Option.Option<number>
}

/**
 * How a table is doing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Health {
  readonly status: TableStatus
  /** What the start found of its topic: created, as declared, or not. None under `ensureTopic: false`, and before it was looked at. */
  readonly ensured: Option.Option<EnsureOutcome>
  readonly stats: Stats
  /** Offsets replayed and to replay until caught up. */
  readonly progress: { readonly replayed: number; readonly target: number }
  /** Whether the leaders of all partitions answer. */
  readonly connected: boolean
  /** Milliseconds since the epoch. */
  readonly disconnectedSince: Option.Option<number>
  /** What went wrong last, whether it was got over or not; at a time in milliseconds since the epoch. */
  readonly lastError: Option.Option<{ readonly at: number; readonly detail: string }>
  readonly partitions: ReadonlyArray<PartitionHealth>
  /** None without the option `checkpoint`. */
  readonly checkpoint: Option.Option<CheckpointHealth>
}

/**
 * How a table's checkpoint is doing.
 *
 * @category models
 * @since 0.1.0
 */
export interface CheckpointHealth {
  /** The partitions that the last load went on with from where the checkpoint ended. */
  readonly resumed: ReadonlyArray<number>
  /** What of a checkpoint was not used, and why: a partition was read from its log's start; without one, all were. */
  readonly discarded: ReadonlyArray<{ readonly partition: Option.Option<number>; readonly reason: string }>
  /** When it was saved last, in milliseconds since the epoch; none before this table has saved it. */
  readonly savedAt: Option.Option<number>
  /** Its size in the store. */
  readonly bytes: number
  /** Why it is not being saved: a store that fails, another process that writes it, or a table that gets none. */
  readonly problem: Option.Option<string>
}

/**
 * A live table of a topic. `Entry` is what it knows of each entry: with headers where it was made with `headers: true`.
 *
 * @category models
 * @since 0.1.0
 */
export interface KafkaTable<in out K, out V, out Entry extends TableEntry<K, V> = TableEntry<K, V>> extends Table<
  K,
  V,
  ReaderError
> {
  readonly [TypeId]: typeof TypeId
  readonly topic: string

  /** The value with the place of its record in the log, its timestamp, and its headers where the table keeps them. */
  readonly getEntry: (key: K) => Effect.Effect<Option.Option<Entry>>
  /** Status, counts, progress and the place of every partition's reader, as of now. */
  readonly health: Effect.Effect<Health>
  /**
   * Succeeds once an acknowledged write is readable, without a round trip to a broker. Fails with `DataLoss` when the
   * record is no longer in the log, or another stands in its place.
   */
  readonly awaitOffset: (ack: WriteAck) => Effect.Effect<void, AwaitOffsetError>
  /**
   * Succeeds once everything that was in the log at the call is readable. With a `timeout` it fails with `BarrierTimeout`,
   * which says what each partition still waits for; an open transaction can hold a barrier up.
   */
  readonly barrier: (options?: BarrierOptions) => Effect.Effect<void, BarrierError>
}

/**
 * A table of a topic that keeps headers.
 *
 * @category models
 * @since 0.1.0
 */
export interface WithHeaders<in out K, out V> extends KafkaTable<K, V, EntryWithHeaders<K, V>> {}

/**
 * What a table knows of its entries, by its option `headers`.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry<K, V, Headers extends boolean> = [Headers] extends [true] ? EntryWithHeaders<K, V> : TableEntry<K, V>

/**
 * Any table of a topic.
 *
 * @category models
 * @since 0.1.0
 */
// oxlint-disable-next-line typescript/no-explicit-any
export type Any = KafkaTable<any, any>

/**
 * Tells whether a value is a table of a topic.
 *
 * @category guards
 * @since 0.1.0
 */
export const isKafkaTable = (u: unknown): u is Any => typeof u === "object" && u !== null && TypeId in u

// ---------------------------------------------------------------------------------------------------------------------
// options
// ---------------------------------------------------------------------------------------------------------------------

/**
 * How building a table and catching up go together.
 *
 * - `await`: building ends when the table is complete. When that takes longer than `timeout` (default 30 seconds), it
 *   ends `Degraded` with what was read so far (`degrade`, the default), or fails with `CatchUpTimeout` (`fail`).
 * - `background`: building ends at once, whether or not a broker can be reached; `awaitCaughtUp` and `status` tell more.
 *
 * @category options
 * @since 0.1.0
 */
export type CatchUp =
  | {
      readonly mode: "await"
      readonly timeout?: Duration.Input | undefined
      readonly onTimeout?: "degrade" | "fail" | undefined
    }
  | { readonly mode: "background" }

export type { FetchOptions, LogPoint, OnDecodeError, RawRecord }

/**
 * What to do when the log is no longer the one that was read.
 *
 * - `rebuild`: read it again beside the old contents, swap, and publish the difference.
 * - `freeze`: keep the contents for good; status `Failed`, whatever `restart` says.
 * - `fail`: status `Failed`; `restart` applies.
 *
 * @category options
 * @since 0.1.0
 */
export type OnLogChanged = Replica.Recovery

/**
 * Options of a barrier.
 *
 * @category options
 * @since 0.1.0
 */
export interface BarrierOptions {
  /** Default: none, it waits for as long as it takes. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * Options of a table.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<
  out R = never,
  out Headers extends boolean = boolean,
  out Checkpoint extends CheckpointOptions | undefined = undefined
> {
  /** Default: `{ mode: "await", timeout: "30 seconds", onTimeout: "degrade" }`. */
  readonly catchUp?: CatchUp | undefined
  /** How long to look for a broker that answers before failing with `Unreachable`. Default: 30 seconds. */
  readonly startTimeout?: Duration.Input | undefined
  /**
   * Whether a missing topic is created and an existing one's settings are checked; `false` does neither.
   * Default: `{ onPolicyMismatch: "warn" }`; a missing topic is created, with a warning unless `create` is true.
   */
  readonly ensureTopic?: false | EnsureOptions | undefined
  /** Default: `read_committed`. */
  readonly isolation?: Isolation | undefined
  /**
   * Whether the headers of each entry's record are kept, for `getEntry` and `withMetadata`. They take memory; a table that
   * does not keep them does not look at them. Default: false.
   */
  readonly headers?: Headers | undefined
  /** Default: `skip`. */
  readonly onDecodeError?: OnDecodeError<R> | undefined
  /**
   * The partitions that are read, and of which the table has entries. One that the topic does not have is read as soon as it
   * is added; until then a warning is logged at the start. Waits for writes to other partitions are refused with
   * `NotAwaitable`, barriers and `health` speak of these. A key counts by what these partitions say of it, whatever lies in
   * others. Default: all.
   */
  readonly partitions?: ReadonlyArray<number> | undefined
  /**
   * Where reading begins: the table has only what was written from there on, and a deletion of something older deletes
   * nothing. Partitions of which no offset is given, that are added later, or whose log begins above it, are read from their
   * log's start; where a log ends below its offset, all that comes is read. A topic that is made again is read from its start
   * where offsets were given, since all of it is newer. Default: the logs' starts.
   */
  readonly from?: LogPoint | undefined
  /** Records were truncated, or deleted before they were read. Default: `rebuild`. */
  readonly onDataLoss?: OnLogChanged | undefined
  /** The topic was deleted and made again, or the address belongs to another cluster. Default: `rebuild`. */
  readonly onTopicRecreated?: OnLogChanged | undefined
  /** When a failed reader starts again. Default: never. */
  readonly restart?: Schedule.Schedule<unknown, ReaderError> | undefined
  /** This process's rack: a follower in it is read from where the brokers offer one (KIP-392). Default: none. */
  readonly rack?: string | undefined
  /** Default: as the comments of `FetchOptions` say. */
  readonly fetch?: FetchOptions | undefined
  /** How often the topic is described: added partitions are found within it. Default: 30 seconds. */
  readonly metadataRefresh?: Duration.Input | undefined
  /**
   * How long the topic keeps tombstones (`delete.retention.ms`), where this program may not read its settings. A table that
   * could not read for longer reads the topic again, since deletions may be gone. Default: what the topic says, and 1 minute
   * where that cannot be read.
   */
  readonly deleteRetention?: Duration.Input | undefined
  /**
   * Entries that the table may have: with more it fails with `TableTooLarge`, and keeps what it had. An entry is a key that
   * can be read; deletions and records that do not decode are none. An incomplete table, of which records may be deleted or
   * superseded further on, may have twice as many: beyond that a load is given up where it stands. Default: no limit.
   */
  readonly maxEntries?: number | undefined
  /**
   * As `maxEntries`: bytes of the entries' keys, values and kept headers, as they are in the log after decompression. What they take
   * as decoded objects is not counted. Default: no limit.
   */
  readonly maxBytes?: number | undefined
  /** Changes a slow subscriber may be behind before it is handed a fresh snapshot. Default: 16,384. */
  readonly changesCapacity?: number | undefined
  /**
   * Keeps what was read in a `CheckpointStore`, so that the next start reads only what was written since, where that is
   * proven to come to the same. Default: none.
   */
  readonly checkpoint?: Checkpoint | undefined
}

/**
 * How a table keeps a checkpoint.
 *
 * **Details**
 *
 * It is written beside the live table, and once more when that is closed. Nothing about it delays or fails the table: what
 * cannot be used is read from the topic, what cannot be written is one line in the log, and `health` says both. Tables of
 * which contract 4 promises nothing get none: under `read_uncommitted`, and with key codecs for which different bytes may be
 * one key. Nor do those that begin with an offset or a time (`from`).
 *
 * @category options
 * @since 0.1.0
 */
export interface CheckpointOptions {
  /** How long what was read may wait to be saved. Default: 5 seconds. */
  readonly every?: Duration.Input | undefined
  /** What the checkpoint is called in its store; two tables need two names. Default: the topic's name. */
  readonly name?: string | undefined
}

/**
 * What a table needs beside its client and its codecs, by its option `checkpoint`.
 *
 * @category options
 * @since 0.1.0
 */
export type Needs<Checkpoint extends CheckpointOptions | undefined> = [Checkpoint] extends [undefined]
  ? never
  : CheckpointStore

export {
  at,
  type AtError,
  type AtOptions,
  history,
  type HistoryError,
  type HistoryItem,
  type HistoryOptions,
  type Past,
  type PastPartition,
  type ReadError
} from "./KafkaTablePast.ts"

const checkRecovery = Check.oneOf("rebuild", "freeze", "fail")

/** Milliseconds between two descriptions of the topic, at least: more would only load the brokers. */
const LEAST_REFRESH = 100

type AnyOptions = Options<unknown, boolean, CheckpointOptions | undefined>

/** @internal */
export const checkOptions = Check.record<AnyOptions>({
  catchUp: Check.tagged("mode", {
    await: Check.record<Extract<CatchUp, { mode: "await" }>>({
      mode: Check.oneOf("await"),
      timeout: Check.duration({ min: 0 }),
      onTimeout: Check.oneOf("degrade", "fail")
    }),
    background: Check.record<Extract<CatchUp, { mode: "background" }>>({ mode: Check.oneOf("background") })
  }),
  startTimeout: Check.duration({ min: 1 }),
  ensureTopic: Check.either(Check.oneOf(false), checkEnsureOptions),
  isolation: Check.oneOf("read_committed", "read_uncommitted"),
  headers: Check.boolean,
  onDecodeError: checkOnDecodeError,
  partitions: checkPartitions,
  from: checkPoint,
  onDataLoss: checkRecovery,
  onTopicRecreated: checkRecovery,
  restart: Check.satisfies("a Schedule", Schedule.isSchedule),
  rack: Check.text,
  fetch: checkFetch,
  metadataRefresh: Check.duration({ min: LEAST_REFRESH }),
  deleteRetention: Check.duration({ min: 1 }),
  maxEntries: Check.integer({ min: 1 }),
  maxBytes: Check.integer({ min: 1 }),
  changesCapacity: Check.integer({ min: 1 }),
  checkpoint: Check.record<CheckpointOptions>({ every: Check.duration({ min: 100 }), name: Check.text })
})

const checkAck = Check.fields<WriteAck>({
  topic: Check.required(Check.text),
  topicId: Check.text,
  partition: Check.required(Check.integer({ min: 0 })),
  offset: Check.integer({ min: 0 }),
  timestamp: Check.satisfies("a number", Number.isFinite),
  producerId: Check.satisfies("decimal digits", (value) => typeof value === "string" && /^\d{1,19}$/.test(value)),
  producerEpoch: Check.integer({ min: -1 }),
  sequence: Check.integer({ min: -1 })
})

const checkBarrierOptions = Check.record<BarrierOptions>({
  timeout: Check.duration({ min: 0 })
})

/**
 * What making a table can fail with: it did not start, its reader failed before it was complete, or the time to catch up ran
 * out where that is to fail.
 *
 * @category errors
 * @since 0.1.0
 */
export type StartError =
  | NotStarted["reason"]
  | Exclude<ReaderError, NotStarted>
  | InvalidOption
  | CatchUpTimeout
  | TableClosed

// ---------------------------------------------------------------------------------------------------------------------
// constructors
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Builds a table in the current scope; closing the scope stops its reader in bounded time.
 *
 * **Details**
 *
 * Fails with a typed error when the topic is missing and not to be created (`TopicNotFound`), not allowed
 * (`NotAuthorized`), or out of reach (`Unreachable`, `AuthenticationRefused`), and when the reader fails before the table
 * is complete. The services that the codecs need to decode are captured here.
 *
 * **Gotchas**
 *
 * By default a table that is not complete within 30 seconds is built all the same, `Degraded` and logged: see `CatchUp`.
 *
 * **Example** (Read a table)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * const program = Effect.scoped(
 *   Effect.gen(function* () {
 *     const table = yield* KafkaTable.make(prices)
 *     return yield* table.get("apple")
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fn("KafkaTable.make")(function* <
  K,
  V,
  RD,
  RE,
  R = never,
  const Headers extends boolean = false,
  const Checkpoint extends CheckpointOptions | undefined = undefined
>(
  topic: TableTopic<K, V, RD, RE>,
  given: Options<R, Headers, Checkpoint> = {}
): Effect.fn.Return<
  KafkaTable<K, V, Entry<K, V, Headers>>,
  StartError,
  KafkaClient | RD | R | Needs<Checkpoint> | Scope.Scope
> {
  const client = yield* KafkaClient
  const context = yield* Effect.context<RD | R | Needs<Checkpoint>>()
  yield* Check.taken(checkTopic, topic, undefined, "topic")
  const name = topic.name
  const options = yield* Check.taken(checkOptions, given, name)
  const metrics = Metrics.make(name, context as Context.Context<never>)
  const keeps: Keeps = { sizes: options.maxBytes !== undefined, headers: options.headers === true }
  const empty = () => emptyContents(topic, keeps)
  const cell = new Cell<K, V, ReaderError, LogContents<K, V>>({
    name,
    contents: empty(),
    same: sameness(topic.value, context),
    capacity: options.changesCapacity ?? 16_384,
    position: () => [reader.position()]
  })
  metrics.status(cell.status._tag)
  const { describe, ensured, start } = makeStart(client, topic, options)
  const settings = settingsOf(options)
  const applier = Applier.make({
    topic,
    context,
    onDecodeError: options.onDecodeError ?? "skip",
    metrics,
    cell,
    empty,
    report: yield* rateLimited
  })
  const checkpointing =
    options.checkpoint === undefined
      ? undefined
      : yield* checkpointingOf(topic, options.checkpoint, options.from, context as Context.Context<never>, {
          metrics,
          isolation: settings.isolation,
          headers: applier.needsHeaders,
          spread: applier.spread
        })
  const reader: Replica.Replica = yield* Replica.make<K, V>({
    view: yield* TopicView.acquire(client, name),
    topic: name,
    settings,
    applier,
    metrics,
    cell,
    checkpointing,
    start,
    describe
  })

  // Registered before the reader's fiber, so it runs once that fiber has ended.
  yield* Effect.addFinalizer(() =>
    Effect.andThen(
      reader.close,
      Effect.sync(() => cell.close())
    )
  )
  yield* reader.run.pipe(
    Effect.onExit((exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit) || Cause.hasInterruptsOnly(exit.cause)) return
        const error = Cause.findErrorOption(exit.cause)
        cell.fail(Option.getOrElse(error, () => new ReaderDied({ topic: name, cause: Cause.squash(exit.cause) })))
      })
    ),
    Effect.ignore,
    Effect.forkScoped
  )
  yield* Effect.forkScoped(reader.connectivity.report)
  yield* started(cell, reader, options.catchUp ?? { mode: "await" })
  return new KafkaTableImpl<K, V, Entry<K, V, Headers>>(cell, reader, metrics, ensured, checkpointing)
})

/** Why a table gets no checkpoint, since its contents may be no function of its log; undefined where they are. */
const refusalOf = (
  { key }: TableTopic<unknown, unknown, unknown, unknown>,
  isolation: Isolation,
  from: LogPoint | undefined
): string | undefined => {
  if (from !== undefined) return "it has only a part of its log (from)"
  if (isolation !== "read_committed") return "it shows records of transactions that may be aborted (read_uncommitted)"
  return key.isInjective ? undefined : "different bytes may be one key by its codec"
}

/** Begins to read the checkpoint, beside connecting. */
const checkpointingOf = Effect.fnUntraced(function* <K, V, RD, RE>(
  topic: TableTopic<K, V, RD, RE>,
  { every = "5 seconds", name = topic.name }: CheckpointOptions,
  from: LogPoint | undefined,
  context: Context.Context<never>,
  options: Pick<Parameters<typeof Checkpointing.make>[0], "metrics" | "isolation" | "headers" | "spread">
): Effect.fn.Return<Checkpointing.Checkpointing, InvalidOption, Scope.Scope> {
  const store = Context.getOrUndefined(context, CheckpointStore)
  if (store === undefined) {
    return yield* new InvalidOption({
      topic: topic.name,
      option: "checkpoint",
      given: "an object",
      expected: "nothing where no CheckpointStore is provided"
    })
  }
  const refusal = refusalOf(topic as TableTopic<unknown, unknown, unknown, unknown>, options.isolation, from)
  if (refusal !== undefined) yield* Effect.logWarning(`${topic.name}: it gets no checkpoint: ${refusal}`)
  const clock = yield* Clock.Clock
  return yield* Checkpointing.make({
    ...options,
    topic: topic.name,
    clock,
    every: Duration.toMillis(every),
    refusal,
    open: CheckpointFile.open(store, name)
  })
})

/** Waits as long as `catchUp` wants. */
const started = Effect.fnUntraced(function* <K, V, C extends Contents<K, V>>(
  cell: Cell<K, V, ReaderError, C>,
  reader: Replica.Replica,
  catchUp: CatchUp
): Effect.fn.Return<void, StartError> {
  if (catchUp.mode === "background") return
  const waited = Duration.toMillis(catchUp.timeout ?? "30 seconds")
  const inTime = yield* Deferred.await(reader.started).pipe(
    Effect.andThen(Effect.timeoutOption(cell.awaitCaughtUp, waited)),
    Effect.catchTag("NotStarted", ({ reason }) => Effect.fail(reason))
  )
  if (Option.isSome(inTime)) return
  const late = new CatchUpTimeout({ topic: cell.name, waited, ...reader.progress(), away: reader.away() })
  if (catchUp.onTimeout === "fail") return yield* late
  yield* reader.degrade(late)
})

class KafkaTableImpl<K, V, Entry extends TableEntry<K, V>>
  extends CellTable<K, V, ReaderError, LogContents<K, V>>
  implements KafkaTable<K, V, Entry>
{
  readonly [TypeId]: typeof TypeId = TypeId
  readonly topic: string
  readonly getEntry: KafkaTable<K, V, Entry>["getEntry"]
  readonly health: Effect.Effect<Health>
  readonly awaitOffset: KafkaTable<K, V>["awaitOffset"]
  readonly barrier: KafkaTable<K, V>["barrier"]

  constructor(
    cell: Cell<K, V, ReaderError, LogContents<K, V>>,
    reader: Replica.Replica,
    metrics: Metrics.ReaderMetrics,
    ensured: () => Option.Option<EnsureOutcome>,
    checkpointing: Checkpointing.Checkpointing | undefined
  ) {
    super(cell)
    const topic = cell.name
    this.topic = topic
    // It has headers where the contents keep them, which is what the type says.
    this.getEntry = (key) => Effect.sync(() => Option.fromUndefinedOr(cell.contents.entry(key) as Entry | undefined))
    this.health = Effect.map(Clock.currentTimeMillis, (now) => ({
      status: cell.status,
      ensured: ensured(),
      stats: statsOf(metrics, reader, cell.contents.size),
      progress: reader.progress(),
      connected: Option.isNone(reader.connectivity.disconnectedSince),
      disconnectedSince: reader.connectivity.disconnectedSince,
      lastError: reader.connectivity.lastError,
      checkpoint: Option.map(Option.fromUndefinedOr(checkpointing?.report()), checkpointHealthOf),
      partitions: reader.partitions().map((partition) => healthOf(partition, now))
    }))
    this.awaitOffset = (ack) => Effect.flatMap(Check.taken(checkAck, ack, topic, "ack"), reader.awaitOffset)
    this.barrier = (options) => {
      if (options === undefined) return reader.barrier(undefined)
      return Effect.flatMap(Check.taken(checkBarrierOptions, options, topic), ({ timeout }) =>
        reader.barrier(timeout === undefined ? undefined : Duration.toMillis(timeout))
      )
    }
  }
}

const settingsOf = ({ fetch, ...options }: AnyOptions): Replica.Settings => ({
  isolation: options.isolation ?? "read_committed",
  range: {
    partitions: options.partitions === undefined ? undefined : new Set(options.partitions),
    from: options.from === undefined ? undefined : pointOf(options.from),
    to: undefined
  },
  rack: options.rack,
  ...fetchSettingsOf(fetch),
  metadataRefresh: Duration.toMillis(options.metadataRefresh ?? "30 seconds"),
  deleteRetention: options.deleteRetention === undefined ? undefined : Duration.toMillis(options.deleteRetention),
  onDataLoss: options.onDataLoss ?? "rebuild",
  onTopicRecreated: options.onTopicRecreated ?? "rebuild",
  restart: options.restart,
  limits: { maxEntries: options.maxEntries, maxBytes: options.maxBytes }
})

/** Between two tries to find the topic again: jittered, a second at most. */
const AGAIN = Schedule.jittered(Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")]))

/** What a table that was built waits out: brokers that are away, busy, or refuse credentials that may be renewed. */
const passes = (error: { readonly _tag: string; readonly cause?: unknown }): boolean =>
  error._tag === "Unreachable" ||
  error._tag === "AuthenticationRefused" ||
  (error._tag === "ClusterRefused" &&
    error.cause instanceof BrokerError &&
    (error.cause.isRetriable || error.cause.code === ErrorCode.UNKNOWN_SERVER_ERROR))

/** How the topic is found at first and found again later. */
const makeStart = <K, V, RD, RE>(client: ClientService, topic: TableTopic<K, V, RD, RE>, options: AnyOptions) => {
  const startTimeout = options.startTimeout ?? DEFAULT_START_TIMEOUT
  let outcome: EnsureOutcome | undefined
  const start = Effect.gen(function* () {
    let justCreated = false
    if (options.ensureTopic !== false) {
      const ensured = yield* Effect.scoped(ensureWith(client, topic, options.ensureTopic ?? {}, startTimeout))
      outcome = ensured.outcome
      justCreated = isCreated(ensured)
      if (justCreated && options.ensureTopic?.create !== true) {
        yield* Effect.logWarning(
          `${topic.name} did not exist, and this table created it, empty: is its name right? Say ensureTopic: { create: true } where that is meant, { create: false } to fail instead`
        )
      }
    }
    return yield* describeWithin(client, topic.name, startTimeout, { justCreated })
  })
  const describe = (watch: Watch) =>
    Effect.retry(describeWithin(client, topic.name, startTimeout, { watch }), { while: passes, schedule: AGAIN }).pipe(
      Effect.catchTags({
        // It was there.
        TopicNotFound: () => Effect.fail(new TopicDeleted({ topic: topic.name })),
        Unreachable: Effect.die
      })
    )
  return {
    start: Effect.mapError(start, (reason) => new NotStarted({ topic: topic.name, reason })),
    describe,
    ensured: () => Option.fromUndefinedOr(outcome)
  }
}

const statsOf = (metrics: Metrics.ReaderMetrics, reader: Replica.Replica, entries: number): Stats => {
  const { bytes, foreign, keyErrors, keyless, longestSlice, rebuilds, records, reloads, tombstones, valueErrors } =
    metrics.counts
  return {
    entries,
    records,
    tombstones,
    keyless,
    keyDecodeErrors: keyErrors,
    valueDecodeErrors: valueErrors,
    foreign,
    bytes,
    rebuilds,
    reloads,
    longestSlice,
    catchUp: Option.map(Option.fromUndefinedOr(reader.catchUp()), ({ millis, records }) => ({
      duration: Duration.millis(millis),
      replayed: records
    }))
  }
}

const checkpointHealthOf = ({
  bytes,
  discarded,
  problem,
  resumed,
  savedAt
}: Checkpointing.Report): CheckpointHealth => ({
  resumed,
  discarded: discarded.map(({ partition, reason }) => ({ partition: Option.fromUndefinedOr(partition), reason })),
  savedAt: Option.fromUndefinedOr(savedAt),
  bytes,
  problem: Option.fromUndefinedOr(problem)
})

const healthOf = (partition: ReturnType<Replica.Replica["partitions"]>[number], now: number): PartitionHealth => ({
  partition: partition.partition,
  position: partition.position,
  highWatermark: partition.highWatermark,
  lastStableOffset: partition.lastStableOffset,
  lag: partition.lag,
  leader: partition.leader,
  connected: partition.disconnectedSince === undefined,
  disconnectedSince: Option.fromUndefinedOr(partition.disconnectedSince),
  disconnectedBecause: Option.fromUndefinedOr(partition.disconnectedBecause),
  throttledUntil: partition.throttledUntil > now ? Option.some(partition.throttledUntil) : Option.none()
})

// ---------------------------------------------------------------------------------------------------------------------
// operators
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The table with what is known of each entry in the place of its value: the entry as `getEntry` gives it, with the place of
 * its record, its timestamp, and its headers where the table keeps them.
 *
 * **When to use**
 *
 * For changes, indexes, filters and sorting by when or with which headers something was written, and for `Table.expire`.
 *
 * **Details**
 *
 * It is a derived table as those of `Table`: of the source's version, and closed with its scope. A key that is written again
 * with the same value is a change here, since its record is another. Of several records of a key in one commit the last one
 * shows.
 *
 * **Example** (Who wrote the prices, by a header)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * export const program = Effect.gen(function* () {
 *   const table = yield* KafkaTable.make(prices, { headers: true })
 *   const entries = yield* KafkaTable.withMetadata(table)
 *   const byAuthor = yield* entries.pipe(
 *     Table.index(({ headers }) =>
 *       headers.flatMap(({ key, value }) => (key === "author" && value !== null ? [new TextDecoder().decode(value)] : []))
 *     )
 *   )
 *   return yield* byAuthor.get("importer")
 * }).pipe(Effect.scoped)
 * ```
 *
 * @category operators
 * @since 0.1.0
 */
export const withMetadata = <K, V, Entry extends TableEntry<K, V>>(
  table: KafkaTable<K, V, Entry>
): Effect.Effect<Table<K, Entry, ReaderError>, never, Scope.Scope> => {
  Check.takenOrThrow(isOfTopic, table, "KafkaTable.withMetadata.table")
  const cell = CellTable.cellOf<K, V, ReaderError>(table)
  const { same } = cell
  return Effect.map(
    described(
      "withMetadata",
      cell,
      // A table of a topic has no other contents.
      (contents, slot, key) => (contents as LogContents<K, V>).entryAt(slot, key) as Entry,
      (a, b) => isSamePlace(a, b) && same(a.value, b.value) && isSame(headersOf(a), headersOf(b))
    ),
    (derived) => new CellTable(derived)
  )
}

const isOfTopic = Check.satisfies("a table of a topic, and no effect that makes one", isKafkaTable)

const isSamePlace = (a: TableEntry<unknown, unknown>, b: TableEntry<unknown, unknown>): boolean =>
  a.offset === b.offset && a.timestamp === b.timestamp && a.partition === b.partition

const headersOf = (entry: Partial<EntryWithHeaders<unknown, unknown>>): unknown => entry.headers

// ---------------------------------------------------------------------------------------------------------------------
// layers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A layer that builds a table for a service of your own.
 *
 * **Gotchas**
 *
 * Layers are shared by reference: keep the result in a constant, since each call makes another reader.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: {
  <Self, K, V, RD, RE, R = never, Checkpoint extends CheckpointOptions | undefined = undefined>(
    tag: Context.Key<Self, WithHeaders<K, V>>,
    topic: TableTopic<K, V, RD, RE>,
    options: Options<R, true, Checkpoint> & { readonly headers: true }
  ): Layer.Layer<Self, StartError, LayerNeeds<RD | R, Checkpoint>>
  <
    Self,
    Shape extends KafkaTable<K, V>,
    K,
    V,
    RD,
    RE,
    R = never,
    Checkpoint extends CheckpointOptions | undefined = undefined
  >(
    tag: Context.Key<Self, Shape> & Makes<KafkaTable<K, V>, Shape>,
    topic: TableTopic<K, V, RD, RE>,
    options?: Options<R, boolean, Checkpoint>
  ): Layer.Layer<Self, StartError, LayerNeeds<RD | R, Checkpoint>>
} = <Self, K, V, RD, RE, R = never, Checkpoint extends CheckpointOptions | undefined = undefined>(
  tag: Context.Key<Self, KafkaTable<K, V>>,
  topic: TableTopic<K, V, RD, RE>,
  options?: Options<R, boolean, Checkpoint>
): Layer.Layer<Self, StartError, LayerNeeds<RD | R, Checkpoint>> => Layer.effect(tag, make(topic, options))

/** What a layer of a table needs: its codecs' services, but for the scope, which is the layer's own. */
type LayerNeeds<R, Checkpoint extends CheckpointOptions | undefined> =
  | KafkaClient
  | Exclude<R | Needs<Checkpoint>, Scope.Scope>

/** No tag of more than this makes: of a table that keeps headers, which the option asks for, or of a grouped one. */
type Makes<Made, Shape> = [Made] extends [Shape] ? unknown : never

/**
 * A service class whose service is a table.
 *
 * @category services
 * @since 0.1.0
 */
export interface ServiceClass<
  in out Self,
  in out Id extends string,
  in out K,
  in out V,
  out RD,
  out RE
> extends Context.ServiceClass<Self, Id, KafkaTable<K, V>> {
  readonly topic: TableTopic<K, V, RD, RE>
  /** The table with default options; one reader wherever it is provided. */
  readonly layer: Layer.Layer<Self, StartError, KafkaClient | Exclude<RD, Scope.Scope>>
  /** A new layer with these options; keep it in a constant. */
  readonly layerWith: <R = never, Checkpoint extends CheckpointOptions | undefined = undefined>(
    options: Options<R, boolean, Checkpoint>
  ) => Layer.Layer<Self, StartError, LayerNeeds<RD | R, Checkpoint>>
}

/**
 * Defines a service for the table of a topic.
 *
 * **Example** (A registry of services)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, TableTopic } from "effect-ktables"
 * import * as MemoryKafka from "effect-ktables/MemoryKafka"
 *
 * const services = TableTopic.make({
 *   name: "my.registry",
 *   key: Schema.String,
 *   value: Schema.Struct({ host: Schema.String, port: Schema.Int })
 * })
 *
 * class Services extends KafkaTable.Service<Services>()("app/Services", services) {}
 *
 * const program = Effect.gen(function* () {
 *   const table = yield* Services
 *   return yield* table.get("billing")
 * })
 *
 * export const main = program.pipe(Effect.provide(Services.layer), Effect.provide(MemoryKafka.layer))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self>() =>
  <const Id extends string, K, V, RD = never, RE = never>(
    id: Id,
    topic: TableTopic<K, V, RD, RE>
  ): ServiceClass<Self, Id, K, V, RD, RE> => {
    const tag = Context.Service<Self, KafkaTable<K, V>>()(id)
    const layerWith = <R, Checkpoint extends CheckpointOptions | undefined = undefined>(
      options: Options<R, boolean, Checkpoint>
    ) => layer(tag, topic, options)
    return Object.assign(tag, { topic, layer: layerWith({}), layerWith }) as ServiceClass<Self, Id, K, V, RD, RE>
  }
