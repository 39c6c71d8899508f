/**
 * Carries requests over the connections of @platformatic/kafka: TCP and TLS, authenticated by PLAIN, SCRAM or
 * OAUTHBEARER.
 *
 * **When to use**
 *
 * When @platformatic/kafka is in the program anyway, or where a client under active maintenance is asked for. AWS IAM
 * needs the kafkajs transport.
 *
 * **Details**
 *
 * A request leaves on the socket within `send`. Large answers are joined from the pieces that the socket hands out, once;
 * the kafkajs transport reads them in place and drains a socket faster. Requests wait while a session is renewed
 * (KIP-368). All waiting is in real time, whatever `Clock` the program runs on.
 *
 * @since 0.1.0
 */
import { Config, Duration, Effect, Layer, type Redacted } from "effect"
import { KafkaTransport } from "effect-ktables/KafkaTransport"
import { makeTransport, type Tls } from "effect-ktables/TransportSupport"
import { connect } from "./internal/connect.ts"

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

/**
 * Which cluster to reach, and how.
 *
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
  /** How long connecting may take, authentication included. Default 5 seconds. */
  readonly connectionTimeout?: Duration.Input | undefined
}

/**
 * Makes the transport. It connects when it is first used; a broker address that cannot be read throws.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): KafkaTransport["Service"] => {
  const { brokers, clientId, sasl, ssl } = options
  const timeout = Duration.toMillis(options.connectionTimeout ?? "5 seconds")
  return makeTransport({
    brokers,
    clientId,
    ssl,
    sasl: sasl !== undefined,
    timeout,
    open: ({ authenticate, ...how }) => connect({ ...how, sasl: authenticate ? sasl : undefined, timeout })
  })
}

/**
 * Provides `KafkaTransport`; `PlatformaticClient.layer` is what programs want.
 *
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
