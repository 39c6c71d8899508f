/**
 * A second transport of `effect-ktables`, on @platformatic/kafka.
 *
 * @since 0.1.0
 */
export * as PlatformaticClient from "./PlatformaticClient.ts"
export * as PlatformaticTransport from "./PlatformaticTransport.ts"
