/**
 * Writes a table's topic: sets and deletes keys, and answers with the broker's acknowledgement.
 *
 * **Details**
 *
 * Guarantee 10: under `acks: "all"` with idempotence (the defaults), an acknowledged write is in the log exactly once,
 * and writes of one key that were issued one after another are in that order. A partition has one batch on its way at a
 * time; what is written meanwhile goes together into the next one. A batch whose answer was lost is sent again, byte for
 * byte and with its own sequence, before anything newer. Where its fate cannot be known, each of its writes fails with
 * `WriteOutcomeUnknown`. Proved by "acknowledged writes are in the log once and in order when produce answers are cut".
 *
 * **Gotchas**
 *
 * An interrupted write is withdrawn while it waits for its turn; once it is part of a batch it is written, and nobody is
 * told. When the writer's scope closes, writes under way get `closeTimeout` to finish; what then is left fails with
 * `WriterClosed` when it was never sent, else with `WriteOutcomeUnknown`.
 *
 * @since 0.1.0
 */
import { Cause, Context, Duration, Effect, Exit, Layer, Result, type Scope } from "effect"
import { KafkaClient } from "./KafkaClient.ts"
import {
  type AuthenticationRefused,
  type ClusterRefused,
  type CompressionUnavailable,
  EncodeError,
  type InvalidOption,
  type InvalidTopic,
  type NotAuthorized,
  type PolicyMismatch,
  SetAllError,
  type TopicNotFound,
  type Unreachable,
  type WriteError
} from "./TableError.ts"
import type { TableTopic } from "./TableTopic.ts"
import type { WriteAck } from "./WriteAck.ts"
import type { Codec, CodecError } from "./Codec.ts"
import { isOutOfMemory, isStrayPromise, noEffect, printed } from "./internal/defects.ts"
import * as Check from "./internal/options.ts"
import { encodeUtf8 } from "./internal/utf8.ts"
import { BATCH_OVERHEAD } from "./internal/records/batchWriter.ts"
import type { Compression } from "./internal/records/compression.ts"
import { describeWith } from "./internal/topic/describe.ts"
import {
  checkEnsureOptions,
  DEFAULT_START_TIMEOUT,
  type EnsureOptions,
  ensureWith,
  isCreated
} from "./internal/topic/ensureTopic.ts"
import * as StartRetry from "./internal/topic/startRetry.ts"
import * as TopicView from "./internal/topic/topicView.ts"
import { checkTopic, invalidTopic } from "./internal/topic/validate.ts"
import * as Appender from "./internal/writer/appender.ts"
import * as KeepAlives from "./internal/writer/keepAlive.ts"
import { javaPartitioner, type Partitioner } from "./internal/records/partitioner.ts"
import type { Metadata, PendingRecord } from "./internal/writer/pendingRecord.ts"

export type { Compression, Partitioner }
export { javaPartitioner }

const TypeId = "~effect-ktables/KafkaTableWriter"

/**
 * A header to write.
 *
 * @category models
 * @since 0.1.0
 */
export interface HeaderInput {
  readonly key: string
  /** A string is written as UTF-8. */
  readonly value: string | Uint8Array | null
}

/**
 * What a write says of its record beside key and value.
 *
 * @category options
 * @since 0.1.0
 */
export interface WriteOptions {
  /** In their order; several may have one key. They are copied at once. Default: none. */
  readonly headers?: ReadonlyArray<HeaderInput> | undefined
  /**
   * Milliseconds since the epoch. A topic with `message.timestamp.type` `LogAppendTime` stamps its records itself: the
   * acknowledgement has the time that counts. Default: the time of the call.
   */
  readonly timestamp?: number | undefined
}

/**
 * A writer of the keys `K` and values `V` of one topic.
 *
 * @category models
 * @since 0.1.0
 */
