/**
 * Opens and authenticates a `Connection` of @platformatic/kafka, and says what its errors mean.
 */
import {
  AuthenticationError,
  Connection,
  type ConnectionOptions,
  ProtocolError,
  type SASLOptions,
  TimeoutError
} from "@platformatic/kafka"
import { Effect, Redacted } from "effect"
import { AuthenticationFailed, ConnectionFailed } from "effect-ktables/KafkaError"
import {
  type Channel,
  explainTlsError,
  formatAddress,
  type NotOpened,
  type OpenOptions
} from "effect-ktables/TransportSupport"
import type { Sasl } from "../PlatformaticTransport.ts"
import { deepest, makeChannel } from "./channel.ts"

/** Requests are timed by the channel; the client's own limits are put out of the way. */
const outOfTheWay = { requestTimeout: 0x7fffffff, maxInflights: 0x7fffffff }

const reveal = (secret: string | Redacted.Redacted<string>): string =>
  typeof secret === "string" ? secret : Redacted.value(secret)

/** A token could not be had: that says nothing about the broker, and may pass. */
class NoToken extends Error {}

const saslOptions = (sasl: Sasl): SASLOptions => {
  if (sasl.mechanism !== "oauthbearer") {
    const mechanism = { plain: "PLAIN", "scram-sha-256": "SCRAM-SHA-256", "scram-sha-512": "SCRAM-SHA-512" } as const
    return { mechanism: mechanism[sasl.mechanism], username: sasl.username, password: reveal(sasl.password) }
  }
  return {
    mechanism: "OAUTHBEARER",
    token: () =>
      Effect.runPromise(Effect.map(sasl.token, reveal)).catch((cause: unknown) => {
        throw new NoToken(cause instanceof Error ? cause.message : String(cause), { cause })
      }),
    ...(sasl.extensions === undefined ? {} : { oauthBearerExtensions: { ...sasl.extensions } }),
    // A broker sends its refusal as a challenge, under error code 0 (RFC 7628, section 3.2.2).
    authBytesValidator: (bytes, callback) =>
      bytes.length > 0
        ? callback(new AuthenticationError(`the broker refused the token: ${bytes.toString()}`))
        : callback(null, bytes)
  }
}

/** The errors around the deepest one, from the outside in. */
const chain = (error: Error): ReadonlyArray<Error> => {
  const inner = "errors" in error && Array.isArray(error.errors) ? error.errors[0] : error.cause
  return inner instanceof Error ? [error, ...chain(inner)] : [error]
}

/** What the errors of a client that is not connected yet mean. */
const explain = (broker: string, options: OpenOptions<Sasl>, error: Error): NotOpened => {
  const errors = chain(error)
  const cause = deepest(error)
  const lost = (detail: string, hungUp: boolean): NotOpened => ({
    error: new ConnectionFailed({ broker, request: "connect", detail, cause }),
    hungUp
  })
  const refused = (detail: string): NotOpened => ({
    error: new AuthenticationFailed({ broker, detail, cause }),
    hungUp: false
  })
  const noToken = errors.find((one) => one instanceof NoToken)
  if (noToken !== undefined) return lost(`no token could be had: ${noToken.message}`, false)
  const sentence = options.tls === undefined ? undefined : explainTlsError(cause)
  if (sentence !== undefined) return refused(sentence)
  const answer = errors.find((one) => one instanceof ProtocolError)
  if (answer !== undefined) {
    return refused(
      answer["apiId"] === "ILLEGAL_SASL_STATE"
        ? "the client has SASL set and the listener does not ask for it: remove sasl, or connect to another port"
        : `${answer["serverErrorMessage"] ?? answer.message}: are the mechanism and the credentials right?`
    )
  }
  if (cause instanceof AuthenticationError) {
    return refused(`${cause.message}: are the mechanism and the credentials right?`)
  }
  // The system's own words say that nobody was there; a reset is from somebody who was.
  const nobody = "syscall" in cause && !("code" in cause && cause.code === "ECONNRESET")
  return lost(cause.message, !nobody && !(cause instanceof TimeoutError))
}

/**
 * Opens a connection; the time-out spans the authentication too. The connection is closed when the effect is
 * interrupted, and is the caller's to close once it has succeeded.
 */
export const connect = (options: OpenOptions<Sasl>): Effect.Effect<Channel, NotOpened> =>
  Effect.callback((resume) => {
    const { address, clientId, timeout } = options
    const broker = formatAddress(address)
    const settings: ConnectionOptions = {
      ...outOfTheWay,
      connectTimeout: timeout,
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      ...(options.sasl === undefined ? {} : { sasl: saslOptions(options.sasl) })
    }
    const connection = new Connection(clientId, settings)
    // An error nobody listens for would end the process; `connect` reports it as well.
    connection.on("error", () => {})
    const abandon = (): void => {
      connection.close(() => {})
      connection.socket?.destroy()
    }
    connection.connect(address.host, address.port, (error) => {
      if (error === null) return resume(Effect.succeed(makeChannel(broker, connection)))
      abandon()
      resume(Effect.fail(explain(broker, options, error)))
    })
    return Effect.sync(abandon)
  })
