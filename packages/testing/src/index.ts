/**
 * A real Kafka for tests, proxies that misbehave in front of it, and the contract every `KafkaClient` keeps.
 *
 * @since 0.1.0
 */
export * as ClientLayerContract from "./ClientLayerContract.ts"
export * as FaultProxy from "./FaultProxy.ts"
export * as KafkaClientContract from "./KafkaClientContract.ts"
export * as KafkaTransportContract from "./KafkaTransportContract.ts"
export * as TestAdmin from "./TestAdmin.ts"
export * as TestKafka from "./TestKafka.ts"
