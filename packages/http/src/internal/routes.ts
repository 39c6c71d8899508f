/** Answers requests for one table: entries, pages, writes and changes. */
import * as Effect from "effect/Effect"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as ByteSize from "effect/ByteSize"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type { HttpServerResponse as Response } from "effect/http/HttpServerResponse"
import * as KafkaTable from "effect-ktables/KafkaTable"
import * as Table from "effect-ktables/Table"
import * as TablePosition from "effect-ktables/TablePosition"
import type { WriteError } from "effect-ktables/TableError"
import type { WriteAck } from "effect-ktables/WriteAck"
import * as Answers from "./answers.ts"
import { etagOf, isNamed } from "./etag.ts"
import * as Hub from "./hub.ts"
import { Pages } from "./pages.ts"
import * as Past from "./past.ts"
import type { Served } from "./served.ts"
import * as Wire from "./wire.ts"

export interface Limits {
  /** Bytes of the body of a write. */
  readonly body: number
  /** Prefixes of one table that are followed at a time. */
  readonly prefixes: number
  /** Entries of a page. */
  readonly page: number
}

/** Milliseconds that a request may wait for a position, and does by default. */
const LONGEST_WAIT = 60_000
const WAIT = 5000
/** Milliseconds between two looks at a position that is waited for. */
const LOOK = 20
/** Milliseconds for which events are kept for those who come back. */
const IDLE = 30_000
/** The longest token that goes into a header. */
const LONGEST_HEADER = 4096

export type Answer = Effect.Effect<Response, Answers.Refusal, Scope.Scope>

export interface TableRoutes {
  readonly name: string
  readonly isWritable: boolean
  readonly hasHistory: boolean
  readonly table: Table.Any
  readonly entry: (key: string, query: URLSearchParams, request: HttpServerRequest) => Answer
  readonly page: (query: URLSearchParams, request: HttpServerRequest) => Answer
  readonly put: (key: string, request: HttpServerRequest) => Answer
  readonly delete: (key: string) => Answer
  readonly changes: (query: URLSearchParams, request: HttpServerRequest) => Answer
  readonly history: (key: string, query: URLSearchParams) => Answer
}

const parseWait = (text: string | null): Effect.Effect<number, Answers.Refusal> => {
  if (text === null) return Effect.succeed(WAIT)
  const [, digits, unit] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s)$/.exec(text) ?? []
  if (digits === undefined) return Effect.fail(Answers.badRequest(`wait is ${text}: expected for example 5s or 200ms`))
  return Effect.succeed(Math.min(Number(digits) * (unit === "s" ? 1000 : 1), LONGEST_WAIT))
}

/** The status of a write that failed. */
const writeStatus: Readonly<Record<WriteError["_tag"], number>> = {
  EncodeError: 400,
  InvalidOption: 500,
  WriteRejected: 422,
  WriteOutcomeUnknown: 504,
  WriteTimeout: 504,
  WriterClosed: 503,
  TopicNotFound: 502,
  NotAuthorized: 502,
  AuthenticationRefused: 502,
  ClusterRefused: 502
}

const otherLog: Answers.Refusal = {
  status: 409,
  error: "OtherLog",
  message: "the token is of another topic, or of a log that was cut since: read again without it"
}

