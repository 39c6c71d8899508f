/**
 * A `KafkaClient` over the connections of @platformatic/kafka: the library's own protocol, a transport under maintenance.
 *
 * **Example**
 *
 * ```ts
 * import { Config, Layer } from "effect"
 * import { PlatformaticClient } from "@effect-ktables/platformatic"
 *
 * const local = PlatformaticClient.layer({ brokers: ["localhost:9092"] })
 *
 * const production = PlatformaticClient.layerConfig({
 *   brokers: Config.String("KAFKA_BROKERS"),
 *   ssl: Config.succeed(true),
 *   sasl: Config.all({
 *     mechanism: Config.succeed("scram-sha-512" as const),
 *     username: Config.String("KAFKA_USERNAME"),
 *     password: Config.Redacted("KAFKA_PASSWORD")
 *   })
 * })
 * ```
 *
 * @since 0.1.0
 */
import { Config, Effect, Layer } from "effect"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import * as KafkaProtocol from "effect-ktables/KafkaProtocol"
import { clientOptions } from "effect-ktables/TransportSupport"
import * as PlatformaticTransport from "./PlatformaticTransport.ts"

/**
 * Which cluster to reach, how, and how long to wait for it.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends PlatformaticTransport.Options, Pick<KafkaProtocol.Options, "requestTimeout"> {}

/**
 * A client of the cluster behind `brokers`. It connects when it is first used. Options are copied when this is called; what
 * cannot be meant (a name that is none, NaN, an address that cannot be read) throws `InvalidOption`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<KafkaClient> => {
  const { protocol, transport } = clientOptions(options, PlatformaticTransport.mechanisms)
  return Layer.provide(KafkaProtocol.layer(protocol), PlatformaticTransport.layer(transport))
}

/**
 * The same with any of the options read from the configuration.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (options: Config.Wrap<Options>): Layer.Layer<KafkaClient, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))
