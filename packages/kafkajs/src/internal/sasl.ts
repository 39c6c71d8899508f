/**
 * Authenticates a channel, and again before its session ends (KIP-368).
 */
import { Effect, Exit, Redacted } from "effect"
import { AuthenticationFailed, ConnectionFailed, type KafkaError } from "effect-ktables/KafkaError"
import type { BrokerAddress } from "effect-ktables/KafkaTransport"
import { type Channel, formatAddress, type NotOpened, type RequestChannel } from "effect-ktables/TransportSupport"
import type { Sasl } from "../KafkaJsTransport.ts"
import { authenticate, type SaslRequest } from "./kafkajs.ts"

/** The session is renewed at this part of its lifetime, as Java's client does: the broker cuts one that has ended. */
const renewAt = 0.85

const reveal = (secret: string | Redacted.Redacted<string>): string =>
  typeof secret === "string" ? secret : Redacted.value(secret)

/** A token could not be had: that says nothing about the broker, and may pass. */
class NoToken extends Error {}

const kafkajsOptions = (sasl: Sasl): Record<string, unknown> => {
  switch (sasl.mechanism) {
    case "oauthbearer": {
      return {
        mechanism: sasl.mechanism,
        oauthBearerProvider: () =>
          Effect.runPromise(
            Effect.map(sasl.token, (token) => ({ value: reveal(token), extensions: sasl.extensions }))
          ).catch((cause: unknown) => {
            throw new NoToken(cause instanceof Error ? cause.message : String(cause), { cause })
          })
      }
    }
    case "aws": {
      return {
        mechanism: sasl.mechanism,
        authorizationIdentity: sasl.authorizationIdentity,
        accessKeyId: sasl.accessKeyId,
        secretAccessKey: reveal(sasl.secretAccessKey),
        ...(sasl.sessionToken === undefined ? {} : { sessionToken: reveal(sasl.sessionToken) })
      }
    }
    default: {
      return { mechanism: sasl.mechanism, username: sasl.username, password: reveal(sasl.password) }
    }
  }
}

/** Carries what the connection itself failed with through kafkajs, which keeps messages only. */
class Failed extends Error {
  readonly error: KafkaError
  constructor(error: KafkaError) {
    super(error.message)
    this.error = error
  }
}

export interface SaslOptions {
  readonly address: BrokerAddress
  readonly sasl: Sasl
  /** Milliseconds for each request of the exchange. */
  readonly timeout: number
}

/**
 * The words of a broker that refuses a token: it sends them as a challenge, under error code 0 (RFC 7628, section
 * 3.2.2), which kafkajs takes for success.
 */
const refusedToken = (sasl: Sasl, request: SaslRequest, answer: Buffer): string | undefined => {
  if (sasl.mechanism !== "oauthbearer" || request.apiName !== "SaslAuthenticate" || answer.readInt16BE(0) !== 0) {
    return undefined
  }
  const at = 4 + Math.max(0, answer.readInt16BE(2))
  const length = answer.readInt32BE(at)
  return length > 0 ? answer.toString("utf8", at + 4, at + 4 + length) : undefined
}

/**
 * One exchange; resolves to the session's lifetime. Requests of others wait meanwhile, as KIP-368 asks, and behind a
 * failed one until the channel is closed.
 */
const exchangeOnce = async (channel: RequestChannel, options: SaslOptions): Promise<number> => {
  let lost: KafkaError | undefined
  const exchange = (request: SaslRequest): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      const raw = {
        ...request,
        flexibleRequest: false,
        flexibleResponse: false,
        expectsAnswer: true,
        timeout: options.timeout
      }
      channel.sendAhead(raw, (outcome) => {
        Effect.runCallback(outcome, {
          onExit: (exit) => {
            if (exit._tag === "Success") {
              const refused = refusedToken(options.sasl, request, exit.value)
              return refused === undefined
                ? resolve(exit.value)
                : reject(new Error(`the broker refused the token: ${refused}`))
            }
            const [reason] = exit.cause.reasons
            lost = reason?._tag === "Fail" ? reason.error : undefined
            reject(new Error(lost?.message ?? "the exchange broke off"))
          }
        })
      })
    })
  const { host, port } = options.address
  // A broker answers in order: behind a long poll the exchange would wait for as long as the poll, and be taken for late.
  await new Promise<void>((resolve) => channel.hold(resolve))
  try {
    const lifetime = await authenticate({ host, port, sasl: kafkajsOptions(options.sasl), exchange })
    channel.release()
    return lifetime
  } catch (cause) {
    throw lost === undefined ? cause : new Failed(lost)
  }
}

const explain =
  (options: SaslOptions) =>
  (cause: unknown): KafkaError => {
    const broker = formatAddress(options.address)
    if (cause instanceof Failed) return cause.error
    const text = cause instanceof Error ? cause.message : String(cause)
    if (cause instanceof NoToken) {
      return new ConnectionFailed({ broker, request: "connect", detail: `no token could be had: ${text}`, cause })
    }
    const type = typeof cause === "object" && cause !== null && "type" in cause ? cause.type : undefined
    const detail =
      type === "ILLEGAL_SASL_STATE"
        ? "the client has SASL set and the listener does not ask for it: remove sasl, or connect to another port"
        : `${text}: are the mechanism and the credentials right?`
    return new AuthenticationFailed({ broker, detail, cause })
  }

/**
 * Authenticates the channel and renews its session until it is lost. Closes it when that fails or is interrupted.
 */
export const authenticateChannel = (
  channel: RequestChannel,
  options: SaslOptions,
  interruptible: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<Channel, NotOpened> => {
  let timer: NodeJS.Timeout | undefined
  const renewLater = (lifetime: number): void => {
    if (lifetime > 0 && channel.isOpen()) timer = setTimeout(renew, lifetime * renewAt)
  }
  const renew = (): void => {
    exchangeOnce(channel, options).then(renewLater, (cause: unknown) =>
      channel.close(`the session could not be renewed: ${explain(options)(cause).message}`)
    )
  }
  const authenticated: Channel = {
    ...channel,
    close: (detail) => {
      clearTimeout(timer)
      channel.close(detail)
    }
  }
  return interruptible(Effect.tryPromise({ try: () => exchangeOnce(channel, options), catch: explain(options) })).pipe(
    Effect.mapError((error) => ({ error, hungUp: channel.lostToPeer() && channel.answered() === 0 })),
    Effect.map((lifetime) => {
      renewLater(lifetime)
      return authenticated
    }),
    Effect.onExit((exit) =>
      Exit.isFailure(exit) ? Effect.sync(() => channel.close("the authentication failed")) : Effect.void
    )
  )
}