export const make = Effect.fnUntraced(function* <K, V>(
  served: Served<K, V>,
  settings: Hub.Settings,
  limits: Limits
): Effect.fn.Return<TableRoutes, never, Scope.Scope> {
  const { name, table, writer } = served
  const pages = new Pages(served, yield* Effect.scope)
  const hubs = yield* RcMap.make({
    lookup: (prefix: string) => Hub.make(served, prefix, settings),
    idleTimeToLive: IDLE,
    capacity: limits.prefixes
  })

  const position = (): TablePosition.TablePosition => Table.position(table)
  /** The token of the position at the last request: most of the time it has not moved. */
  let last: { readonly position: TablePosition.TablePosition; readonly token: string } | undefined
  const token = (): string => {
    const now = position()
    if (last === undefined || !Wire.isSamePosition(last.position, now)) {
      last = { position: now, token: Wire.positionToken(now) }
    }
    return last.token
  }
  const headers = (): Record<string, string> => {
    const at = token()
    return at.length > LONGEST_HEADER ? {} : { "ktables-at": at }
  }

  const decodeKey = (text: string): Effect.Effect<K, Answers.Refusal> =>
    Effect.mapErrorEager(served.keyOf(text), (error) =>
      Answers.badRequest(`${text} is no key of ${name}: ${error.message}`)
    )

  // ---------------------------------------------------------------------------------------------- waits

  const awaitPosition = (wanted: TablePosition.TablePosition): Effect.Effect<void, Answers.Refusal> =>
    Effect.suspend(() => {
      switch (TablePosition.relation(position(), wanted)) {
        case "has":
          return Effect.void
        case "differs":
          return Effect.fail(otherLog)
        case "lacks":
          return Effect.andThen(Effect.sleep(LOOK), awaitPosition(wanted))
      }
    })

  const awaitWrite = (ack: WriteAck): Effect.Effect<void, Answers.Refusal> =>
    served.awaitOffset === undefined
      ? awaitPosition(Wire.positionOfAck(ack))
      : Effect.andThen(
          Effect.mapError(served.awaitOffset(ack), (error): Answers.Refusal => {
            if (error._tag === "DataLoss" || error._tag === "WriteSuperseded") {
              return { status: 409, error: error._tag, message: error.message }
            }
            if (error._tag === "NotAwaitable" || error._tag === "InvalidOption")
              return Answers.badRequest(error.message)
            return { status: 503, error: error._tag, message: error.message }
          }),
          // Out of the commit that resumed it.
          Effect.yieldNow
        )

  /** Waits for what `at` names, for as long as `wait` says. */
  const awaited = (
    query: URLSearchParams,
    request: HttpServerRequest,
    wait = (at: Wire.Awaited) => (at._tag === "Position" ? awaitPosition(at.position) : awaitWrite(at.ack))
  ): Effect.Effect<void, Answers.Refusal> => {
    const token = query.get("at") ?? request.headers["ktables-at"]
    if (token === undefined) return Effect.void
    const at = Wire.parseToken(token)
    if (at === undefined) return Effect.fail(Answers.badRequest("at is no token of these servers"))
    return Effect.flatMap(parseWait(query.get("wait")), (millis) =>
      Effect.timeoutOrElse(wait(at), {
        duration: millis,
        orElse: () =>
          Effect.fail<Answers.Refusal>({
            status: 503,
            error: "NotYet",
            message: `${name} has not come so far within ${millis} ms`,
            retryAfter: 1
          })
      })
    )
  }

  // ---------------------------------------------------------------------------------------------- reads

  const entry = (text: string, query: URLSearchParams, request: HttpServerRequest): Answer =>
    Effect.flatMapEager(decodeKey(text), (key) =>
      Effect.flatMapEager(awaited(query, request), () => valueOf(text, key, request.headers["if-none-match"]))
    )

  const valueOf = (text: string, key: K, known: string | undefined): Answer => {
    const at = headers()
    const { view } = table
    const value = view.get(key)
    if (value === undefined && !view.has(key)) {
      return Effect.succeed(Answers.refused(Answers.notFound(`${name} has no ${text}`), at))
    }
    return Effect.flatMapEager(
      Effect.mapErrorEager(served.writtenOf(value as V), (error): Answers.Refusal => ({
        status: 500,
        error: "Unwritable",
        message: `${text} of ${name}: ${error.message}`
      })),
      (written) => {
        at["etag"] = etagOf(written)
        const isKnown = known !== undefined && isNamed(known, at["etag"])
        return Effect.succeed(isKnown ? Answers.empty(304, at) : Answers.value(written, at))
      }
    )
  }

  const page = Effect.fnUntraced(function* (query: URLSearchParams, request: HttpServerRequest) {
    const given = query.get("limit")
    const limit = given === null ? Math.min(100, limits.page) : Number(given)
    if (!Number.isInteger(limit) || limit < 1 || limit > limits.page) {
      return yield* Effect.fail(Answers.badRequest(`limit is ${given}: expected 1 to ${limits.page}`))
    }
    yield* awaited(query, request)
    const { at, entries, next, size } = yield* pages.page({
      prefix: query.get("prefix") ?? "",
      from: query.get("from") ?? undefined,
      after: query.get("after") ?? undefined,
      limit
    })
    const texts: Array<string> = []
    for (const [text, value] of entries) {
      const printed = yield* served.printed(value)
      if (printed !== undefined) texts.push(`[${JSON.stringify(text)},${printed}]`)
    }
    const token = Wire.positionToken(at)
    return Answers.json(
      `{"table":${JSON.stringify(name)},"size":${size},"at":"${token}","next":${JSON.stringify(next ?? null)},"entries":[${texts.join(",")}]}`,
      { headers: token.length > LONGEST_HEADER ? {} : { "ktables-at": token } }
    )
  })

  // ---------------------------------------------------------------------------------------------- writes

  const readOnly: Answers.Refusal = {
    status: 405,
    error: "ReadOnly",
    message: `${name} is served without a writer: it is read-only`
  }

  const written = (write: Effect.Effect<WriteAck, WriteError>): Answer =>
    write.pipe(
      Effect.map((ack) =>
        Answers.json(`{"at":"${Wire.writeToken(ack)}","ack":${JSON.stringify(ack)}}`, { headers: headers() })
      ),
      Effect.mapError((error): Answers.Refusal => ({
        status: writeStatus[error._tag],
        error: error._tag,
        message: error.message
      }))
    )

  const readBody = (request: HttpServerRequest): Effect.Effect<Uint8Array, Answers.Refusal> => {
    const tooLarge: Answers.Refusal = {
      status: 413,
      error: "TooLarge",
      message: `a value may have ${limits.body} bytes here`
    }
    if (Number(request.headers["content-length"] ?? 0) > limits.body) return Effect.fail(tooLarge)
    return request.arrayBuffer.pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(limits.body)),
      Effect.mapError(() => tooLarge),
      Effect.map((buffer) => new Uint8Array(buffer))
    )
  }

  const put = Effect.fnUntraced(function* (text: string, request: HttpServerRequest) {
    if (writer === undefined) return yield* Effect.fail(readOnly)
    const key = yield* decodeKey(text)
    const bytes = yield* readBody(request)
    const value = yield* Effect.mapError(served.valueOf(bytes), (error) =>
      Answers.badRequest(`the body is no value of ${name}: ${error.message}`)
    )
    return yield* written(writer.set(key, value))
  })

  const remove = (text: string): Answer =>
    writer === undefined ? Effect.fail(readOnly) : Effect.flatMap(decodeKey(text), (key) => written(writer.delete(key)))

  // ---------------------------------------------------------------------------------------------- changes

  const changes = Effect.fnUntraced(function* (query: URLSearchParams, request: HttpServerRequest) {
    const prefix = query.get("prefix") ?? ""
    const hub = yield* Effect.mapError(RcMap.get(hubs, prefix), (): Answers.Refusal => ({
      status: 503,
      error: "TooManyPrefixes",
      message: `${limits.prefixes} prefixes of ${name} are followed already`,
      retryAfter: 1
    }))
    const id = query.get("since") ?? request.headers["last-event-id"]
    const [, gen, seq] = /^([\w-]{1,32})\.(\d{1,15})$/.exec(id ?? "") ?? []
    const resume = gen === undefined ? undefined : { gen, seq: Number(seq) }
    let wanted: TablePosition.TablePosition | undefined = []
    if (resume === undefined || !hub.resumes(resume)) {
      // A client that has seen more than this server has is not taken back, unless it has seen another log.
      yield* awaited(query, request, (at) => {
        wanted = at._tag === "Position" ? at.position : Wire.positionOfAck(at.ack)
        return Effect.catchIf(
          awaitPosition(wanted),
          (refusal) => refusal === otherLog,
          () =>
            Effect.sync(() => {
              wanted = undefined
            })
        )
      })
    }
    return HttpServerResponse.stream(hub.stream(resume, wanted), {
      contentType: "text/event-stream",
      headers: {
        ...headers(),
        "cache-control": "no-cache, no-transform",
        "x-accel-buffering": "no",
        "x-content-type-options": "nosniff"
      }
    })
  })

  return {
    name,
    isWritable: writer !== undefined,
    hasHistory: served.history !== undefined,
    table,
    entry,
    page,
    put,
    delete: remove,
    changes,
    history: Past.make(served, decodeKey)
  }
})

/** The status of a table, for those who watch over servers. */
export const stateOf = ({ hasHistory, isWritable, name, table }: TableRoutes): Effect.Effect<Wire.WireTable> =>
  Effect.gen(function* () {
    const partitions = KafkaTable.isKafkaTable(table) ? (yield* table.health).partitions : undefined
    return {
      name,
      status: Hub.statusOf(yield* table.status),
      size: table.view.size,
      lag: partitions?.reduce((sum, { lag }) => sum + lag, 0) ?? null,
      at: Wire.positionToken(Table.position(table)),
      writable: isWritable,
      history: hasHistory
    }
  })
