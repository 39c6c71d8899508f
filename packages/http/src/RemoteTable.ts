/**
 * A live copy of a table that a server of `TableHttp` serves: in browsers, and in processes without a Kafka client.
 *
 * **When to use**
 *
 * Where a program is to have a table at hand and does not reach Kafka. It is a `Table`: the same reads, streams, operators.
 *
 * **Details**
 *
 * It needs `fetch` and nothing of Node's. A lost connection is made again, with a back-off, and what was missed comes as
 * changes; meanwhile the copy shows what it had, and `health` says since when. Several servers behind one address may be at
 * different positions: the copy never goes back (`docs/contract.md`, 13), but where a server says that the log is another
 * one, which `health` counts as a reset.
 *
 * **Example** (A copy in a browser)
 *
 * ```ts
 * import * as RemoteTable from "@effect-ktables/http/RemoteTable"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as Stream from "effect/Stream"
 * import * as TableTopic from "effect-ktables/TableTopic"
 *
 * const flags = TableTopic.make({ name: "flags", key: Schema.String, value: Schema.Boolean })
 *
 * export const program = Effect.gen(function* () {
 *   const table = yield* RemoteTable.make("http://localhost:4180", flags)
 *   yield* table.awaitAck(yield* table.set("dark-mode", true))
 *   yield* Stream.runForEach(table.watch("dark-mode"), (value) => Effect.log(value))
 * }).pipe(Effect.scoped)
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { CodecError } from "effect-ktables/Codec"
import type { Table } from "effect-ktables/Table"
import { DataLoss, EncodeError, NotAwaitable, TableClosed, WriteOutcomeUnknown } from "effect-ktables/TableError"
import * as TableReplication from "effect-ktables/TableReplication"
import type { TableTopic } from "effect-ktables/TableTopic"
import type { WriteAck } from "effect-ktables/WriteAck"
import * as Copy from "./internal/copy.ts"
import { EventParser, type ServerEvent } from "./internal/eventStream.ts"
import * as Wire from "./internal/wire.ts"

// ---------------------------------------------------------------------------------------------------------------------
// errors
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The server does not let this program do what it asked for, and will not by itself: no such table, not authorized, read-only,
 * a value that the brokers do not take.
 *
 * @category errors
 * @since 0.1.0
 */
export class RemoteRefused extends Data.TaggedError("RemoteRefused")<{
  readonly url: string
  readonly status: number
  readonly detail: string
}> {
  override get message(): string {
    return `${this.url} answered ${this.status}: ${this.detail}`
  }
}

/**
 * No server has answered in time, or none was as new as what this copy had.
 *
 * @category errors
 * @since 0.1.0
 */
export class RemoteUnavailable extends Data.TaggedError("RemoteUnavailable")<{
  readonly url: string
  readonly detail: string
}> {
  override get message(): string {
    return `${this.url} is not available: ${this.detail}`
  }
}

/**
 * What making a copy can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type StartError = RemoteRefused | RemoteUnavailable

/**
 * What a write can fail with. After `WriteOutcomeUnknown` it may be in the log.
 *
 * @category errors
 * @since 0.1.0
 */
export type WriteError = RemoteRefused | RemoteUnavailable | EncodeError | WriteOutcomeUnknown

// ---------------------------------------------------------------------------------------------------------------------
// models
// ---------------------------------------------------------------------------------------------------------------------

/**
 * How a copy is doing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Health {
  readonly connected: boolean
  /** Milliseconds since the epoch. Since then the copy may be behind. */
  readonly disconnectedSince: Option.Option<number>
  /** What went wrong last, whether it was got over or not. */
  readonly lastError: Option.Option<string>
  /** Connections that were made. */
  readonly connections: number
  /** Whole copies that were taken, the first included. */
  readonly snapshots: number
  /** Times the log was another than before, or had lost what the copy had. */
  readonly resets: number
  /** Entries that came and did not decode; they are not in the copy. */
  readonly decodeErrors: number
}

/**
 * A live copy of a table on a server.
 *
 * @category models
 * @since 0.1.0
 */
