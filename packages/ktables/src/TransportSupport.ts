/**
 * What every `KafkaTransport` needs beside its client's sockets: its options, reading addresses and headers, and finding
 * out why a broker shuts the door. For authors of transports.
 *
 * Kafka closes a connection that speaks the wrong language without a word, and so does a broker that is going down. The
 * two are told apart by asking again in the other language: only what is known for sure becomes `AuthenticationFailed`,
 * everything else stays retriable.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Redacted, Result, type Scope } from "effect"
import { type ConnectionOptions, createSecureContext } from "node:tls"
import {
  AuthenticationFailed,
  ConnectionFailed,
  type KafkaError,
  MalformedAnswer,
  RequestTimedOut
} from "./KafkaError.ts"
import * as Check from "./internal/options.ts"
import type { BrokerAddress, KafkaConnection, KafkaTransport, RawRequest } from "./KafkaTransport.ts"
import { InvalidOption } from "./TableError.ts"

const defaultPort = 9092

/**
 * The longest time, in milliseconds, that a timer of Node can wait for: one that is to wait longer fires at once.
 *
 * @category timers
 * @since 0.1.0
 */
export const LONGEST_TIMER = 0x7fffffff

const notAnAddress = (given: string): InvalidOption =>
  new InvalidOption({ option: "brokers", given, expected: "addresses as host:port, host or [ipv6]:port" })

/**
 * Reads `host:port`, `host` or `[ipv6]:port`, one each or many in one string with commas between them.
 *
 * @throws `InvalidOption` about what cannot be read.
 * @category addresses
 * @since 0.1.0
 */
export const parseBrokers = (brokers: string | ReadonlyArray<string>): ReadonlyArray<BrokerAddress> => {
  const texts = (typeof brokers === "string" ? [brokers] : brokers)
    .flatMap((text) => text.split(","))
    .map((text) => text.trim())
    .filter((text) => text !== "")
  if (texts.length === 0) throw notAnAddress("empty")
  return texts.map((text) => {
    const match = /^(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d+))?$/.exec(text)
    const host = match?.[1] ?? match?.[2]
    const port = match?.[3] === undefined ? defaultPort : Number(match[3])
    if (host === undefined || port < 1 || port > 65535) {
      throw notAnAddress(JSON.stringify(text))
    }
    return { host, port }
  })
}

/**
 * `host:port`, with brackets around an IPv6 address.
 *
 * @category addresses
 * @since 0.1.0
 */
export const formatAddress = ({ host, port }: BrokerAddress): string =>
  host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`

/**
 * What follows the tagged fields of response header version 1, or undefined when they do not end within the answer.
 *
 * @category framing
 * @since 0.1.0
 */
export const behindTaggedFields = (answer: Buffer): Buffer | undefined => {
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = answer[at++]
      if (byte === undefined) return Infinity
      value += (byte & 127) * 2 ** shift
      if (byte < 128) return value
    }
    return Infinity
  }
  for (let left = varint(); left > 0; left--) {
    varint()
    const length = varint()
    at += length
    if (at > answer.length) return undefined
  }
  return answer.subarray(at)
}

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string" ? cause.code : ""

const untrusted = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "CERT_REJECTED"
])

/**
 * What a TLS error of Node means for a Kafka client, or undefined when it says nothing about the settings of either
 * side.
 *
 * @category diagnosis
 * @since 0.1.0
 */
export const explainTlsError = (cause: unknown): string | undefined => {
  const code = codeOf(cause)
  const text = cause instanceof Error ? cause.message : String(cause)
  if (untrusted.has(code)) {
    return `its certificate is not trusted (${code}): is the issuer of the broker's certificate in the client's ca?`
  }
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return `its certificate is not valid at this time (${code}): are the broker's certificate and both clocks right?`
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return `its certificate is for another name (${text}): connect by that name, or set servername`
  }
  if (code.includes("WRONG_VERSION_NUMBER") || code.includes("PACKET_LENGTH_TOO_LONG")) {
    return "it does not speak TLS on this port: is TLS misconfigured on the client or the broker?"
  }
  if (code.startsWith("ERR_SSL_") && code.includes("ALERT")) {
    return `it refused the TLS handshake (${text}): does it demand a client certificate, or another one?`
  }
  if (code.startsWith("ERR_SSL_") || code.startsWith("ERR_TLS_") || code.startsWith("ERR_OSSL_")) {
    return `the TLS handshake failed (${text}): is TLS misconfigured on the client or the broker?`
  }
  return undefined
}