export interface KafkaTableWriter<in K, in V> {
  readonly [TypeId]: typeof TypeId
  readonly topic: string
  /** Writes a value. Succeeds once the broker has acknowledged it as `acks` says. */
  readonly set: (key: K, value: V, options?: WriteOptions) => Effect.Effect<WriteAck, WriteError>
  /** Writes a tombstone, also where the key is not in the table. */
  readonly delete: (key: K, options?: WriteOptions) => Effect.Effect<WriteAck, WriteError>
  /**
   * Writes all entries, in their order per partition, and answers with their acknowledgements in the order of the
   * entries. An entry that fails keeps no other from being written.
   */
  readonly setAll: <Key extends K>(
    entries: Iterable<readonly [key: Key, value: V, options?: WriteOptions]>
  ) => Effect.Effect<ReadonlyArray<WriteAck>, SetAllError<Key>>
  /**
   * Writes a value now and again every so often while the scope is open, and a tombstone when it closes: an entry that stands
   * for this process. Readers use `Table.expire`, so that the entry also goes when the process is killed.
   *
   * **Details**
   *
   * Succeeds with the acknowledgement of the first write, or fails as that does. Later writes are on time or as soon as the one
   * before has ended, never several at once. One that fails for a reason that may pass (`WriteTimeout`, `WriteOutcomeUnknown`,
   * `AuthenticationRefused`, `ClusterRefused`) is logged and made up for by the next; any other reason ends them, is logged as
   * an error, and fails `failure`: race the program with it.
   *
   * When the scope closes, a write under way is withdrawn or, when it was sent, stands before the tombstone: none follows that.
   * The tombstone has `closeTimeout` to be acknowledged; else a warning is logged, and readers see the entry until it expires.
   *
   * **Gotchas**
   *
   * A `ttl` of three or more times `every` outlasts a lost write or an election. Keys should be those of one process alone:
   * the tombstone of the first to go would delete what another still writes.
   *
   * **Example** (A service that is listed while it runs)
   *
   * ```ts
   * import { Effect, Schema } from "effect"
   * import { KafkaTableWriter, TableTopic } from "effect-ktables"
   *
   * const services = TableTopic.make({
   *   name: "services",
   *   key: Schema.String,
   *   value: Schema.Struct({ host: Schema.String }),
   *   config: TableTopic.presence
   * })
   *
   * declare const serve: Effect.Effect<never>
   *
   * export const main = Effect.gen(function* () {
   *   const writer = yield* KafkaTableWriter.make(services)
   *   const presence = yield* writer.keepAlive("billing-1", { host: "10.0.0.7" }, { every: "5 seconds" })
   *   return yield* Effect.raceFirst(serve, presence.failure)
   * }).pipe(Effect.scoped)
   * ```
   */
  readonly keepAlive: (key: K, value: V, options: KeepAliveOptions) => Effect.Effect<KeepAlive, WriteError, Scope.Scope>
}

/**
 * How an entry is kept alive.
 *
 * @category options
 * @since 0.1.0
 */
export interface KeepAliveOptions {
  /** From the start of one write to the next, at least a millisecond. */
  readonly every: Duration.Input
  /** Headers of each write. Default: none. */
  readonly headers?: ReadonlyArray<HeaderInput> | undefined
  /** How long the tombstone may take when the scope closes. Default: 5 seconds. */
  readonly closeTimeout?: Duration.Input | undefined
}

/**
 * An entry that is kept alive.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeepAlive {
  /** Of the first write. */
  readonly ack: WriteAck
  /** Never succeeds; fails when the entry is written no more, and is interrupted when its scope is closed. */
  readonly failure: Effect.Effect<never, WriteError>
}

/**
 * What acknowledges a write, and whether writing again after a lost answer may double it. Idempotence needs the
 * acknowledgement of all in-sync replicas.
 *
 * @category models
 * @since 0.1.0
 */
