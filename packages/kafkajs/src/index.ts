/**
 * The default transport of `effect-ktables`.
 *
 * @since 0.1.0
 */
export * as KafkaJsClient from "./KafkaJsClient.ts"
export * as KafkaJsTransport from "./KafkaJsTransport.ts"