/** SaslHandshake 1 with the mechanism PLAIN, which a broker answers even where PLAIN is not enabled. */
const saslHandshake = (timeout: number): RawRequest => {
  const mechanism = "PLAIN"
  const body = Buffer.alloc(2 + mechanism.length)
  body.writeInt16BE(mechanism.length)
  body.write(mechanism, 2)
  return {
    apiKey: 17,
    apiName: "SaslHandshake",
    apiVersion: 1,
    flexibleRequest: false,
    flexibleResponse: false,
    expectsAnswer: true,
    body,
    timeout
  }
}

const unsupportedMechanism = 33

/** The mechanisms a listener offers; undefined for one without SASL. */
const offeredMechanisms = (answer: Buffer): string | undefined => {
  const code = answer.readInt16BE(0)
  if (code !== 0 && code !== unsupportedMechanism) return undefined
  const names: Array<string> = []
  let at = 6
  for (let left = answer.readInt32BE(2); left > 0; left--) {
    const length = answer.readInt16BE(at)
    names.push(answer.toString("utf8", at + 2, at + 2 + length))
    at += 2 + length
  }
  return names.join(", ")
}

/**
 * Finds out why a broker closed a connection before it had answered anything but ApiVersions: the client speaks TLS and
 * the listener does not, or the reverse, or the listener demands SASL. Undefined when it is none of these, as with a
 * broker that is going down.
 *
 * `ask` opens a connection of its own, plain or with TLS whose certificate is not checked, and sends one request.
 */
const diagnoseClosed = (options: {
  readonly address: BrokerAddress
  readonly tls: boolean
  readonly sasl: boolean
  /** Milliseconds for each connection and request. */
  readonly timeout: number
  readonly ask: (tls: boolean, request: RawRequest) => Effect.Effect<Buffer, unknown>
}): Effect.Effect<AuthenticationFailed | undefined> => {
  const { ask, sasl, timeout, tls } = options
  const failed = (detail: string) => new AuthenticationFailed({ broker: formatAddress(options.address), detail })
  const handshake = (withTls: boolean) => Effect.option(ask(withTls, saslHandshake(timeout)))
  return Effect.gen(function* () {
    const same = yield* handshake(tls)
    if (same._tag === "Some") {
      const mechanisms = offeredMechanisms(same.value)
      return sasl || mechanisms === undefined
        ? undefined
        : failed(`the listener demands SASL (${mechanisms}) and the client has none set`)
    }
    const other = yield* handshake(!tls)
    if (other._tag === "None") return undefined
    return failed(
      tls
        ? "the client speaks TLS and the listener does not: is TLS misconfigured on the client or the broker?"
        : "the listener speaks TLS and the client does not: set ssl, or connect to another port"
    )
  })
}

/** What says where to connect: `brokers` does. */
type Place = "host" | "port" | "path" | "socket"

/**
 * Node's TLS options, secrets redacted or not. Without `ca` the system's certificate authorities are trusted.
 *
 * @category options
 * @since 0.1.0
 */
export interface Tls extends Omit<ConnectionOptions, "key" | "passphrase" | Place> {
  /** PEM of the client's private key. */
  readonly key?: Redacted.Redacted<string> | string | Buffer | undefined
  readonly passphrase?: Redacted.Redacted<string> | string | undefined
}

