import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Option, Stream } from "effect"
import { KafkaTable, TableTopic } from "effect-ktables"
import { start } from "../../support/exampleProcess.ts"
import { workers } from "../src/workers.ts"

const main = new URL("../src/main.ts", import.meta.url)

const client = Layer.unwrap(
  Effect.map(TestKafka.TestKafka, ({ brokers }) => KafkaJsClient.layer({ brokers, clientId: "delete-on-shutdown" }))
)

layer(Layer.provideMerge(client, TestKafka.layer), { excludeTestServices: true })("delete on shutdown", (it) => {
  it.effect("a worker that is asked to end leaves the table before its last job ends", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const name = yield* TestKafka.uniqueName("workers")
      const topic = TableTopic.make({ name, key: workers.key, value: workers.value })
      const table = yield* KafkaTable.make(topic)

      const worker = yield* start(main, {
        args: ["worker-7"],
        env: { KAFKA_BROKERS: brokers.join(","), TOPIC: name }
      })
      yield* worker.line(/^worker-7 is in the table$/)
      yield* table.barrier({ timeout: "20 seconds" })
      assert.deepStrictEqual(yield* table.get("worker-7"), Option.some({ kinds: ["resize", "thumbnail"] }))

      yield* worker.terminate
      yield* table
        .watch("worker-7")
        .pipe(Stream.takeUntil(Option.isNone), Stream.runDrain, Effect.timeout("20 seconds"))
      assert.strictEqual(yield* worker.exitCode, 130)
      assert.deepStrictEqual(worker.lines("stdout"), [
        "ready for jobs",
        "worker-7 is in the table",
        "worker-7 is out of the table",
        "the last job is done"
      ])
      assert.deepStrictEqual(worker.lines("stderr"), [])
    }).pipe(Effect.scoped)
  )
})
