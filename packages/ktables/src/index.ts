/**
 * @since 0.1.0
 */
export * as Codec from "./Codec.ts"
export * as KafkaClient from "./KafkaClient.ts"
export * as KafkaError from "./KafkaError.ts"
export * as KafkaProtocol from "./KafkaProtocol.ts"
export * as KafkaTable from "./KafkaTable.ts"
export * as KafkaTableWriter from "./KafkaTableWriter.ts"
export * as KafkaTables from "./KafkaTables.ts"
export * as KafkaTopic from "./KafkaTopic.ts"
export * as KafkaTransport from "./KafkaTransport.ts"
export * as Table from "./Table.ts"
export * as TableChange from "./TableChange.ts"
export * as TableError from "./TableError.ts"
export * as TableStatus from "./TableStatus.ts"
export * as TableTopic from "./TableTopic.ts"
export * as WriteAck from "./WriteAck.ts"