/**
 * Proves who the client is by a name and a password.
 *
 * @category options
 * @since 0.1.0
 */
export interface PasswordSasl {
  readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
  readonly username: string
  readonly password: Redacted.Redacted<string> | string
}

/**
 * Proves who the client is by a token that somebody else has issued.
 *
 * @category options
 * @since 0.1.0
 */
export interface TokenSasl {
  readonly mechanism: "oauthbearer"
  /** Run for every connection and every renewal of its session; it should keep the token until that runs out. */
  readonly token: Effect.Effect<Redacted.Redacted<string> | string, unknown>
  readonly extensions?: Readonly<Record<string, string>>
}

/**
 * Which cluster to reach, and how: what every transport is told. `Sasl` holds the mechanisms that its client speaks.
 *
 * @category options
 * @since 0.1.0
 */
export interface TransportOptions<Sasl> {
  /** `host:port` of some brokers of the cluster, in a list or with commas between them; the others are found. */
  readonly brokers: string | ReadonlyArray<string>
  /** How brokers call the client in their logs and quotas. Default `effect-ktables`. */
  readonly clientId?: string | undefined
  /** `true` for TLS as the system trusts it. Default: no TLS. */
  readonly ssl?: boolean | Tls | undefined
  /** How the client proves who it is. Default: not at all. */
  readonly sasl?: Sasl | undefined
  /** How long connecting may take. Default 5 seconds. */
  readonly connectionTimeout?: Duration.Input | undefined
}

const connectionTimeoutOf = (options: TransportOptions<unknown>): Duration.Duration =>
  Duration.fromInputUnsafe(options.connectionTimeout ?? "5 seconds")

const isText = (value: unknown): boolean => typeof value === "string" && value !== ""

const isSecret = (value: unknown): boolean => isText(Redacted.isRedacted(value) ? Redacted.value(value) : value)

const passwordChecks = {
  username: Check.required(Check.text),
  password: Check.required(Check.secret("a string that is not empty, redacted or not", isSecret))
}

const saslChecks: Readonly<Record<string, Readonly<Record<string, Check.Check>>>> = {
  plain: passwordChecks,
  "scram-sha-256": passwordChecks,
  "scram-sha-512": passwordChecks,
  oauthbearer: {
    token: Check.required(Check.satisfies("an Effect of a token", Effect.isEffect)),
    extensions: Check.settings
  },
  aws: {
    authorizationIdentity: Check.required(Check.text),
    accessKeyId: Check.required(Check.text),
    secretAccessKey: Check.required(Check.secret("a string that is not empty, redacted or not", isSecret)),
    sessionToken: Check.secret("a string that is not empty, redacted or not", isSecret)
  }
}

/**
 * A SASL mechanism whose settings are known here.
 *
 * @category options
 * @since 0.1.0
 */
export type Mechanism = "plain" | "scram-sha-256" | "scram-sha-512" | "oauthbearer" | "aws"

const isBrokers = (value: unknown): boolean =>
  typeof value === "string" || (Array.isArray(value) && value.every((one) => typeof one === "string"))

const timeoutCheck = Check.duration({ min: 1 })

const places: ReadonlyArray<Place> = ["host", "port", "path", "socket"]

/** What Node says of TLS options that it does not take, without the value, which may be a secret. */
const tlsFault = (ssl: Tls): string | undefined => {
  const place = places.find((name) => name in ssl)
  if (place !== undefined) return `brokers says where to connect, and not ${place}`
  if (ssl.servername !== undefined && typeof ssl.servername !== "string") return "servername is no string"
  if (ssl.checkServerIdentity !== undefined && typeof ssl.checkServerIdentity !== "function") {
    return "checkServerIdentity is no function"
  }
  if (ssl.secureContext !== undefined) return undefined
  try {
    createSecureContext(tlsOptions(ssl))
    return undefined
  } catch (thrown) {
    return (thrown instanceof Error ? thrown.message : String(thrown)).replace(/ Received .*/s, "")
  }
}

