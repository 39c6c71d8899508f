/** Writers that do not know yet that their topic has grown, beside others that do. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Schema } from "effect"
import * as KafkaTable from "effect-ktables/KafkaTable"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import * as TableTopic from "effect-ktables/TableTopic"
import { until } from "./faults/until.ts"

const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`)

/** A process of its own: another client. */
const apart = Effect.flatMap(TestKafka.TestKafka, ({ brokers }) =>
  Layer.build(KafkaJsClient.layer({ brokers: [...brokers] }))
)

layer(TestKafka.layer, { excludeTestServices: true, timeout: 120_000 })((it) => {
  it.effect(
    "an older writer's write or deletion that its key's new partition outdoes is acknowledged, and its wait fails",
    () =>
      Effect.gen(function* () {
        const { admin } = yield* TestKafka.TestKafka
        const name = yield* TestKafka.uniqueName("ages")
        const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int, partitions: 4 })
        const old = yield* KafkaTableWriter.make(topic, { metadataMaxAge: "5 minutes" }).pipe(
          Effect.provide(yield* apart)
        )
        yield* old.setAll(keys.map((key) => [key, 0] as const))
        yield* admin.createPartitions(name, 8)
        const context = yield* apart
        const young = yield* KafkaTableWriter.make(topic).pipe(Effect.provide(context))
        yield* young.setAll(keys.map((key) => [key, 1] as const))
        const table = yield* KafkaTable.make(topic).pipe(Effect.provide(context))
        const found = yield* Effect.forEach(keys, (key, i) =>
          Effect.gen(function* () {
            const isDeletion = i % 2 === 1
            const ack = yield* isDeletion ? old.delete(key) : old.set(key, 2)
            const waited = yield* Effect.exit(table.awaitOffset(ack))
            const isReadable = isDeletion ? !table.view.has(key) : table.view.get(key) === 2
            if (isReadable !== Exit.isSuccess(waited)) return "wrong"
            if (isReadable) return "readable"
            const error = yield* Effect.flip(table.awaitOffset(ack))
            assert.strictEqual(error._tag, "WriteSuperseded")
            return "superseded"
          })
        )
        const count = (what: string) => found.filter((one) => one === what).length
        assert.deepStrictEqual({ wrong: count("wrong") }, { wrong: 0 })
        assert.isAbove(count("superseded"), 20)
        assert.isAbove(count("readable"), 20)
        // A fresh table sees the same.
        const fresh = yield* KafkaTable.make(topic).pipe(Effect.provide(yield* apart))
        assert.deepStrictEqual(new Map(yield* fresh.entries), new Map(yield* table.entries))
      })
  )

  it.effect(
    "a writer learns of growth from a table or a writer of its client, long before its own metadata is old",
    () =>
      Effect.gen(function* () {
        const { admin } = yield* TestKafka.TestKafka
        const name = yield* TestKafka.uniqueName("news")
        const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int, partitions: 2 })
        const context = yield* apart
        const writer = yield* KafkaTableWriter.make(topic, { metadataMaxAge: "1 hour" }).pipe(Effect.provide(context))
        yield* writer.setAll(keys.map((key) => [key, 0] as const))
        const table = yield* KafkaTable.make(topic, { metadataRefresh: "500 millis" }).pipe(Effect.provide(context))
        yield* admin.createPartitions(name, 8)
        yield* until(
          "the writer writes to all partitions",
          Effect.map(
            Effect.orDie(writer.setAll(keys.map((key) => [key, 1] as const))),
            (acks) => new Set(acks.map(({ partition }) => partition)).size === 8
          ),
          "20 seconds"
        )
        yield* table.barrier()
        assert.strictEqual(new Set(yield* table.values).size, 1)
      })
  )
})
