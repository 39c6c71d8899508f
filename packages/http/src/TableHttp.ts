/**
 * Tables over HTTP: entries by key and by page, and a stream of every change, for browsers and other processes.
 *
 * **When to use**
 *
 * Where something without a Kafka client is to read or follow a table. `RemoteTable` is the other end; any client of HTTP and
 * server-sent events will do.
 *
 * **Details**
 *
 * | request | answer |
 * |---|---|
 * | `GET /tables` | what is served |
 * | `GET /tables/:name/entries?prefix&from&limit&after` | a page of entries of one version |
 * | `GET /tables/:name/entries/:key` | a value, with an `ETag`; `?at=TOKEN&wait=5s` waits for a write or position |
 * | `PUT`, `DELETE /tables/:name/entries/:key` | the place of the write; only where the table is served with a writer |
 * | `GET /tables/:name/changes?prefix` | server-sent events: a snapshot, and every change after it |
 * | `GET /tables/:name/history/:key?limit` | what became of a key, from the log; only where the table is served with it |
 * | `GET /health`, `/ready`, `/metrics`, `/openapi.json` | for those who run it |
 *
 * What the answers hold is in `docs/http.md`.
 *
 * **Gotchas**
 *
 * There is no authorization unless a middleware does it, and no CORS unless `HttpRouter.cors` is added. Requests whose `Host`
 * is neither an address, `localhost`, nor one of `hosts` are refused, so that no web page reaches the server through a name of
 * its own.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as HttpRouter from "effect/http/HttpRouter"
import { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { HttpServerResponse as Response } from "effect/http/HttpServerResponse"
import * as PrometheusMetrics from "effect/observability/PrometheusMetrics"
import * as KafkaTable from "effect-ktables/KafkaTable"
import type { Table } from "effect-ktables/Table"
import type { AwaitOffsetError, WriteError } from "effect-ktables/TableError"
import type { TableTopic } from "effect-ktables/TableTopic"
import type { WriteAck } from "effect-ktables/WriteAck"
import * as Answers from "./internal/answers.ts"
import { describe } from "./internal/openApi.ts"
import { livePage } from "./internal/page.ts"
import * as Routes from "./internal/routes.ts"
import { type Definition, Served as ServedTable } from "./internal/served.ts"

const TypeId = "~effect-ktables/http/TableHttp/Served"

/**
 * A table as it is served: under a name, with the codecs of a topic. `R` is what the codecs and the reading of its log need.
 *
 * @category models
 * @since 0.1.0
 */
export interface Served<out R = never> {
  readonly [TypeId]: { readonly _R: () => R }
  readonly name: string
}

/**
 * Options of a table that is served.
 *
 * @category options
 * @since 0.1.0
 */
export interface ServedOptions<K, V, out R = never> {
  /** What it is called in URLs. Default: the name of the topic. */
  readonly name?: string | undefined
  /** Takes `PUT` and `DELETE`, for example a `KafkaTableWriter`. Default: none, the table is read-only. */
  readonly writer?:
    | {
        readonly set: (key: K, value: V) => Effect.Effect<WriteAck, WriteError>
        readonly delete: (key: K) => Effect.Effect<WriteAck, WriteError>
      }
    | undefined
  /**
   * Waits for a write. Default: that of the table, where it is of a topic, and else until the positions of its sources have
   * passed the write, which says nothing of one that was lost.
   */
  readonly awaitOffset?: ((ack: WriteAck) => Effect.Effect<void, AwaitOffsetError>) | undefined
  /**
   * Reads what became of a key, from the log, for those who ask: `KafkaTable.history` of the topic. Each time it goes through a
   * whole partition, so that two are read at a time, for ten seconds at most. Default: none, the route answers 501.
   */
  readonly history?: ((key: K) => Stream.Stream<KafkaTable.HistoryItem<V>, KafkaTable.HistoryError, R>) | undefined
}

