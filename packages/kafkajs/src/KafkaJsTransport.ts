/**
 * Carries requests over TCP or TLS, authenticated by kafkajs' SASL mechanisms: PLAIN, SCRAM, OAUTHBEARER and AWS IAM.
 *
 * **Details**
 *
 * A request leaves on the socket within `send`. Large answers are read straight into the buffer that the caller gets. A
 * time-out counts from the last byte that arrived, so that a long answer over a slow line is not taken for silence; all
 * waiting is in real time, whatever `Clock` the program runs on. SASL sessions are renewed before they end (KIP-368).
 * An idle connection runs no timer.
 *
 * @since 0.1.0
 */
import { Config, Duration, Effect, Layer, Redacted, type Scope } from "effect"
import { AuthenticationFailed, type KafkaError } from "effect-ktables/KafkaError"
import {
  type BrokerAddress,
  type KafkaConnection,
  KafkaTransport,
  type RawRequest
} from "effect-ktables/KafkaTransport"
import { diagnoseClosed, explainTlsError, formatAddress, parseBrokers } from "effect-ktables/TransportSupport"
import type * as tls from "node:tls"
import { type Channel } from "./internal/channel.ts"
import { connect } from "./internal/connect.ts"
import { authenticateChannel } from "./internal/sasl.ts"

/**
 * How the client proves who it is.
 *
 * @category options
 * @since 0.1.0
 */
export type Sasl =
  | {
      readonly mechanism: "plain" | "scram-sha-256" | "scram-sha-512"
      readonly username: string
      readonly password: Redacted.Redacted<string> | string
    }
  | {
      readonly mechanism: "oauthbearer"
      /** Run for every connection and every renewal of its session; it should keep the token until that runs out. */
      readonly token: Effect.Effect<Redacted.Redacted<string> | string, unknown>
      readonly extensions?: Readonly<Record<string, string>>
    }
  | {
      readonly mechanism: "aws"
      /** The user or role id. */
      readonly authorizationIdentity: string
      readonly accessKeyId: string
      readonly secretAccessKey: Redacted.Redacted<string> | string
      readonly sessionToken?: Redacted.Redacted<string> | string
    }

/**
 * Node's TLS options, secrets redacted or not. Without `ca` the system's certificate authorities are trusted.
 *
 * @category options
 * @since 0.1.0
 */
export interface Tls extends Omit<tls.ConnectionOptions, "key" | "passphrase"> {
  /** PEM of the client's private key. */
  readonly key?: Redacted.Redacted<string> | string | Buffer | undefined
  readonly passphrase?: Redacted.Redacted<string> | string | undefined
}

/**
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** `host:port` of some brokers of the cluster, in a list or with commas between them; the others are found. */
  readonly brokers: string | ReadonlyArray<string>
  /** How brokers call the client in their logs and quotas. Default `effect-ktables`. */
  readonly clientId?: string | undefined
  /** `true` for TLS as the system trusts it. Default: no TLS. */
  readonly ssl?: boolean | Tls | undefined
  readonly sasl?: Sasl | undefined
  /** How long connecting may take, and each request of the authentication behind it. Default 5 seconds. */
  readonly connectionTimeout?: Duration.Input | undefined
}

const tlsOptions = (ssl: boolean | Tls | undefined): tls.ConnectionOptions | undefined => {
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

const sendOver = (channel: Channel, request: RawRequest): Effect.Effect<Buffer, KafkaError> =>
  Effect.callback((resume) => {
    const drop = channel.send(request, resume)
    return Effect.sync(drop)
  })

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): KafkaTransport["Service"] => {
  const { sasl } = options
  const bootstrap = parseBrokers(options.brokers)
  const clientId = options.clientId ?? "effect-ktables"
  const ssl = tlsOptions(options.ssl)
  const timeout = Duration.toMillis(options.connectionTimeout ?? "5 seconds")

  const connectTo = (address: BrokerAddress, secured: tls.ConnectionOptions | undefined) =>
    Effect.acquireRelease(
      connect({ address, clientId, tls: secured, timeout }),
      (channel) => Effect.sync(() => channel.close("the connection was closed by this client")),
      { interruptible: true }
    )

  /** What a broker that hung up on us objects to, if that can be known. */
  const diagnose = (address: BrokerAddress, error: KafkaError): Effect.Effect<never, KafkaError> => {
    if (error._tag !== "ConnectionFailed") return Effect.fail(error)
    const refused = ssl === undefined ? undefined : explainTlsError(error.cause)
    if (refused !== undefined) {
      return Effect.fail(
        new AuthenticationFailed({ broker: formatAddress(address), detail: refused, cause: error.cause })
      )
    }
    const ask = (withTls: boolean, request: RawRequest) =>
      Effect.scoped(
        Effect.flatMap(connectTo(address, withTls ? { ...ssl, rejectUnauthorized: false } : undefined), (channel) =>
          sendOver(channel, request)
        )
      )
    return Effect.flatMap(
      diagnoseClosed({ address, tls: ssl !== undefined, sasl: sasl !== undefined, timeout, ask }),
      (found) => Effect.fail(found ?? error)
    )
  }

  const open = Effect.fnUntraced(function* (
    address: BrokerAddress
  ): Effect.fn.Return<KafkaConnection, KafkaError, Scope.Scope> {
    const channel = yield* connectTo(address, ssl).pipe(
      // A refused or unreachable port is plain to see; a TLS handshake that breaks off is not.
      Effect.catch((error) =>
        ssl !== undefined && error._tag === "ConnectionFailed" && brokeOff(error.cause)
          ? diagnose(address, error)
          : Effect.fail(error)
      )
    )
    if (sasl !== undefined) {
      const endRenewals = yield* authenticateChannel(channel, { address, sasl, timeout }).pipe(
        Effect.tapError(() => Effect.sync(() => channel.close("the authentication failed"))),
        Effect.catch((error) => (channel.answered() === 0 ? diagnose(address, error) : Effect.fail(error)))
      )
      yield* Effect.addFinalizer(() => Effect.sync(endRenewals))
    }
    const send = (request: RawRequest): Effect.Effect<Buffer, KafkaError> =>
      channel.answered() > 0
        ? sendOver(channel, request)
        : Effect.catch(sendOver(channel, request), (error) =>
            channel.lostToPeer() ? diagnose(address, error) : Effect.fail(error)
          )
    return { address, send, isOpen: channel.isOpen }
  })

  return { bootstrap, clientId, open }
}

/** A peer that hung up, rather than one that was never there. */
const brokeOff = (cause: unknown): boolean =>
  cause === undefined || (cause instanceof Error && "code" in cause && cause.code === "ECONNRESET")

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<KafkaTransport> => Layer.sync(KafkaTransport, () => make(options))

/**
 * The same with any of the options read from the configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<KafkaTransport, Config.ConfigError> =>
  Layer.effect(KafkaTransport, Effect.map(Config.unwrap(options), make))
