/** The topic, and the table of it that keeps a checkpoint in the directory that `CHECKPOINTS` names. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Effect, Layer, Schema } from "effect"
import { CheckpointStore, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"

export const accounts = TableTopic.make({
  name: process.env["TOPIC"] ?? "example.accounts",
  key: Schema.String,
  value: Schema.Struct({ plan: Schema.Literals(["free", "paid"]) })
})

const checkpoints = Config.String("CHECKPOINTS").pipe(
  Config.withDefault("./checkpoints"),
  Effect.map(CheckpointStore.layerFileSystem),
  Layer.unwrap
)

export class Accounts extends KafkaTable.Service<Accounts>()("quick-restart/Accounts", accounts) {
  // What is written in the last second before a process is killed is read from the topic again.
  static readonly kept = Accounts.layerWith({ ensureTopic: { create: true }, checkpoint: { every: "1 second" } }).pipe(
    Layer.provide(checkpoints)
  )
}

export class AccountsWriter extends KafkaTableWriter.Service<AccountsWriter>()("quick-restart/Writer", accounts) {}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})
