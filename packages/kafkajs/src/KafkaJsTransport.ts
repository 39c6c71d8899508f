/**
 * Carries requests over TCP or TLS, authenticated by kafkajs' SASL mechanisms: PLAIN, SCRAM, OAUTHBEARER and AWS IAM.
 *
 * **Details**
 *
 * A request leaves on the socket within `send`. Large answers are read straight into the buffer that the caller gets. A
 * time-out counts from the last byte that arrived, so that a long answer over a slow line is not taken for silence; all
 * waiting is in real time, whatever `Clock` the program runs on. SASL sessions are renewed before they end (KIP-368).
 * An idle connection runs no timer. The sockets are Node's own: kafkajs' connection polls a timer while it is idle, joins
 * a large answer from all of its pieces, and cannot be closed before a long poll ends.
 *
 * @since 0.1.0
 */
import { Config, type Duration, Effect, Layer, type Redacted } from "effect"
import { KafkaTransport } from "effect-ktables/KafkaTransport"
import {
  makeTransport,
  type PasswordSasl,
  type TokenSasl,
  type TransportOptions
} from "effect-ktables/TransportSupport"
import { connect } from "./internal/connect.ts"
import { authenticateChannel } from "./internal/sasl.ts"

/**
 * Proves who the client is by an identity of AWS.
 *
 * @category options
 * @since 0.1.0
 */
export interface AwsSasl {
  readonly mechanism: "aws"
  /** The user or role id. */
  readonly authorizationIdentity: string
  readonly accessKeyId: string
  readonly secretAccessKey: Redacted.Redacted<string> | string
  readonly sessionToken?: Redacted.Redacted<string> | string
}

/**
 * How the client proves who it is.
 *
 * @category options
 * @since 0.1.0
 */
export type Sasl = PasswordSasl | TokenSasl | AwsSasl

/**
 * The mechanisms that this transport speaks.
 *
 * @category options
 * @since 0.1.0
 */
export const mechanisms: ReadonlyArray<Sasl["mechanism"]> = [
  "plain",
  "scram-sha-256",
  "scram-sha-512",
  "oauthbearer",
  "aws"
]

/**
 * Which cluster to reach, and how.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends TransportOptions<Sasl> {
  /** How long connecting may take, and each request of the authentication behind it. Default 5 seconds. */
  readonly connectionTimeout?: Duration.Input | undefined
}

/**
 * Makes the transport. It connects when it is first used; options that cannot be meant throw `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): KafkaTransport["Service"] =>
  makeTransport(options, mechanisms, ({ sasl, ...how }) => {
    const connected = connect(how)
    if (sasl === undefined) return connected
    const { address, timeout } = how
    // No interruption may fall between the two, where nobody would close the channel.
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(connected), (channel) => authenticateChannel(channel, { address, sasl, timeout }, restore))
    )
  })

/**
 * Provides `KafkaTransport`; `KafkaJsClient.layer` is what programs want. Options are copied, and throw as those of `make`.
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
