/** What both programs agree on: the topic, and where Kafka is. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"

export class ServiceRecord extends Schema.Class<ServiceRecord>("ServiceRecord")({
  host: Schema.String,
  port: Schema.Int
}) {}

/** Services by name: whoever is in the table is up. */
export const services = TableTopic.make({
  name: process.env["TOPIC"] ?? "example.services",
  key: Schema.String,
  value: ServiceRecord
})

export class Services extends KafkaTable.Service<Services>()("service-registry/Services", services) {
  // Whoever starts first makes the topic, be it a watcher.
  static readonly orNew = Services.layerWith({ ensureTopic: { create: true } })
}
export class ServicesWriter extends KafkaTableWriter.Service<ServicesWriter>()("service-registry/Writer", services) {}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})