/** Certificates and keys are read here, so that a wrong one is refused when it is given and not when it is used. */
const sslCheck: Check.Check = (value, option) => {
  if (typeof value === "boolean") return Result.succeed(value)
  const given = Check.shown(value)
  const expected = "true, false, or an object of Node's TLS options"
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return Result.fail({ option, given, expected })
  }
  const ssl = { ...value } as Tls
  const fault = tlsFault(ssl)
  return fault === undefined ? Result.succeed(ssl) : Result.fail({ option, given, expected: `${expected}: ${fault}` })
}

const checksOf = (mechanisms: ReadonlyArray<Mechanism>) => {
  const sasl = mechanisms.map((mechanism) => {
    const checks = { ...saslChecks[mechanism], mechanism: Check.text }
    return [mechanism, Check.record<Record<string, unknown>>(checks)] as const
  })
  return {
    brokers: Check.required(
      Check.copied(Check.copyOfArray, Check.satisfies("a string or a list of strings, each host:port", isBrokers))
    ),
    clientId: Check.text,
    ssl: sslCheck,
    sasl: Check.tagged("mechanism", Object.fromEntries(sasl)),
    connectionTimeout: timeoutCheck
  }
}

/**
 * Divides the options of a client into those of its protocol and those of its transport. They are copied: what is changed
 * later has no effect. A connection that was opened within `connectionTimeout` has as long again until the broker has said
 * which versions it speaks.
 *
 * @throws `InvalidOption` about a name or a value that cannot be meant.
 * @category options
 * @since 0.1.0
 */
export const clientOptions = <
  Options extends TransportOptions<unknown> & { readonly requestTimeout?: Duration.Input | undefined }
>(
  given: Options,
  mechanisms: ReadonlyArray<Mechanism>
): {
  readonly protocol: {
    readonly requestTimeout: Duration.Input | undefined
    readonly connectTimeout: Duration.Input
  }
  readonly transport: Omit<Options, "requestTimeout">
} => {
  const options = Check.takenOrThrow(
    Check.record<Record<string, unknown>>({ ...checksOf(mechanisms), requestTimeout: timeoutCheck }),
    given
  )
  const { requestTimeout, ...transport } = options
  const connectTimeout = Math.min(2 * Duration.toMillis(connectionTimeoutOf(options)), LONGEST_TIMER)
  return { protocol: { requestTimeout, connectTimeout }, transport }
}

const tlsOptions = (ssl: boolean | Tls | undefined): ConnectionOptions | undefined => {
  if (ssl === undefined || ssl === false) return undefined
  if (ssl === true) return {}
  const { key, passphrase, ...rest } = ssl
  return {
    ...rest,
    ...(key === undefined ? {} : { key: Redacted.isRedacted(key) ? Redacted.value(key) : key }),
    ...(passphrase === undefined
      ? {}
      : { passphrase: Redacted.isRedacted(passphrase) ? Redacted.value(passphrase) : passphrase })
  }
}

/**
 * An open connection as plain callbacks: what a transport makes of its client's sockets.
 *
 * @category models
 * @since 0.1.0
 */
export interface Channel {
  /** Sends a request, calls `settle` once with its outcome, and returns what drops the answer. */
  readonly send: (request: RawRequest, settle: (outcome: Effect.Effect<Buffer, KafkaError>) => void) => () => void
  readonly isOpen: () => boolean
  /** Requests other than ApiVersions that were answered: zero while the broker may still turn out to refuse us. */
  readonly answered: () => number
  /** Has time-outs begin in so many milliseconds at the earliest, also those of requests that are outstanding. */
  readonly holdTimeouts: (millis: number) => void
  /** True when the other end hung up, rather than this one. */
  readonly lostToPeer: () => boolean
  /** Destroys the socket and fails what is outstanding; `detail` says why. */
  readonly close: (detail: string) => void
}

