/**
 * A process of its own with a table that keeps a checkpoint: `node keptTable.ts <brokers> <topic> <directory>`. It prints a line
 * once the table is complete, and lives until it is killed.
 */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Effect, Layer } from "effect"
import { CheckpointStore, KafkaTable } from "effect-ktables"
import { topicOf } from "./rawLog.ts"

const [brokers, name, directory] = process.argv.slice(2) as [string, string, string]

const main = Effect.gen(function* () {
  yield* KafkaTable.make(topicOf(name), { ensureTopic: false, checkpoint: { every: "100 millis" } })
  process.stdout.write("complete\n")
  return yield* Effect.never
})

Effect.runFork(
  main.pipe(
    Effect.scoped,
    Effect.provide(
      Layer.merge(KafkaJsClient.layer({ brokers: brokers.split(",") }), CheckpointStore.layerFileSystem(directory))
    )
  )
)