export type Durability =
  | {
      /** All in-sync replicas. */
      readonly acks?: "all" | undefined
      /**
       * `auto` writes without idempotence where the cluster does not grant it, and warns that guarantee 10 does not
       * hold; `required` fails to start there; `off` does not ask. Default: `auto`.
       */
      readonly idempotence?: "auto" | "required" | "off" | undefined
    }
  | {
      /** The leader alone, or nobody: then the acknowledgement holds no offset. */
      readonly acks: "leader" | "none"
      readonly idempotence?: "off" | undefined
    }

/**
 * The options of a writer that do not depend on each other.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonOptions {
  /** False makes no administrative request: the topic has to exist. Default: create a missing topic, warn of a mismatch. */
  readonly ensureTopic?: false | EnsureOptions | undefined
  /** How long the start looks for a broker that answers. Default: 30 seconds. */
  readonly startTimeout?: Duration.Input | undefined
  /** How long a write is tried, from its call on. Default: 2 minutes. */
  readonly deliveryTimeout?: Duration.Input | undefined
  /**
   * How long the brokers remember an idle producer id, their `producer.id.expiration.ms`: what may have been written that
   * long ago is not sent again, since they would take it for new. Default: 1 day, as brokers.
   */
  readonly producerIdExpiration?: Duration.Input | undefined
  /** How long writes under way get when the writer's scope closes. Default: 5 seconds. */
  readonly closeTimeout?: Duration.Input | undefined
  /** How long a write waits for others to share its batch. Default: 0, only with those of the same moment. */
  readonly linger?: Duration.Input | undefined
  /**
   * How old the knowledge of leaders and partitions may get. Partitions that were added are found by then, and at once where
   * a table or another writer of the same client sees them. Default: 30 seconds, as tables.
   */
  readonly metadataMaxAge?: Duration.Input | undefined
  /** The largest batch before compression, and so the largest record, its overhead included. Default: 1 MiB. */
  readonly maxBatchBytes?: number | undefined
  /** The bytes of all writes under way; further ones wait. Default: 32 MiB. */
  readonly maxBufferedBytes?: number | undefined
  /** Default: `none`. */
  readonly compression?: Compression | undefined
  /** Maps an encoded key to one of the topic's partitions. Default: as Java's clients do. */
  readonly partitioner?: Partitioner | undefined
}

/**
 * The options of a writer.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = CommonOptions & Durability

/**
 * What can keep a writer from starting.
 *
 * @category errors
 * @since 0.1.0
 */
export type StartError =
  | TopicNotFound
  | NotAuthorized
  | Unreachable
  | AuthenticationRefused
  | InvalidTopic
  | InvalidOption
  | PolicyMismatch
  | ClusterRefused
  | CompressionUnavailable

const ackCodes = { all: -1, leader: 1, none: 0 } as const

const MEBIBYTE = 1024 * 1024

/** Milliseconds between two refreshes of the metadata, at least: more would only load the brokers. */
const LEAST_METADATA_AGE = 100

const checkOptions = Check.every(
  Check.record<Options>({
    acks: Check.oneOf("all", "leader", "none"),
    idempotence: Check.oneOf("auto", "required", "off"),
    ensureTopic: Check.either(Check.oneOf(false), checkEnsureOptions),
    startTimeout: Check.duration({ min: 1 }),
    deliveryTimeout: Check.duration({ min: 1 }),
    producerIdExpiration: Check.duration({ min: 1 }),
    closeTimeout: Check.duration({ min: 0 }),
    linger: Check.duration({ min: 0 }),
    metadataMaxAge: Check.duration({ min: LEAST_METADATA_AGE }),
    maxBatchBytes: Check.integer({ min: BATCH_OVERHEAD + 1, max: 1024 * MEBIBYTE }),
    maxBufferedBytes: Check.integer({ min: 1 }),
    compression: Check.oneOf("none", "gzip", "snappy", "lz4", "zstd"),
    partitioner: Check.satisfies("a function of the key and the number of partitions", Check.isFunction)
  }),
  (options) => {
    const { acks = "all", idempotence = "off" } = options as Options
    const expected = `"off" beside acks ${JSON.stringify(acks)}: it needs acks "all"`
    return Result.map(
      Check.satisfies(expected, (value) => acks === "all" || value === "off")(idempotence, "idempotence"),
      () => options
    )
  }
)

