import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"

export const flags = TableTopic.make({
  name: process.env["TOPIC"] ?? "example.flags",
  key: Schema.String,
  value: Schema.Struct({ enabled: Schema.Boolean })
})

export class Flags extends KafkaTable.Service<Flags>()("feature-flags/Flags", flags) {}
export class FlagsWriter extends KafkaTableWriter.Service<FlagsWriter>()("feature-flags/FlagsWriter", flags) {}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})
