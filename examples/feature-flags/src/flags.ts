import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"

export const flagsOf = (name: string) =>
  TableTopic.make({ name, key: Schema.String, value: Schema.Struct({ enabled: Schema.Boolean }) })

export const flags = flagsOf(process.env["TOPIC"] ?? "example.flags")

export class Flags extends KafkaTable.Service<Flags>()("feature-flags/Flags", flags) {
  // No flag has to be set before the first server starts.
  static readonly orNew = Flags.layerWith({ ensureTopic: { create: true } })
}
export class FlagsWriter extends KafkaTableWriter.Service<FlagsWriter>()("feature-flags/FlagsWriter", flags) {}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})