const isText = (value: unknown): boolean => typeof value === "string" && value.isWellFormed()

/** Bytes are copied, since their owner may change them before they are sent. */
const bytesOf = (value: unknown): unknown =>
  value instanceof Uint8Array ? new Uint8Array(value) : isText(value) ? encodeUtf8(value as string) : value

const checkHeaders = Check.list(
  Check.record<HeaderInput>({
    key: Check.required(Check.satisfies("a string without lone surrogates", isText)),
    value: Check.required(
      Check.every(
        Check.satisfies(
          "a Uint8Array, a string without lone surrogates, or null",
          (value) => value === null || value instanceof Uint8Array || isText(value)
        ),
        (value) => Result.succeed(bytesOf(value))
      )
    )
  })
)

const checkWriteOptions = Check.record<WriteOptions>({
  headers: checkHeaders,
  timestamp: Check.integer({ min: 0 })
})

const checkKeepAliveOptions = Check.record<KeepAliveOptions>({
  every: Check.required(Check.duration({ min: 1 })),
  headers: checkHeaders,
  closeTimeout: Check.duration({ min: 0 })
})

/** What was taken of options: their headers are bytes now. */
const metadataOf = (options: WriteOptions, topic: string): Effect.Effect<Metadata, InvalidOption> =>
  Check.taken(checkWriteOptions, options, topic) as Effect.Effect<WriteOptions & Metadata, InvalidOption>

/** A string is none: it has characters and no entries. */
const isIterable = (value: unknown): boolean =>
  typeof value === "object" && value !== null && Check.isFunction(Reflect.get(value, Symbol.iterator))

/** Entries of a `setAll` that are encoded before other fibers get their turn. */
const TURN = 256

const toLimit = (value: string | undefined): number | undefined => {
  const limit = Number(value)
  return value !== undefined && Number.isSafeInteger(limit) && limit > 0 ? limit : undefined
}

const isBytes = (bytes: unknown): bytes is Uint8Array => bytes instanceof Uint8Array

const isReady = (effect: Effect.Effect<Uint8Array, EncodeError>): effect is Exit.Success<Uint8Array> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)

/** The halves of a record as bytes, and what is said of it. */
type Encoded = readonly [Uint8Array, Uint8Array, Metadata | undefined]

