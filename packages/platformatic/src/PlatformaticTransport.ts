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
import { Config, type Duration, Effect, Layer } from "effect"
import { KafkaTransport } from "effect-ktables/KafkaTransport"
import {
  makeTransport,
  type PasswordSasl,
  type TokenSasl,
  type TransportOptions
} from "effect-ktables/TransportSupport"
import { connect } from "./internal/connect.ts"

/**
 * How the client proves who it is.
 *
 * @category options
 * @since 0.1.0
 */
export type Sasl = PasswordSasl | TokenSasl

/**
 * The mechanisms that this transport speaks.
 *
 * @category options
 * @since 0.1.0
 */
export const mechanisms: ReadonlyArray<Sasl["mechanism"]> = ["plain", "scram-sha-256", "scram-sha-512", "oauthbearer"]

/**
 * Which cluster to reach, and how.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends TransportOptions<Sasl> {
  /** How long connecting may take, authentication included. Default 5 seconds. */
  readonly connectionTimeout?: Duration.Input | undefined
}

/**
 * Makes the transport. It connects when it is first used; options that cannot be meant throw `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): KafkaTransport["Service"] => makeTransport(options, mechanisms, connect)

/**
 * Provides `KafkaTransport`; `PlatformaticClient.layer` is what programs want. Options are copied, and throw as those of `make`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<KafkaTransport> => Layer.succeed(KafkaTransport, make(options))

/**
 * The same with any of the options read from the configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<KafkaTransport, Config.ConfigError> =>
  Layer.effect(KafkaTransport, Effect.map(Config.unwrap(options), make))