/**
 * What carries the requests of a channel: a socket, or a client's connection around one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wire {
  /**
   * Puts a request on its way, at once. `written` is called for a request without an answer, when no more is to come of it.
   */
  readonly write: (request: RawRequest, correlationId: number, written: () => void) => void
  /** Destroys the socket, whatever is on its way. */
  readonly destroy: () => void
  /** True while a session is renewed without this channel's doing: requests wait until `release`. */
  readonly isHolding?: (() => boolean) | undefined
  /** Whether requests that wait for a renewal are timed, since nothing else would notice one that hangs. Default: false. */
  readonly timesHeld?: boolean | undefined
}

/**
 * A channel, and what its wire tells it.
 *
 * @category models
 * @since 0.1.0
 */
export interface RequestChannel extends Channel {
  /** Like `send`, while others are held back. */
  readonly sendAhead: Channel["send"]
  /** Keeps further requests from being written until `release`; `then` runs once those that were are answered, or lost. */
  readonly hold: (then: () => void) => void
  readonly release: () => void
  /** Bytes have arrived: the broker is not silent. */
  readonly progress: () => void
  /** The request that an answer begins for; `dropped` where nobody waits any more; undefined where nobody ever asked. */
  readonly begin: (correlationId: number) => RawRequest | "dropped" | undefined
  /** An answer is complete, from its correlation id on. The buffer is the receiver's to keep. */
  readonly complete: (correlationId: number, answer: Buffer) => void
  /** The other end hung up, or the connection broke. */
  readonly hungUp: (detail: string, cause?: unknown) => void
  /** This end gives the connection up. */
  readonly close: (detail: string, cause?: unknown) => void
}

interface Pending {
  readonly request: RawRequest
  readonly settle: (outcome: Effect.Effect<Buffer, KafkaError>) => void
  correlationId: number
  timer: NodeJS.Timeout | undefined
  sentAt: number
  dropped: boolean
  isSettled: boolean
}

const apiVersionsKey = 18
const largestCorrelationId = 0x7fffffff
const nothing = Buffer.alloc(0)

