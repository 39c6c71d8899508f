/** Writers that do not know yet that their topic has grown. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { KafkaClient } from "effect-ktables/KafkaClient"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { onMemory } from "../table/fixtures.ts"
import { eventually } from "./scriptedKafka.ts"

const topic = TableTopic.make({ name: "numbers", key: Schema.String, value: Schema.Int, partitions: 4 })

const partitionOf = (key: string, partitions: number) => javaPartitioner(Buffer.from(key), partitions)
const keys = Array.from({ length: 100 }, (_, i) => `key-${i}`)
const moving = keys.filter((key) => partitionOf(key, 4) !== partitionOf(key, 8))
const staying = keys.filter((key) => !moving.includes(key))

/** A process of its own: another client of the same cluster. */
const apart = Layer.effect(
  KafkaClient,
  Effect.map(KafkaClient, (client) => ({ ...client }))
)

const grown = Effect.gen(function* () {
  const kafka = yield* MemoryKafka.MemoryKafka
  const old = yield* Effect.provide(KafkaTableWriter.make(topic, { metadataMaxAge: "1 hour" }), apart)
  yield* old.setAll(keys.map((key) => [key, 0] as const))
  yield* kafka.addPartitions("numbers", 8)
  const young = yield* KafkaTableWriter.make(topic)
  return { kafka, old, young }
})

describe("writers of several ages after growth", () => {
  it.effect("a write to a partition whose key lives elsewhere by now, and has a record there, is WriteSuperseded", () =>
    onMemory(
      Effect.gen(function* () {
        const { old, young } = yield* grown
        yield* young.setAll(keys.map((key) => [key, 1] as const))
        const table = yield* KafkaTable.make(topic)
        for (const key of moving) {
          const ack = yield* old.set(key, 2)
          assert.strictEqual(ack.partition, partitionOf(key, 4))
          const error = yield* Effect.flip(table.awaitOffset(ack))
          assert.deepInclude(error, {
            _tag: "WriteSuperseded",
            partition: ack.partition,
            offset: ack.offset!,
            owner: partitionOf(key, 8)
          })
          assert.strictEqual(table.view.get(key), 1)
          // Waited for late, it is the same.
          assert.strictEqual((yield* Effect.flip(table.awaitOffset(ack)))._tag, "WriteSuperseded")
        }
        for (const key of staying) {
          yield* table.awaitOffset(yield* old.set(key, 2))
          assert.strictEqual(table.view.get(key), 2)
        }
        // Written again where it belongs, it counts.
        for (const key of moving) {
          yield* table.awaitOffset(yield* young.set(key, 3))
          assert.strictEqual(table.view.get(key), 3)
        }
        const fresh = yield* KafkaTable.make(topic)
        assert.deepStrictEqual(new Map(yield* fresh.entries), new Map(yield* table.entries))
      })
    )
  )

  it.effect("so is a deletion, and what a rebuild passes over", () =>
    onMemory(
      Effect.gen(function* () {
        const { kafka, old, young } = yield* grown
        const table = yield* KafkaTable.make(topic)
        yield* young.setAll(keys.map((key) => [key, 1] as const))
        const acks = yield* Effect.forEach(moving, (key) => old.delete(key))
        for (const ack of acks) assert.strictEqual((yield* Effect.flip(table.awaitOffset(ack)))._tag, "WriteSuperseded")
        // A table that loads passes over the same records.
        const fresh = yield* KafkaTable.make(topic)
        for (const ack of acks) assert.strictEqual((yield* Effect.flip(fresh.awaitOffset(ack)))._tag, "WriteSuperseded")
        for (const one of [table, fresh]) for (const key of keys) assert.strictEqual(one.view.get(key), 1)
        assert.isAbove((yield* kafka.log("numbers")).length, 200)
      })
    )
  )

  it.effect("a key that nobody wrote since is read where it was written last, as a fresh table reads it", () =>
    onMemory(
      Effect.gen(function* () {
        const { old } = yield* grown
        const table = yield* KafkaTable.make(topic)
        for (const key of moving) {
          yield* table.awaitOffset(yield* old.set(key, 2))
          assert.strictEqual(table.view.get(key), 2)
        }
        const fresh = yield* KafkaTable.make(topic)
        assert.deepStrictEqual(new Map(yield* fresh.entries), new Map(yield* table.entries))
      })
    )
  )

  it.effect("a writer learns of growth at once when a table or another writer of its client sees it", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const writer = yield* KafkaTableWriter.make(topic, { metadataMaxAge: "1 hour" })
        const key = moving[0]!
        assert.strictEqual((yield* writer.set(key, 1)).partition, partitionOf(key, 4))
        yield* kafka.addPartitions("numbers", 8)
        assert.strictEqual((yield* writer.set(key, 2)).partition, partitionOf(key, 4))
        const before = (yield* kafka.requests).get("describeTopic")!
        yield* KafkaTableWriter.make(topic)
        yield* eventually(Effect.sleep(200))
        assert.strictEqual((yield* writer.set(key, 3)).partition, partitionOf(key, 8))
        // Those of the other's start, and one of its own.
        assert.isAtMost((yield* kafka.requests).get("describeTopic")! - before, 3)
      })
    )
  )

  it.effect("a writer learns of growth by itself as soon as tables do", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const writer = yield* KafkaTableWriter.make(topic)
        const key = moving[0]!
        yield* writer.set(key, 1)
        yield* kafka.addPartitions("numbers", 8)
        yield* eventually(Effect.sleep("31 seconds"))
        assert.strictEqual((yield* writer.set(key, 2)).partition, partitionOf(key, 8))
      })
    )
  )
})