/**
 * A table to be served, with the codecs of a topic: its own, or of a definition that is made for a derived table.
 *
 * **Details**
 *
 * The text of a key is what its codec writes, and has to be UTF-8. A value that its codec writes as JSON is served as
 * that, any other as text, or in base64. An entry that its codec cannot write is left out.
 *
 * **Example** (A derived table under a name of its own)
 *
 * ```ts
 * import * as TableHttp from "@effect-ktables/http/TableHttp"
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, Table, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 * const gross = TableTopic.make({ name: "gross", key: Schema.String, value: Schema.Finite })
 *
 * export const served = Effect.gen(function* () {
 *   const table = yield* KafkaTable.make(prices)
 *   return [
 *     TableHttp.served(prices, table),
 *     TableHttp.served(gross, yield* Table.map(table, (price) => price * 1.19))
 *   ]
 * })
 * ```
 *
 * **Example** (With the past of its keys, and writes)
 *
 * ```ts
 * import * as TableHttp from "@effect-ktables/http/TableHttp"
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * export const served = Effect.gen(function* () {
 *   return TableHttp.served(prices, yield* KafkaTable.make(prices), {
 *     writer: yield* KafkaTableWriter.make(prices),
 *     history: (key) => KafkaTable.history(prices, key)
 *   })
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const served = <K, V, E, RD, RE, R = never>(
  topic: TableTopic<K, V, RD, RE>,
  table: Table<K, V, E>,
  options: ServedOptions<K, V, R> = {}
): Served<RD | RE | R> => {
  const ofTopic: unknown = table
  const definition: Definition<K, V> = {
    name: options.name ?? topic.name,
    topic: topic as unknown as TableTopic<K, V, unknown, unknown>,
    table: table as unknown as Table<K, V, unknown>,
    writer: options.writer,
    awaitOffset: options.awaitOffset ?? (KafkaTable.isKafkaTable(ofTopic) ? ofTopic.awaitOffset : undefined),
    history: options.history
  }
  const self: Served<RD | RE | R> & { readonly definition: Definition<K, V> } = {
    [TypeId]: { _R: () => undefined as never },
    name: definition.name,
    definition
  }
  return self
}

/**
 * Options of the routes.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out R = never> {
  readonly tables: ReadonlyArray<Served<R>>
  /** Names under which the server is asked, beside addresses and `localhost`. Default: none. */
  readonly hosts?: ReadonlyArray<string> | undefined
  /** What `GET /` answers. Default: the live page, on which people look at the tables. */
  readonly page?: Response | Effect.Effect<Response> | undefined
  /** How long changes are gathered before they are sent. Default: 50 milliseconds. */
  readonly flushEvery?: Duration.Input | undefined
  /** How long a stream of changes is silent at most. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
  /**
   * Bytes of changes that are kept, for each table and prefix that is followed: a client that is later by more is given a
   * snapshot. Default: 4 MiB.
   */
  readonly retainedBytes?: number | undefined
  /** Bytes of the body of a `PUT`. Default: 1 MiB. */
  readonly maxBodyBytes?: number | undefined
  /** Characters of a URL. Default: 8,192. */
  readonly maxUrlLength?: number | undefined
  /** Prefixes of one table that may be followed at a time. Default: 100. */
  readonly maxPrefixes?: number | undefined
}

/** An address cannot be a name that a web page has made its own, and a browser always says a name. */
const isSafeHost = (host: string | undefined, hosts: ReadonlySet<string>): boolean => {
  if (host === undefined) return true
  const name = host.replace(/:\d{1,5}$/, "").toLowerCase()
  return (
    name === "localhost" ||
    name.endsWith(".localhost") ||
    /^\d{1,3}(\.\d{1,3}){3}$/.test(name) ||
    /^\[[0-9a-f:.]+\]$/.test(name) ||
    hosts.has(name)
  )
}

const noTable = (name: string): Answers.Refusal => Answers.notFound(`there is no table ${name}`)