/**
 * Starts a writer, which writes until the scope closes.
 *
 * **Details**
 *
 * The topic is created or checked first, unless `ensureTopic` is false. The services that the codecs need to encode are
 * captured here.
 *
 * **Example** (Write, and read what was written)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * export const program = Effect.scoped(
 *   Effect.gen(function* () {
 *     const table = yield* KafkaTable.make(prices)
 *     const writer = yield* KafkaTableWriter.make(prices)
 *     const ack = yield* writer.set("apple", 1.2)
 *     yield* table.awaitOffset(ack)
 *     return yield* table.get("apple")
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* <K, V, RD, RE>(
  topic: TableTopic<K, V, RD, RE>,
  given: Options = {}
): Effect.fn.Return<KafkaTableWriter<K, V>, StartError, KafkaClient | RE | Scope.Scope> {
  const client = yield* KafkaClient
  const services = yield* Effect.context<RE>()
  yield* Check.taken(checkTopic, topic, undefined, "topic")
  const invalid = invalidTopic(topic)
  if (invalid !== undefined) return yield* invalid
  const options = yield* Check.taken(checkOptions, given, topic.name)
  const startTimeout = options.startTimeout ?? DEFAULT_START_TIMEOUT
  const view = yield* TopicView.acquire(client, topic.name)
  const ensured =
    options.ensureTopic === false
      ? undefined
      : yield* ensureWith(client, topic, options.ensureTopic ?? {}, startTimeout)
  const retry = yield* StartRetry.make(view, startTimeout)
  const seen = yield* describeWith(retry, isCreated(ensured))
  const acks = options.acks ?? "all"
  const appender = yield* Appender.make(retry, seen, {
    acks: ackCodes[acks],
    idempotence: options.idempotence ?? (acks === "all" ? "auto" : "off"),
    deliveryTimeout: Duration.toMillis(options.deliveryTimeout ?? "2 minutes"),
    producerIdExpiration: Duration.toMillis(options.producerIdExpiration ?? "1 day"),
    closeTimeout: Duration.toMillis(options.closeTimeout ?? "5 seconds"),
    linger: Duration.toMillis(options.linger ?? 0),
    metadataMaxAge: Duration.toMillis(options.metadataMaxAge ?? "30 seconds"),
    maxBatchBytes: options.maxBatchBytes ?? MEBIBYTE,
    maxMessageBytes: toLimit(ensured?.config?.get("max.message.bytes")),
    maxBufferedBytes: options.maxBufferedBytes ?? 32 * MEBIBYTE,
    compression: options.compression ?? "none",
    partitioner: options.partitioner ?? javaPartitioner
  })

  /**
   * What a codec makes of a key or value: plain while it needs no effect, since then it costs no fiber a step. What it
   * throws, and what it hands back that is no bytes, fails that one write.
   */
  const encoded = <A>(
    part: "key" | "value",
    { encode }: Codec<A, unknown, RE>,
    input: A
  ): Effect.Effect<Uint8Array, EncodeError> => {
    const failed = (detail: string) => Effect.fail(new EncodeError({ topic: topic.name, part, detail }))
    const threw = (thrown: unknown) =>
      isOutOfMemory(thrown) ? Effect.die(thrown) : failed(`its codec threw: ${printed(thrown)}`)
    let effect: Effect.Effect<Uint8Array, CodecError, RE>
    try {
      effect = encode(input)
    } catch (thrown) {
      return threw(thrown)
    }
    const wrong = noEffect(effect)
    if (wrong !== undefined) return failed(`its codec ${wrong}`)
    const checked = (bytes: unknown) =>
      isBytes(bytes)
        ? Effect.succeed(bytes)
        : failed(isStrayPromise(bytes) ? "its codec gave a Promise" : "its codec gave something else than a Uint8Array")
    if (Exit.isExit(effect) && Exit.isSuccess(effect)) {
      return isBytes(effect.value) ? (effect as Exit.Exit<Uint8Array, never>) : checked(effect.value)
    }
    return Effect.provideContext(effect, services).pipe(
      Effect.mapError((error) => new EncodeError({ topic: topic.name, part, detail: error.message })),
      Effect.catchDefect(threw),
      // Of the codec itself: a caller that is interrupted gets no further than this.
      Effect.catchCauseIf(Cause.hasInterruptsOnly, () => failed("its codec was interrupted")),
      Effect.flatMap(checked)
    )
  }

  const append = (
    key: Uint8Array,
    value: Uint8Array | null,
    metadata: Metadata | undefined
  ): Effect.Effect<WriteAck, WriteError> =>
    Effect.callback((resume) => {
      const record = appender.append(key, value, resume, metadata)
      return record === undefined ? undefined : Effect.sync(() => appender.withdraw(record))
    })

  const write = (
    key: K,
    value: Effect.Effect<Uint8Array, EncodeError> | null,
    metadata: Metadata | undefined
  ): Effect.Effect<WriteAck, WriteError> => {
    const keyBytes = encoded("key", topic.key, key)
    if (isReady(keyBytes)) {
      if (value === null) return append(keyBytes.value, null, metadata)
      if (isReady(value)) return append(keyBytes.value, value.value, metadata)
    }
    return Effect.flatMap(keyBytes, (key) =>
      value === null ? append(key, null, metadata) : Effect.flatMap(value, (value) => append(key, value, metadata))
    )
  }

  /** Runs a write with what was taken of its options. */
  const withMetadata = <A, E>(
    options: WriteOptions | undefined,
    write: (metadata: Metadata | undefined) => Effect.Effect<A, E>
  ): Effect.Effect<A, E | InvalidOption> =>
    options === undefined ? write(undefined) : Effect.flatMap(metadataOf(options, topic.name), write)

  /** Of what stands in the place of an entry, or of all of them. */
  const noEntry = (given: unknown, expected: string): EncodeError =>
    new EncodeError({ topic: topic.name, part: "key", detail: `it is ${Check.shown(given)}, expected ${expected}` })

  const setAll = <Key extends K>(entries: Iterable<readonly [key: Key, value: V, options?: WriteOptions]>) =>
    Effect.suspend(() => {
      if (!isIterable(entries)) {
        const error = noEntry(entries, "an iterable of [key, value] pairs")
        return Effect.fail(
          new SetAllError<Key>({ topic: topic.name, failures: [{ key: entries as never, error }], acks: [] })
        )
      }
      const keys: Array<Key> = []
      const results: Array<Exit.Exit<WriteAck, WriteError>> = []
      const records: Array<PendingRecord> = []
      let open = 0
      let settled = 0
      let onSettled: (() => void) | undefined
      const settle = (index: number, exit: Exit.Exit<WriteAck, WriteError>): void => {
        results[index] = exit
        settled++
        if (settled === open) onSettled?.()
      }
      const all = Effect.gen(function* () {
        for (const entry of entries) {
          open++
          if (!Array.isArray(entry)) {
            settle(keys.push(entry as never) - 1, Exit.fail(noEntry(entry, "a [key, value] pair")))
            continue
          }
          const [key, value, options] = entry as readonly [Key, V, WriteOptions?]
          const index = keys.push(key) - 1
          const keyBytes = encoded("key", topic.key, key)
          const valueBytes = encoded("value", topic.value, value)
          const bytes: Exit.Exit<Encoded, EncodeError | InvalidOption> =
            isReady(keyBytes) && isReady(valueBytes) && options === undefined
              ? Exit.succeed([keyBytes.value, valueBytes.value, undefined])
              : yield* Effect.exit(
                  withMetadata(options, (metadata) => Effect.all([keyBytes, valueBytes, Effect.succeed(metadata)]))
                )
          if (Exit.isSuccess(bytes)) {
            const [key, value, metadata] = bytes.value
            const record = appender.append(key, value, (exit) => settle(index, exit), metadata)
            if (record !== undefined) records.push(record)
          } else {
            settle(index, Exit.failCause(bytes.cause))
          }
          if (!appender.hasRoom()) yield* appender.room
          else if (open % TURN === 0) yield* Effect.yieldNow
        }
        yield* Effect.callback<void>((resume) => {
          if (settled === open) return resume(Effect.void)
          onSettled = () => resume(Effect.void)
        })
        return yield* summarize(topic.name, keys, results)
      })
      // Interrupted, or ended by the iterable itself, which may throw.
      return Effect.onError(all, () => Effect.sync(() => records.forEach(appender.withdraw)))
    })

  const self: KafkaTableWriter<K, V> = {
    [TypeId]: TypeId,
    topic: topic.name,
    set: (key, value, options) =>
      Effect.suspend(() =>
        withMetadata(options, (metadata) => write(key, encoded("value", topic.value, value), metadata))
      ),
    delete: (key, options) => Effect.suspend(() => withMetadata(options, (metadata) => write(key, null, metadata))),
    setAll,
    keepAlive: Effect.fnUntraced(function* (key, value, given) {
      const {
        closeTimeout = "5 seconds",
        every,
        headers
      } = yield* Check.taken(checkKeepAliveOptions, given, topic.name)
      const options = headers === undefined ? undefined : { headers }
      return yield* KeepAlives.make({
        topic: topic.name,
        set: self.set(key, value, options),
        remove: self.delete(key),
        every: Duration.toMillis(every),
        closeTimeout: Duration.toMillis(closeTimeout)
      })
    })
  }
  return self
})