/**
 * Requests and their answers over one wire: correlation ids, time-outs, and an end that everybody is told of.
 *
 * **Details**
 *
 * A time-out counts from the last byte that arrived, and is in real time: a socket's other end keeps it, whatever clock the
 * program runs on. A request that was dropped keeps its time-out, so that callers who give up early do not keep a dead
 * connection alive.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeRequestChannel = (broker: string, wire: Wire): RequestChannel => {
  const pending = new Map<number, Pending>()
  const held: Array<() => void> = []
  let nextCorrelationId = 0
  let holding = false
  let onDrained: (() => void) | undefined
  let lost: string | undefined
  let lostToPeer = false
  let lastRead = 0
  let timeoutsHeldUntil = 0
  let answered = 0

  const failed = (request: RawRequest, detail: string, cause?: unknown): ConnectionFailed =>
    new ConnectionFailed({ broker, request: request.apiName, detail, ...(cause === undefined ? {} : { cause }) })

  const drained = (): void => {
    if (pending.size > 0) return
    const then = onDrained
    onDrained = undefined
    then?.()
  }

  const settle = (entry: Pending, outcome: Effect.Effect<Buffer, KafkaError>): void => {
    clearTimeout(entry.timer)
    if (entry.isSettled) return
    entry.isSettled = true
    if (pending.delete(entry.correlationId)) drained()
    if (!entry.dropped) entry.settle(outcome)
  }

  const lose = (detail: string, cause?: unknown): void => {
    if (lost !== undefined) return
    lost = detail
    wire.destroy()
    for (const entry of pending.values()) settle(entry, failed(entry.request, detail, cause))
    for (const write of held.splice(0)) write()
    drained()
  }

  const onTimeout = (entry: Pending): void => {
    // What has arrived meanwhile is read first: a busy or suspended process is no silent broker.
    setImmediate(() => {
      if (entry.isSettled) return
      const { apiName, timeout } = entry.request
      const left = Math.max(entry.sentAt, lastRead, timeoutsHeldUntil) + timeout - performance.now()
      // A long answer that still flows in is not late.
      if (left > 1) {
        entry.timer = setTimeout(onTimeout, Math.min(left, LONGEST_TIMER), entry)
        return
      }
      settle(entry, Effect.fail(new RequestTimedOut({ broker, request: apiName, timeout })))
      lose(`given up, since ${apiName} got no answer within ${timeout} ms`)
    })
  }

  const time = (entry: Pending): void => {
    if (entry.isSettled || entry.timer !== undefined) return
    entry.sentAt = performance.now()
    entry.timer = setTimeout(onTimeout, entry.request.timeout, entry)
  }

  const register = (entry: Pending): void => {
    if (entry.correlationId >= 0) return
    entry.correlationId = nextCorrelationId
    nextCorrelationId = nextCorrelationId === largestCorrelationId ? 0 : nextCorrelationId + 1
    pending.set(entry.correlationId, entry)
  }

  const write = (entry: Pending): void => {
    const { request } = entry
    if (lost !== undefined) return settle(entry, failed(request, lost))
    if (entry.dropped) return settle(entry, Effect.succeed(nothing))
    register(entry)
    entry.sentAt = performance.now()
    wire.write(request, entry.correlationId, () => settle(entry, Effect.succeed(nothing)))
    time(entry)
  }

  const submit = (request: RawRequest, settleWith: Pending["settle"], ahead: boolean): (() => void) => {
    const entry: Pending = {
      request,
      settle: settleWith,
      correlationId: -1,
      timer: undefined,
      sentAt: 0,
      dropped: false,
      isSettled: false
    }
    if (lost === undefined && !ahead && (holding || wire.isHolding?.() === true)) {
      if (wire.timesHeld === true) {
        register(entry)
        time(entry)
      }
      held.push(() => write(entry))
    } else {
      write(entry)
    }
    return () => {
      entry.dropped = true
    }
  }

  return {
    send: (request, settleWith) => submit(request, settleWith, false),
    sendAhead: (request, settleWith) => submit(request, settleWith, true),
    hold: (then) => {
      holding = true
      onDrained = then
      drained()
    },
    release: () => {
      holding = false
      for (const write of held.splice(0)) write()
    },
    progress: () => {
      lastRead = performance.now()
    },
    begin: (correlationId) => {
      const entry = pending.get(correlationId)
      if (entry === undefined) return undefined
      if (!entry.dropped) return entry.request
      settle(entry, Effect.succeed(nothing))
      return "dropped"
    },
    complete: (correlationId, answer) => {
      const entry = pending.get(correlationId)
      if (entry === undefined) return
      if (entry.request.apiKey !== apiVersionsKey) answered++
      const body = entry.request.flexibleResponse ? behindTaggedFields(answer) : answer
      if (body !== undefined) return settle(entry, Effect.succeed(body))
      const detail = "its header has no end"
      settle(entry, Effect.fail(new MalformedAnswer({ broker, request: entry.request.apiName, detail })))
      lose(detail)
    },
    hungUp: (detail, cause) => {
      lostToPeer ||= lost === undefined
      lose(detail, cause)
    },
    isOpen: () => lost === undefined,
    answered: () => answered,
    holdTimeouts: (millis) => {
      timeoutsHeldUntil = Math.max(timeoutsHeldUntil, performance.now() + millis)
    },
    lostToPeer: () => lostToPeer,
    close: lose
  }
}

/**
 * Where and how a channel is to be opened.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenOptions<Sasl> {
  readonly address: BrokerAddress
  readonly clientId: string
  /** Undefined for a plain connection. */
  readonly tls: ConnectionOptions | undefined
  /** Undefined for a channel that is not authenticated. */
  readonly sasl: Sasl | undefined
  /** Milliseconds: the `connectionTimeout` of the transport. */
  readonly timeout: number
}