export interface RemoteTable<in out K, in out V> extends Table<K, V> {
  readonly url: string
  readonly health: Effect.Effect<Health>
  /** The health now, and whenever it changes. */
  readonly healthChanges: Stream.Stream<Health>
  /**
   * Succeeds once an acknowledged write shows in the copy, with all that stands on it. Fails with `DataLoss` when the topic is
   * another than the one that was written to. That an election has dropped the write is not noticed.
   */
  readonly awaitAck: (ack: WriteAck) => Effect.Effect<void, NotAwaitable | DataLoss | TableClosed>
  /** Writes a value through the server. Succeeds once the brokers have acknowledged it. */
  readonly set: (key: K, value: V) => Effect.Effect<WriteAck, WriteError>
  /** Writes a tombstone through the server. */
  readonly delete: (key: K) => Effect.Effect<WriteAck, WriteError>
}

/**
 * Options of a copy.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** What the table is called on the server. Default: the name of the topic. */
  readonly name?: string | undefined
  /** Only keys whose texts begin with it. Default: all. */
  readonly prefix?: string | undefined
  /** Sent with each request, for example `authorization`; asked for each time. Default: none. */
  readonly headers?: Effect.Effect<Readonly<Record<string, string>>> | undefined
  /** How long making the copy may take until it is complete; `"background"` does not wait. Default: 30 seconds. */
  readonly startTimeout?: Duration.Input | "background" | undefined
  /** Changes a slow subscriber may be behind before it is handed a fresh snapshot. Default: 16,384. */
  readonly changesCapacity?: number | undefined
  /** Default: that of the platform. */
  readonly fetch?: typeof globalThis.fetch | undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// constructors
// ---------------------------------------------------------------------------------------------------------------------

/** Why a connection is over. */
class Over extends Data.TaggedError("Over")<{ readonly detail: string; readonly refused?: RemoteRefused }> {}

/** How long a server may wait for the position that this copy has. */
const SERVER_WAIT = "20s"
/** Milliseconds in which an answer has to begin; the server may wait for its position first. */
const ANSWER = 30_000
/** Milliseconds of the first pause, and of the longest. */
const PAUSE = 100
const LONGEST_PAUSE = 5000
/** Milliseconds of decoding between two yields. */
const SLICE = 4

interface Waiter {
  readonly ack: WriteAck
  readonly resume: (outcome: Effect.Effect<void, NotAwaitable | DataLoss | TableClosed>) => void
}