/** A defect among the results ends the whole `setAll` as a defect. */
const summarize = <K>(
  topic: string,
  keys: ReadonlyArray<K>,
  results: ReadonlyArray<Exit.Exit<WriteAck, WriteError>>
): Effect.Effect<ReadonlyArray<WriteAck>, SetAllError<K>> => {
  const acks: Array<{ readonly key: K; readonly ack: WriteAck }> = []
  const failures: Array<{ readonly key: K; readonly error: WriteError }> = []
  for (let i = 0; i < results.length; i++) {
    const exit = results[i]!
    const key = keys[i]!
    if (Exit.isSuccess(exit)) {
      acks.push({ key, ack: exit.value })
      continue
    }
    const reason = exit.cause.reasons[0]
    if (reason?._tag !== "Fail") return Effect.failCause(exit.cause as Cause.Cause<never>)
    failures.push({ key, error: reason.error })
  }
  return failures.length === 0
    ? Effect.succeed(acks.map(({ ack }) => ack))
    : Effect.fail(new SetAllError({ topic, failures, acks }))
}

/**
 * A layer of a writer under a tag of your own.
 *
 * **Gotchas**
 *
 * Layers are shared by reference: keep the result in a constant, since each call makes another writer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, K, V, RD, RE>(
  tag: Context.Key<Self, KafkaTableWriter<K, V>>,
  topic: TableTopic<K, V, RD, RE>,
  options?: Options
): Layer.Layer<Self, StartError, KafkaClient | Exclude<RE, Scope.Scope>> => Layer.effect(tag, make(topic, options))

/**
 * A service class of a writer, as `Service` makes it.
 *
 * @category services
 * @since 0.1.0
 */
