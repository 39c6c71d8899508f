/** Prints all metrics of tables and writers as Prometheus scrapes them, for `promtool check metrics`. */
import { Effect, Layer, Logger, Schema } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { KafkaTable, KafkaTableWriter, TableTopic } from "../packages/ktables/src/index.ts"
import * as MemoryKafka from "../packages/ktables/src/MemoryKafka.ts"

const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })

const program = Effect.gen(function* () {
  const table = yield* KafkaTable.make(prices)
  const writer = yield* KafkaTableWriter.make(prices)
  yield* table.awaitOffset(yield* writer.set("apple", 1))
  const kafka = yield* MemoryKafka.MemoryKafka
  yield* kafka.append("prices", [{ key: "pear", value: "not a number" }])
  yield* table.barrier()
  return yield* PrometheusMetrics.format()
})

process.stdout.write(
  await Effect.runPromise(
    program.pipe(Effect.scoped, Effect.provide(Layer.merge(MemoryKafka.layer, Logger.layer([]))))
  ).then((text) => `${text}\n`)
)