/**
 * Makes a copy in the current scope, which is complete when this succeeds.
 *
 * **Details**
 *
 * The definition of the topic is the one that the server serves the table with: its codecs are used, the rest is not looked
 * at. Keys and values that they refuse are not in the copy; `health` counts them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fn("RemoteTable.make")(function* <K, V, RD, RE>(
  url: string,
  topic: TableTopic<K, V, RD, RE>,
  options: Options = {}
): Effect.fn.Return<RemoteTable<K, V>, StartError, Scope.Scope | RD | RE> {
  const context = yield* Effect.context<RD | RE>()
  const name = options.name ?? topic.name
  const base = `${url.replace(/\/+$/, "")}/tables/${encodeURIComponent(name)}`
  const fetch = options.fetch ?? globalThis.fetch
  const headers = options.headers ?? Effect.succeed<Readonly<Record<string, string>>>({})
  const replica = TableReplication.makeReplica<K, V>(name, options.changesCapacity)
  const health = yield* SubscriptionRef.make<Health>({
    connected: false,
    disconnectedSince: Option.some(yield* Clock.currentTimeMillis),
    lastError: Option.none(),
    connections: 0,
    snapshots: 0,
    resets: 0,
    decodeErrors: 0
  })
  const run = <A, E>(effect: Effect.Effect<A, E, RD | RE>): Effect.Effect<A, E> =>
    Exit.isExit(effect) ? (effect as Exit.Exit<A, E>) : Effect.provideContext(effect, context)

  let place = Copy.nowhere
  let failures = 0
  let isClosed = false
  const waiters = new Set<Waiter>()
  const refused = Deferred.makeUnsafe<never, RemoteRefused>()

  // ---------------------------------------------------------------------------------------------- waits

  /** What a wait comes to at the position that is shown; undefined while it goes on. */
  const outcomeOf = (ack: WriteAck): Effect.Effect<void, NotAwaitable | DataLoss | TableClosed> | undefined => {
    if (isClosed) return Effect.fail(new TableClosed({ topic: name }))
    const { offset, partition, topic: of, topicId } = ack
    if (offset === undefined) {
      return Effect.fail(new NotAwaitable({ topic: of, detail: "the acknowledgement has no offset" }))
    }
    if (place.position.length === 0) return undefined
    const own = place.position.find((one) => one.topic === of)
    if (own === undefined) {
      return Effect.fail(new NotAwaitable({ topic: of, detail: `${name} on the server does not stand on that topic` }))
    }
    if (topicId !== undefined && own.topicId !== undefined && own.topicId !== topicId) {
      const detail = "the server reads another topic of that name than was written to"
      return Effect.fail(new DataLoss({ topic: of, partition, consumedTo: offset + 1, resetTo: 0, detail }))
    }
    const reached = own.partitions.find((one) => one.partition === partition)
    return reached !== undefined && reached.offset > offset ? Effect.void : undefined
  }
  const lookAtWaiters = (): void => {
    for (const waiter of waiters) {
      const outcome = outcomeOf(waiter.ack)
      if (outcome === undefined) continue
      waiters.delete(waiter)
      waiter.resume(outcome)
    }
  }
  const awaitAck = (ack: WriteAck): Effect.Effect<void, NotAwaitable | DataLoss | TableClosed> =>
    Effect.callback((resume) => {
      const outcome = outcomeOf(ack)
      if (outcome !== undefined) return resume(outcome)
      const waiter: Waiter = { ack, resume }
      waiters.add(waiter)
      return Effect.sync(() => waiters.delete(waiter))
    })

  // ---------------------------------------------------------------------------------------------- events

  const change = (update: (now: Health) => Health): Effect.Effect<void> => SubscriptionRef.update(health, update)

  const decode = <A>(decoded: Effect.Effect<A, CodecError, RD>): Effect.Effect<Option.Option<A>> => {
    const effect = run(decoded)
    if (!Exit.isExit(effect)) return Effect.option(effect)
    const exit = effect as Exit.Exit<A, CodecError>
    return Exit.succeed(Exit.isSuccess(exit) ? Option.some(exit.value) : Option.none())
  }

  /** Decodes entries in slices. One of which the key is read and the value is not has no value. */
  const decodeAll = Effect.fnUntraced(function* (entries: ReadonlyArray<Wire.WireEntry>) {
    const decoded: Array<TableReplication.EntryChange<K, V>> = []
    let errors = 0
    let since = performance.now()
    for (const [i, entry] of entries.entries()) {
      const [text, ...value] = entry
      const key = yield* decode(topic.key.decode(Wire.encodeText(text)))
      if (Option.isNone(key)) errors++
      else if (entry.length === 1) decoded.push([key.value])
      else {
        const read = yield* decode(topic.value.decode(Wire.bytesOf(value as unknown as Wire.WireValue)))
        if (Option.isSome(read)) decoded.push([key.value, read.value])
        else {
          errors++
          decoded.push([key.value])
        }
      }
      if (i % 64 === 63 && performance.now() - since > SLICE) {
        yield* Effect.yieldNow
        since = performance.now()
      }
    }
    if (errors > 0) {
      yield* change((now) => ({ ...now, decodeErrors: now.decodeErrors + errors }))
      yield* Effect.logWarning(
        `${base}: ${errors} entries did not decode and are not in this copy: is the topic's definition that of the server?`
      )
    }
    return decoded
  })

  const showStatus = (status: Wire.WireStatus): void => {
    const { _tag, replayed = 0, target = 0 } = status
    replica.setStatus(_tag === "CaughtUp" ? { _tag: "CaughtUp" } : { _tag: "Degraded", replayed, target })
  }

  const counted = (reset: boolean) => (reset ? change((now) => ({ ...now, resets: now.resets + 1 })) : Effect.void)
  const began = Effect.suspend(() => {
    failures = 0
    return change((now) =>
      now.connected
        ? now
        : { ...now, connected: true, disconnectedSince: Option.none(), connections: now.connections + 1 }
    )
  })

  /** Applies the events of one connection, in their order. */
  const makeApply = (): {
    readonly apply: (event: ServerEvent) => Effect.Effect<void, Over>
    readonly silence: () => number
  } => {
    const events = new Copy.Connection()
    let size = 0
    let gathered: Array<TableReplication.EntryChange<K, V>> = []
    const apply = Effect.fnUntraced(function* (event: ServerEvent) {
      const message = yield* Effect.try({
        try: () => events.read(place, event),
        catch: () => new Over({ detail: `an event ${event.event} is not JSON` })
      })
      switch (message?._tag) {
        case "Begun": {
          size = message.size
          gathered = []
          return
        }
        case "Entries": {
          for (const one of yield* decodeAll(message.entries)) gathered.push(one)
          if (place.event === undefined) replica.setStatus({ _tag: "Loading", replayed: gathered.length, target: size })
          return
        }
        case "Replaced": {
          const entries = gathered.filter((one): one is readonly [K, V] => one.length === 2)
          gathered = []
          yield* replica.replace(entries, message.place.position)
          place = message.place
          yield* counted(message.isReset)
          yield* change((now) => ({ ...now, snapshots: now.snapshots + 1 }))
          showStatus(message.status)
          yield* began
          return lookAtWaiters()
        }
        case "Changed": {
          const all = gathered.concat(yield* decodeAll(message.entries))
          gathered = []
          replica.commit(all, message.place.position)
          place = message.place
          yield* counted(message.isReset)
          return lookAtWaiters()
        }
        case "Status": {
          place = message.place
          return showStatus(message.status)
        }
        case "Resumed": {
          showStatus(message.status)
          return yield* began
        }
        case "Older":
          return yield* new Over({ detail: "the server is behind what this copy has" })
      }
    })
    return { apply, silence: () => events.silence }
  }

  // ---------------------------------------------------------------------------------------------- connections

  const refusal = (asked: string, response: Response): Effect.Effect<RemoteRefused> =>
    Effect.map(
      Effect.orElseSucceed(
        Effect.tryPromise(() => response.text()),
        () => ""
      ),
      (text) => {
        let detail = text.slice(0, 200)
        try {
          detail = (JSON.parse(text) as { readonly message?: string }).message ?? detail
        } catch {
          // It is said by something that is no server of ours.
        }
        return new RemoteRefused({ url: asked, status: response.status, detail })
      }
    )

  const ask = (asked: string, init: RequestInit = {}) =>
    Effect.flatMap(headers, (own) =>
      Effect.tryPromise({
        try: (signal) => fetch(asked, { ...init, headers: { ...own, ...init.headers }, signal: init.signal ?? signal }),
        catch: (cause) => new Over({ detail: reasonOf(cause) })
      })
    )

  /** One connection, until it is over. */
  const connection: Effect.Effect<never, Over> = Effect.gen(function* () {
    const abort = yield* Effect.acquireRelease(
      Effect.sync(() => new AbortController()),
      (abort) => Effect.sync(() => abort.abort())
    )
    const { headers: own, query } = Copy.requestOf(place, SERVER_WAIT)
    if (options.prefix !== undefined) query.set("prefix", options.prefix)
    const asked = `${base}/changes${query.size === 0 ? "" : `?${query}`}`
    const response = yield* Effect.timeoutOrElse(ask(asked, { headers: own, signal: abort.signal }), {
      duration: ANSWER,
      orElse: () => Effect.fail(new Over({ detail: "no answer in time" }))
    })
    if (!response.ok || response.body === null) {
      const refused = yield* refusal(asked, response)
      const isLasting =
        response.status >= 400 && response.status < 500 && response.status !== 408 && response.status !== 429
      return yield* new Over({ detail: refused.message, ...(isLasting ? { refused } : {}) })
    }
    const reader = response.body.getReader()
    const parser = new EventParser()
    const { apply, silence } = makeApply()
    const read = Effect.tryPromise({
      try: () => reader.read(),
      catch: (cause) => new Over({ detail: reasonOf(cause) })
    })
    while (true) {
      const piece = yield* Effect.timeoutOrElse(read, {
        duration: silence(),
        orElse: () => Effect.fail(new Over({ detail: "nothing came for longer than the server promised" }))
      })
      if (piece.done) return yield* new Over({ detail: "the server ended the stream" })
      const events = yield* Effect.try({
        try: () => parser.push(piece.value),
        catch: (cause) => new Over({ detail: reasonOf(cause) })
      })
      for (const event of events) yield* apply(event)
    }
  }).pipe(Effect.scoped)

  const again = Effect.fnUntraced(function* ({ detail, refused: why }: Over) {
    const now = yield* Clock.currentTimeMillis
    if (why !== undefined && place.event === undefined) yield* Deferred.fail(refused, why)
    yield* change((before) => ({
      ...before,
      connected: false,
      disconnectedSince: before.connected ? Option.some(now) : before.disconnectedSince,
      lastError: Option.some(detail)
    }))
    const longest = Math.min(PAUSE * 2 ** failures++, LONGEST_PAUSE)
    yield* Effect.sleep(longest * (0.5 + Math.random() / 2))
  })

  // Registered before the fiber, so that it runs once that has ended.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      isClosed = true
      replica.close()
      lookAtWaiters()
    })
  )
  yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Effect.flip(connection), again)))

  const { startTimeout = "30 seconds" } = options
  if (startTimeout !== "background") {
    const started = Effect.raceFirst(
      Effect.catchCause(replica.table.awaitCaughtUp, () => Effect.never),
      Deferred.await(refused)
    )
    const inTime = yield* Effect.timeoutOption(started, startTimeout)
    if (Option.isNone(inTime)) {
      const { lastError } = yield* SubscriptionRef.get(health)
      const waited = Duration.toMillis(startTimeout)
      return yield* new RemoteUnavailable({
        url: base,
        detail: `no complete copy within ${waited} ms: ${Option.getOrElse(lastError, () => "it takes longer")}`
      })
    }
  }

  // ---------------------------------------------------------------------------------------------- writes

  const write = Effect.fnUntraced(function* (method: "PUT" | "DELETE", key: K, body: Uint8Array | undefined) {
    const bytes = yield* encoded("key", topic.key.encode(key))
    const text = Wire.textOf(bytes)
    if (text === undefined) {
      return yield* new EncodeError({ topic: topic.name, part: "key", detail: "its bytes are not UTF-8" })
    }
    // Not in the path, where no URL can have the keys `.` and `..`.
    const asked = `${base}/entries?key=${encodeURIComponent(text)}`
    const init: RequestInit = body === undefined ? { method } : { method, body: body as Uint8Array<ArrayBuffer> }
    const unknown = (detail: string) => new WriteOutcomeUnknown({ topic: topic.name, partition: -1, detail })
    const response = yield* Effect.mapError(ask(asked, init), ({ detail }) => unknown(detail))
    if (response.status === 504) return yield* unknown((yield* refusal(asked, response)).message)
    if (response.status === 502 || response.status === 503) {
      return yield* new RemoteUnavailable({ url: asked, detail: (yield* refusal(asked, response)).detail })
    }
    if (!response.ok) return yield* yield* refusal(asked, response)
    const answer = yield* Effect.tryPromise({
      try: () => response.json() as Promise<{ readonly ack: WriteAck }>,
      catch: (cause) => unknown(reasonOf(cause))
    })
    return answer.ack
  })
  const encoded = (part: "key" | "value", effect: Effect.Effect<Uint8Array, CodecError, RE>) =>
    Effect.mapError(run(effect), ({ detail }) => new EncodeError({ topic: topic.name, part, detail }))

  const remote: Pick<RemoteTable<K, V>, "url" | "health" | "healthChanges" | "awaitAck" | "set" | "delete"> = {
    url: base,
    health: SubscriptionRef.get(health),
    healthChanges: SubscriptionRef.changes(health),
    awaitAck,
    set: (key, value) => Effect.flatMap(encoded("value", topic.value.encode(value)), (body) => write("PUT", key, body)),
    delete: (key) => write("DELETE", key, undefined)
  }
  return Object.assign(replica.table, remote)
})

const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause)
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message
}

// ---------------------------------------------------------------------------------------------------------------------
// layers
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A layer that makes a copy for a service of your own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, K, V, RD, RE>(
  tag: Context.Key<Self, RemoteTable<K, V>>,
  url: string,
  topic: TableTopic<K, V, RD, RE>,
  options?: Options
): Layer.Layer<Self, StartError, Exclude<RD | RE, Scope.Scope>> => Layer.effect(tag, make(url, topic, options))