export interface ServiceClass<
  in out Self,
  in out Id extends string,
  in out K,
  in out V,
  in out RE
> extends Context.ServiceClass<Self, Id, KafkaTableWriter<K, V>> {
  readonly topic: TableTopic<K, V, never, RE>
  /** A writer with the default options; one value, so that all who provide it share the writer. */
  readonly layer: Layer.Layer<Self, StartError, KafkaClient | Exclude<RE, Scope.Scope>>
  /** A writer with options of your own; keep the result in a constant. */
  readonly layerWith: (options: Options) => Layer.Layer<Self, StartError, KafkaClient | Exclude<RE, Scope.Scope>>
}

/**
 * Defines the service class of one topic's writer.
 *
 * **Example** (A writer of service records)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTableWriter, TableTopic } from "effect-ktables"
 *
 * const hosts = TableTopic.make({ name: "hosts", key: Schema.String, value: Schema.Struct({ port: Schema.Int }) })
 *
 * class HostsWriter extends KafkaTableWriter.Service<HostsWriter>()("app/HostsWriter", hosts) {}
 *
 * export const announce = Effect.gen(function* () {
 *   const writer = yield* HostsWriter
 *   return yield* writer.set("billing", { port: 8080 })
 * }).pipe(Effect.provide(HostsWriter.layer))
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self>() =>
  <const Id extends string, K, V, RD, RE>(
    id: Id,
    topic: TableTopic<K, V, RD, RE>
  ): ServiceClass<Self, Id, K, V, RE> => {
    const tag = Context.Service<Self, KafkaTableWriter<K, V>>()(id)
    return Object.assign(tag, {
      topic,
      layer: layer(tag, topic),
      layerWith: (options: Options) => layer(tag, topic, options)
    }) as unknown as ServiceClass<Self, Id, K, V, RE>
  }
