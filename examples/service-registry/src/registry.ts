/** What both programs agree on: the topic, how often services say that they are there, and where Kafka is. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"

export const Service = Schema.Struct({ name: Schema.String, host: Schema.String, port: Schema.Int })
export type Service = (typeof Service)["Type"]

export const addressOf = ({ host, port }: Service): string => `${host}:${port}`

/** Services by name and address, so that no two processes write one key. */
export const services = TableTopic.make({
  name: process.env["TOPIC"] ?? "example.services",
  key: Schema.String,
  value: Service,
  config: TableTopic.presence
})

export const keyOf = (service: Service): string => `${service.name}@${addressOf(service)}`

/** A service that was not heard of for five heartbeats is down. */
export const HEARTBEAT = "1 second"
export const TTL = "5 seconds"

export class Services extends KafkaTable.Service<Services>()("service-registry/Services", services) {
  // Whoever starts first makes the topic, be it a watcher.
  static readonly orNew = Services.layerWith({ ensureTopic: { create: true } })
}
export class ServicesWriter extends KafkaTableWriter.Service<ServicesWriter>()("service-registry/Writer", services) {}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})
