/**
 * An open connection to one broker that speaks requests instead of bytes: it knows the versions the broker speaks, gives
 * itself up once an answer is late or unreadable, and turns whatever goes wrong into a `KafkaError`.
 */
import { monotonic } from "../moment.ts"
import { Effect, Exit, Scope } from "effect"
import {
  BrokerError,
  ConnectionFailed,
  type KafkaError,
  MalformedAnswer,
  UnsupportedRequest
} from "../../KafkaError.ts"
import type { BrokerAddress, KafkaConnection, KafkaTransport, RawRequest } from "../../KafkaTransport.ts"
import { formatAddress, LONGEST_TIMER } from "../../TransportSupport.ts"
import { type Api, decodeAnswer, encodeRequest, type Throttled } from "../protocol/api.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { apiVersions, type ApiVersionsAnswer } from "../protocol/messages/apiVersions.ts"
import { ProtocolViolation } from "../protocol/primitives.ts"
import { negotiate } from "../protocol/versions.ts"
import { throttled } from "./metrics.ts"

export interface ConnectionSettings {
  /** Milliseconds to wait for an answer, above what the request itself lets the broker wait. */
  readonly requestTimeout: number
  /** Milliseconds until a connection is open, authenticated, and its versions are known. */
  readonly connectTimeout: number
  /** Versions not to go above, by request name. */
  readonly versionCaps: Readonly<Record<string, number>>
}

export interface CallOptions {
  /** The highest version that can carry this very request. */
  readonly maxVersion?: number | undefined
  /** Milliseconds the request lets the broker wait before it answers. */
  readonly brokerWait?: number
  /** Gives memory for the answer. */
  readonly allocate?: RawRequest["allocate"]
}

export interface BrokerConnection {
  /** `host:port`. */
  readonly broker: string
  readonly isOpen: () => boolean
  readonly close: Effect.Effect<void>
  /** The version that `call` would use. */
  readonly versionOf: <Request, Answer extends Throttled>(
    api: Api<Request, Answer>,
    maxVersion?: number
  ) => Effect.Effect<number, UnsupportedRequest>
  readonly call: <Request, Answer extends Throttled>(
    api: Api<Request, Answer>,
    request: Request,
    options?: CallOptions
  ) => Effect.Effect<Answer, KafkaError>
  /** Sends a request to which a broker does not answer. */
  readonly tell: <Request, Answer extends Throttled>(
    api: Api<Request, Answer>,
    request: Request,
    options?: CallOptions
  ) => Effect.Effect<void, KafkaError>
}

/** Milliseconds without an answer to a connection attempt before it is said in the log. */
const SILENCE = 3000

/** What others are to know of a broker while a connection is opened and used. */
export interface ConnectionObserver {
  /** It did not take the connection, or left a request unanswered. */
  readonly onUnanswered: () => void
  /** It is still to answer an attempt that began three seconds ago; the sentence says what it has done. */
  readonly onSilence: (detail: string) => Effect.Effect<void>
}

const unobserved: ConnectionObserver = { onUnanswered: () => {}, onSilence: () => Effect.void }

/**
 * Connects and asks for the broker's versions. The connection lives in a scope of its own inside the caller's: it is
 * closed by either, and by itself when an answer is late or unreadable, since later ones cannot be trusted then.
 */
export const openBrokerConnection = Effect.fnUntraced(function* (
  transport: KafkaTransport["Service"],
  address: BrokerAddress,
  settings: ConnectionSettings,
  { onSilence, onUnanswered }: ConnectionObserver = unobserved
): Effect.fn.Return<BrokerConnection, KafkaError, Scope.Scope> {
  const broker = formatAddress(address)
  const scope = yield* Scope.fork(yield* Effect.scope)
  let isAccepted = false
  const notConnected = (detail: string) => new ConnectionFailed({ broker, request: "connect", detail })
  const notAnswered = (millis: number) =>
    notConnected(`it accepted the connection and did not answer within ${millis} ms: is it Kafka, is it up?`)
  const silence = Effect.suspend(() =>
    onSilence(
      isAccepted
        ? `it accepted the connection and has not answered for ${SILENCE / 1000} s: is it Kafka, is it up?`
        : `no connection for ${SILENCE / 1000} s: can this address be reached from here?`
    )
  ).pipe(Effect.delay(SILENCE), Effect.andThen(Effect.never))
  return yield* Effect.gen(function* () {
    const connection = yield* Scope.provide(transport.open(address), scope)
    isAccepted = true
    const answer = yield* Effect.timeoutOrElse(askVersions(connection, broker, settings), {
      duration: settings.requestTimeout,
      orElse: () => notAnswered(settings.requestTimeout)
    })
    const made = make(connection, broker, answer.versions, settings, scope, onUnanswered)
    yield* made.holdOff(apiVersions.name, answer.throttle)
    return made.connection
  }).pipe(
    Effect.raceFirst(silence),
    Effect.timeoutOrElse({
      duration: settings.connectTimeout,
      orElse: () =>
        isAccepted
          ? notAnswered(settings.connectTimeout)
          : notConnected(`no connection within ${settings.connectTimeout} ms`)
    }),
    Effect.tapError((error) =>
      Effect.sync(() => {
        if (error._tag === "ConnectionFailed" || error._tag === "RequestTimedOut") onUnanswered()
      })
    ),
    Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, exit) : Effect.void))
  )
})