const decoded = (segment: string): string | undefined => {
  if (!segment.includes("%")) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/**
 * The routes of some tables, added to the router that they are provided to. Closing the scope ends all streams.
 *
 * **Example** (Beside routes of one's own, with a token that every request has to have)
 *
 * ```ts
 * import * as TableHttp from "@effect-ktables/http/TableHttp"
 * import { Effect, Layer, Redacted, Schema } from "effect"
 * import { KafkaTable, TableTopic } from "effect-ktables"
 * import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
 *
 * const flags = TableTopic.make({ name: "flags", key: Schema.String, value: Schema.Boolean })
 *
 * class Flags extends KafkaTable.Service<Flags>()("app/Flags", flags) {}
 *
 * const Tables = Layer.unwrap(
 *   Effect.gen(function* () {
 *     return TableHttp.layer({ tables: [TableHttp.served(flags, yield* Flags)] })
 *   })
 * )
 *
 * const authorized = (token: Redacted.Redacted) =>
 *   HttpRouter.middleware(
 *     (app) =>
 *       Effect.gen(function* () {
 *         const request = yield* HttpServerRequest.HttpServerRequest
 *         return request.headers["authorization"] === `Bearer ${Redacted.value(token)}`
 *           ? yield* app
 *           : HttpServerResponse.empty({ status: 401 })
 *       }),
 *     { global: true }
 *   )
 *
 * export const routes = Layer.mergeAll(
 *   Tables,
 *   authorized(Redacted.make("secret")),
 *   HttpRouter.add("GET", "/hello", HttpServerResponse.text("hello"))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R = never>(options: Options<R>): Layer.Layer<never, never, HttpRouter.HttpRouter | R> =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const router = yield* HttpRouter.HttpRouter
      const context = yield* Effect.context<R>()
      const scope = yield* Effect.scope
      const routes = yield* tableRoutes(options, context as Context.Context<unknown>, scope)
      const hosts = new Set(options.hosts?.map((host) => host.toLowerCase()))
      const maxUrl = options.maxUrlLength ?? 8192

      const guarded = (answer: (request: HttpServerRequest) => Routes.Answer) =>
        Effect.flatMap(HttpServerRequest, (request) => {
          if (request.url.length > maxUrl) {
            return Effect.succeed(
              Answers.refused({ status: 414, error: "UrlTooLong", message: `a URL may have ${maxUrl} characters` })
            )
          }
          if (!isSafeHost(request.headers["host"], hosts)) {
            return Effect.succeed(
              Answers.refused({
                status: 421,
                error: "UnknownHost",
                message: "this server does not go by that name: name it in `hosts`"
              })
            )
          }
          return Effect.catchEager(answer(request), (refusal) => Effect.succeed(Answers.refused(refusal)))
        })

      const states = Effect.suspend(() => Effect.forEach([...routes.values()], Routes.stateOf))
      const told = (isGood: (status: string) => boolean) => () =>
        Effect.map(states, (tables) =>
          Answers.json(JSON.stringify({ tables }), {
            status: tables.every(({ status }) => isGood(status._tag)) ? 200 : 503
          })
        )

      const ofTable = (request: HttpServerRequest): Routes.Answer => {
        const [path = "", search = ""] = split(request.url)
        const [, root, name, part, segment, ...more] = path.split("/")
        if (root !== "tables" || more.length > 0) return Effect.fail(Answers.notFound("there is nothing here"))
        const isRead = request.method === "GET" || request.method === "HEAD"
        if (name === undefined || name === "") {
          return isRead
            ? Effect.map(states, (tables) => Answers.json(JSON.stringify({ tables })))
            : Effect.fail(notAllowed)
        }
        const tableName = decoded(name)
        const table = tableName === undefined ? undefined : routes.get(tableName)
        if (table === undefined) return Effect.fail(noTable(name))
        const query = search === "" ? noQuery : new URLSearchParams(search)
        if (part === "changes" && segment === undefined) {
          return isRead ? table.changes(query, request) : Effect.fail(notAllowed)
        }
        if (part !== "entries" && part !== "history") return Effect.fail(Answers.notFound("there is nothing here"))
        // Of a URL whose last segment is `.` or `..` clients send what is left: an empty segment is never the empty key.
        const given = segment === undefined || segment === "" ? keyIn(search) : segment
        if (given === undefined) {
          if (segment === "") return Effect.fail(Answers.badRequest("this names no key: give it as ?key="))
          if (part === "history") return Effect.fail(Answers.notFound("there is nothing here"))
          return isRead ? table.page(query, request) : Effect.fail(notAllowed)
        }
        const text = decoded(given)
        if (text === undefined) return Effect.fail(Answers.badRequest("the key is not percent-encoded UTF-8"))
        if (part === "history") return isRead ? table.history(text, query) : Effect.fail(notAllowed)
        if (isRead) return table.entry(text, query, request)
        if (request.method === "PUT") return table.put(text, request)
        if (request.method === "DELETE") return table.delete(text)
        return Effect.fail(notAllowed)
      }

      const { page = livePage } = options
      const openApi = describe([...routes.values()])
      yield* router.add("*", "/tables/*", guarded(ofTable))
      yield* router.add(
        "GET",
        "/",
        guarded(() => (Effect.isEffect(page) ? page : Effect.succeed(page)))
      )
      yield* router.add("GET", "/health", guarded(told((status) => status !== "Failed" && status !== "Closed")))
      yield* router.add("GET", "/ready", guarded(told((status) => status === "CaughtUp" || status === "Rebuilding")))
      yield* router.add(
        "GET",
        "/openapi.json",
        guarded(() => Effect.succeed(Answers.json(openApi)))
      )
      yield* router.add(
        "GET",
        "/metrics",
        guarded(() =>
          Effect.map(PrometheusMetrics.format(), (text) =>
            HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
          )
        )
      )
    })
  )

const noQuery = new URLSearchParams()

/** The key in a query, as it stands there: `URLSearchParams` replaces what is not UTF-8. */
const keyIn = (search: string): string | undefined => /(?:^|&)key=([^&]*)/.exec(search)?.[1]?.replaceAll("+", " ")

const notAllowed: Answers.Refusal = { status: 405, error: "NotAllowed", message: "not with this method" }

const split = (url: string): ReadonlyArray<string> => {
  const at = url.indexOf("?")
  return at < 0 ? [url] : [url.slice(0, at), url.slice(at + 1)]
}

const tableRoutes = Effect.fnUntraced(function* <R>(
  options: Options<R>,
  context: Context.Context<unknown>,
  scope: Scope.Scope
) {
  const routes = new Map<string, Routes.TableRoutes>()
  for (const one of options.tables) {
    const { definition } = one as Served<R> & { readonly definition: Definition<unknown, unknown> }
    if (routes.has(one.name)) return yield* Effect.die(new Error(`two tables are to be served as ${one.name}`))
    routes.set(
      one.name,
      yield* Scope.provide(
        Routes.make(
          new ServedTable(definition, context),
          {
            flushEvery: Duration.toMillis(options.flushEvery ?? "50 millis"),
            keepAlive: Duration.toMillis(options.keepAlive ?? "15 seconds"),
            retained: options.retainedBytes ?? 4 * 1024 * 1024
          },
          { body: options.maxBodyBytes ?? 1024 * 1024, prefixes: options.maxPrefixes ?? 100, page: 1000 }
        ),
        scope
      )
    )
  }
  return routes
})
