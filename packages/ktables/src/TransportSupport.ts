/**
 * What every `KafkaTransport` needs beside its sockets: reading addresses, and finding out why a broker shuts the door.
 *
 * Kafka closes a connection that speaks the wrong language without a word, and so does a broker that is going down. The
 * two are told apart by asking again in the other language: only what is known for sure becomes `AuthenticationFailed`,
 * everything else stays retriable.
 *
 * @since 0.1.0
 */
import { Effect } from "effect"
import { AuthenticationFailed } from "./KafkaError.ts"
import type { BrokerAddress, RawRequest } from "./KafkaTransport.ts"

const defaultPort = 9092

/**
 * Reads `host:port`, `host` or `[ipv6]:port`, one each or many in one string with commas between them.
 *
 * @throws a sentence about what cannot be read.
 * @category addresses
 * @since 0.1.0
 */
export const parseBrokers = (brokers: string | ReadonlyArray<string>): ReadonlyArray<BrokerAddress> => {
  const texts = (typeof brokers === "string" ? [brokers] : brokers)
    .flatMap((text) => text.split(","))
    .map((text) => text.trim())
    .filter((text) => text !== "")
  if (texts.length === 0) throw new Error("brokers is empty: name at least one as host:port")
  return texts.map((text) => {
    const match = /^(?:\[([^\]]+)\]|([^:[\]/]+))(?::(\d+))?$/.exec(text)
    const host = match?.[1] ?? match?.[2]
    const port = match?.[3] === undefined ? defaultPort : Number(match[3])
    if (host === undefined || port < 1 || port > 65535) {
      throw new Error(`brokers has "${text}", which is no host:port`)
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
 *
 * @category diagnosis
 * @since 0.1.0
 */
export const diagnoseClosed = (options: {
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