const askVersions = Effect.fnUntraced(function* (
  connection: KafkaConnection,
  broker: string,
  settings: ConnectionSettings
): Effect.fn.Return<ApiVersionsAnswer, KafkaError> {
  const cap = settings.versionCaps[apiVersions.name] ?? apiVersions.maxVersion
  const first = yield* exchange(connection, broker, apiVersions, undefined, cap, LONGEST_TIMER)
  const answer =
    first.errorCode === ErrorCode.UNSUPPORTED_VERSION && cap > 0
      ? yield* exchange(connection, broker, apiVersions, undefined, 0, LONGEST_TIMER)
      : first
  if (answer.errorCode !== ErrorCode.NONE) {
    return yield* new BrokerError({ broker, request: apiVersions.name, code: answer.errorCode })
  }
  return answer
})

const make = (
  connection: KafkaConnection,
  broker: string,
  versions: ApiVersionsAnswer["versions"],
  settings: ConnectionSettings,
  scope: Scope.Closeable,
  onUnanswered: () => void
): {
  readonly connection: BrokerConnection
  /** Has nothing be sent for so many milliseconds, as the answer to a request asks. */
  readonly holdOff: (request: string, millis: number) => Effect.Effect<void>
} => {
  let closed = false
  /** Until when the broker reads nothing from this connection, in milliseconds of the monotonic clock. */
  let mutedUntil = 0

  const close = Effect.suspend(() => {
    closed = true
    return Scope.close(scope, Exit.void)
  })

  const versionOf: BrokerConnection["versionOf"] = (api, maxVersion = api.maxVersion) => {
    const negotiated = negotiate(api, versions, Math.min(maxVersion, settings.versionCaps[api.name] ?? maxVersion))
    return negotiated._tag === "Version"
      ? Effect.succeed(negotiated.version)
      : Effect.fail(new UnsupportedRequest({ broker, request: api.name, detail: negotiated.detail }))
  }

  // A broker that throttles answers at once and then leaves the connection unread for the time that the answer names
  // (KIP-219; every version spoken here means that). What was sent before that was known waits there, too.
  const holdOff = (request: string, millis: number): Effect.Effect<void> =>
    millis <= 0
      ? Effect.void
      : Effect.flatMap(monotonic, (now) => {
          mutedUntil = Math.max(mutedUntil, now + millis)
          connection.holdTimeouts(millis)
          return throttled(broker, request, millis)
        })

  /** Another request's answer may prolong it meanwhile. */
  const awaitUnmuted: Effect.Effect<void> = Effect.flatMap(monotonic, (now) =>
    mutedUntil > now
      ? Effect.andThen(
          Effect.sleep(Math.min(mutedUntil - now, LONGEST_TIMER)),
          Effect.suspend(() => awaitUnmuted)
        )
      : Effect.sync(() => {
          mutedUntil = 0
        })
  )

  const call: BrokerConnection["call"] = Effect.fnUntraced(
    function* (api, request, options) {
      const version = yield* versionOf(api, options?.maxVersion)
      if (mutedUntil > 0) yield* awaitUnmuted
      const timeout = Math.min(settings.requestTimeout + (options?.brokerWait ?? 0), LONGEST_TIMER)
      const answer = yield* exchange(connection, broker, api, request, version, timeout, options?.allocate)
      if (answer.throttle > 0) yield* holdOff(api.name, answer.throttle)
      return answer
    },
    Effect.tapError((error: KafkaError) => {
      if (error._tag === "RequestTimedOut") onUnanswered()
      return error._tag === "RequestTimedOut" || error._tag === "MalformedAnswer" ? close : Effect.void
    })
  )

  const tell: BrokerConnection["tell"] = Effect.fnUntraced(function* (api, request, options) {
    const version = yield* versionOf(api, options?.maxVersion)
    if (mutedUntil > 0) yield* awaitUnmuted
    const body = yield* encode(broker, api, request, version)
    yield* connection.send(frame(api, version, body, false, settings.requestTimeout))
  })

  const isOpen = (): boolean => !closed && connection.isOpen()
  return { connection: { broker, isOpen, close, versionOf, call, tell }, holdOff }
}

const frame = <Request, Answer extends Throttled>(
  api: Api<Request, Answer>,
  apiVersion: number,
  body: Uint8Array,
  expectsAnswer: boolean,
  timeout: number,
  allocate?: RawRequest["allocate"]
): RawRequest => {
  const flexible = apiVersion >= api.flexibleFrom
  return {
    apiKey: api.key,
    apiName: api.name,
    apiVersion,
    flexibleRequest: flexible,
    flexibleResponse: flexible && api.plainResponseHeader !== true,
    expectsAnswer,
    body,
    timeout,
    allocate
  }
}

const encode = <Request, Answer extends Throttled>(
  broker: string,
  api: Api<Request, Answer>,
  request: Request,
  version: number
): Effect.Effect<Uint8Array, UnsupportedRequest> =>
  orViolation(
    () => encodeRequest(api, request, version),
    (detail) => new UnsupportedRequest({ broker, request: api.name, detail })
  )

const exchange = Effect.fnUntraced(function* <Request, Answer extends Throttled>(
  connection: KafkaConnection,
  broker: string,
  api: Api<Request, Answer>,
  request: Request,
  version: number,
  timeout: number,
  allocate?: RawRequest["allocate"]
): Effect.fn.Return<Answer, KafkaError> {
  const body = yield* encode(broker, api, request, version)
  const bytes = yield* connection.send(frame(api, version, body, true, timeout, allocate))
  return yield* orViolation(
    () => decodeAnswer(api, bytes, version, request),
    (detail) => new MalformedAnswer({ broker, request: api.name, detail: `${detail} (version ${version})` })
  )
})

/** A violation becomes a typed failure; any other throw is a defect of this library and stays one. */
const orViolation = <A, E>(run: () => A, onViolation: (detail: string) => E): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (cause) {
      if (cause instanceof ProtocolViolation) return Effect.fail(onViolation(cause.message))
      throw cause
    }
  })
