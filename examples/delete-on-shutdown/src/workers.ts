import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Schema } from "effect"
import { KafkaTableWriter, TableTopic } from "effect-ktables"

/** Who takes jobs, and of which kinds. */
export const workers = TableTopic.make({
  name: process.env["TOPIC"] ?? "example.workers",
  key: Schema.String,
  value: Schema.Struct({ kinds: Schema.Array(Schema.String) })
})

export class WorkersWriter extends KafkaTableWriter.Service<WorkersWriter>()("delete-on-shutdown/Writer", workers) {
  // How long a shutdown waits for a cluster that does not answer.
  static readonly impatient = WorkersWriter.layerWith({ deliveryTimeout: "5 seconds" })
}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})