/**
 * Why no channel could be opened.
 *
 * @category models
 * @since 0.1.0
 */
export interface NotOpened {
  readonly error: KafkaError
  /** True when the other end was there and hung up without a word: worth asking why. */
  readonly hungUp: boolean
}

const sendOver = (channel: Channel, request: RawRequest): Effect.Effect<Buffer, KafkaError> =>
  Effect.callback((resume) => {
    const drop = channel.send(request, resume)
    return Effect.sync(drop)
  })

/**
 * Makes a transport of what opens channels, and of a copy of the options. `openChannel` authenticates only if it is given
 * credentials, by one of `mechanisms`, and cleans up when it fails or is interrupted.
 *
 * @throws `InvalidOption` about a name, an address or another value that cannot be meant.
 * @category constructors
 * @since 0.1.0
 */
export const makeTransport = <Sasl>(
  given: TransportOptions<Sasl>,
  mechanisms: ReadonlyArray<Mechanism>,
  openChannel: (how: OpenOptions<Sasl>) => Effect.Effect<Channel, NotOpened>
): KafkaTransport["Service"] => {
  const options = Check.takenOrThrow(Check.record<TransportOptions<Sasl>>(checksOf(mechanisms)), given)
  const bootstrap = parseBrokers(options.brokers)
  const { sasl } = options
  const clientId = options.clientId ?? "effect-ktables"
  const tls = tlsOptions(options.ssl)
  const authenticates = sasl !== undefined
  const timeout = Duration.toMillis(connectionTimeoutOf(options))

  const openScoped = (
    address: BrokerAddress,
    how: { readonly tls: ConnectionOptions | undefined; readonly sasl: Sasl | undefined }
  ) =>
    Effect.acquireRelease(
      openChannel({ ...how, address, clientId, timeout }),
      (channel) => Effect.sync(() => channel.close("the connection was closed by this client")),
      { interruptible: true }
    )

  /** What a broker that hung up on us objects to, if that can be known. */
  const explained = (address: BrokerAddress, error: KafkaError): Effect.Effect<never, KafkaError> => {
    if (error._tag !== "ConnectionFailed") return Effect.fail(error)
    const sentence = tls === undefined ? undefined : explainTlsError(error.cause)
    if (sentence !== undefined) {
      return Effect.fail(
        new AuthenticationFailed({ broker: formatAddress(address), detail: sentence, cause: error.cause })
      )
    }
    const ask = (withTls: boolean, request: RawRequest) =>
      Effect.scoped(
        Effect.flatMap(
          openScoped(address, { tls: withTls ? { ...tls, rejectUnauthorized: false } : undefined, sasl: undefined }),
          (channel) => sendOver(channel, request)
        )
      )
    const what = { address, tls: tls !== undefined, sasl: authenticates, timeout, ask }
    return Effect.flatMap(diagnoseClosed(what), (found) => Effect.fail(found ?? error))
  }

  const open = (address: BrokerAddress): Effect.Effect<KafkaConnection, KafkaError, Scope.Scope> =>
    openScoped(address, { tls, sasl }).pipe(
      Effect.catch(({ error, hungUp }) => (hungUp ? explained(address, error) : Effect.fail(error))),
      Effect.map((channel) => ({
        address,
        isOpen: channel.isOpen,
        holdTimeouts: channel.holdTimeouts,
        send: (request) =>
          authenticates || channel.answered() > 0
            ? sendOver(channel, request)
            : Effect.catch(sendOver(channel, request), (error) =>
                channel.lostToPeer() ? explained(address, error) : Effect.fail(error)
              )
      }))
    )

  return { bootstrap, clientId, open }
}
