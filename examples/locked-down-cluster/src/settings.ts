import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Schema } from "effect"
import { KafkaTable, TableTopic } from "effect-ktables"

export const settings = TableTopic.make({
  name: process.env["TOPIC"] ?? "example.settings",
  key: Schema.String,
  value: Schema.Unknown,
  partitions: 3
})

export class Settings extends KafkaTable.Service<Settings>()("locked-down-cluster/Settings", settings) {
  // Nothing is created or checked: the process needs Describe and Read on this one topic, and no group.
  static readonly readOnly = Settings.layerWith({ ensureTopic: false })
}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})
