import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Codec, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { onCluster } from "../support/kafka.ts"
import { pass, until } from "../support/time.ts"
import { onMemory } from "./fixtures.ts"

const numbers = TableTopic.make({ name: "numbers", key: Schema.String, value: Schema.Int, partitions: 5 })

const partitionOf = (key: string, partitions: number) => javaPartitioner(Buffer.from(key), partitions)

/** A key that a sixth partition sends to another of the first five. */
const moving = Array.from({ length: 1000 }, (_, i) => `key-${i}`).find(
  (key) => partitionOf(key, 5) !== partitionOf(key, 6) && partitionOf(key, 6) < 5
)!

describe("a topic that grows while a table does not look", () => {
  it.effect("a write to the new owner of a key is read behind its acknowledgement, and so is a deletion", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const table = yield* KafkaTable.make(numbers, { metadataRefresh: "1 hour" })
        const before = yield* KafkaTableWriter.make(numbers)
        yield* table.awaitOffset(yield* before.set(moving, 1))
        yield* kafka.addPartitions("numbers", 6)
        const writer = yield* KafkaTableWriter.make(numbers)
        const ack = yield* writer.set(moving, 2)
        assert.strictEqual(ack.partition, partitionOf(moving, 6))
        yield* table.awaitOffset(ack)
        assert.strictEqual(table.view.get(moving), 2)
        yield* table.awaitOffset(yield* writer.delete(moving))
        assert.isFalse(table.view.has(moving))
        const { stats } = yield* table.health
        assert.strictEqual(stats.rebuilds, 0)
      })
    )
  )

  it.effect("so it is where a codec answers later", () =>
    onMemory(
      Effect.gen(function* () {
        const later = Codec.make<number>({
          decode: (bytes) =>
            Effect.as(
              Effect.promise(() => Promise.resolve()),
              Number(Buffer.from(bytes).toString())
            ),
          encode: (value) => Effect.succeed(Buffer.from(String(value)))
        })
        const topic = TableTopic.make({ name: "numbers", key: Schema.String, value: later, partitions: 5 })
        const kafka = yield* MemoryKafka.MemoryKafka
        const table = yield* KafkaTable.make(topic, { metadataRefresh: "1 hour" })
        const before = yield* KafkaTableWriter.make(numbers)
        yield* table.awaitOffset(yield* before.set(moving, 1))
        yield* kafka.addPartitions("numbers", 6)
        const writer = yield* KafkaTableWriter.make(numbers)
        yield* table.awaitOffset(yield* writer.set(moving, 2))
        assert.strictEqual(table.view.get(moving), 2)
        yield* table.awaitOffset(yield* writer.set(moving, 3))
        assert.strictEqual(table.view.get(moving), 3)
      })
    )
  )

  it.effect("records outside their key's partition are outdone without end, and cost no look at the topic each", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const table = yield* KafkaTable.make(numbers, { metadataRefresh: "1 hour" })
        const writer = yield* KafkaTableWriter.make(numbers)
        yield* table.awaitOffset(yield* writer.set(moving, 1))
        const elsewhere = (partitionOf(moving, 5) + 1) % 5
        for (let value = 100; value < 150; value++) {
          yield* kafka.append("numbers", [{ key: moving, value: String(value) }], { partition: elsewhere })
          yield* table.barrier()
          assert.strictEqual(table.view.get(moving), 1)
        }
        assert.strictEqual((yield* table.health).stats.foreign, 50)
        yield* table.awaitOffset(yield* writer.set(moving, 2))
        assert.strictEqual(table.view.get(moving), 2)
      })
    )
  )
})

/** A key that goes to another partition at each growth from two to four to eight. */
const restless = Array.from({ length: 1000 }, (_, i) => `key-${i}`).find(
  (key) => new Set([2, 4, 8].map((count) => partitionOf(key, count))).size === 3
)!

describe("a topic that grew twice", () => {
  const topic = TableTopic.make({ name: "numbers", key: Schema.String, value: Schema.Int })

  for (const [first, later] of [
    [2, 4],
    [4, 2]
  ] as const) {
    for (const last of ["a write", "a deletion"] as const) {
      it.effect(
        `is loaded with ${last} from between the two, also where partition ${partitionOf(restless, later)} comes last`,
        () =>
          onCluster(
            Effect.gen(function* () {
              const kafka = yield* MemoryKafka.MemoryKafka
              yield* kafka.createTopic("numbers", { partitions: 2 })
              const at = (value: string | null, partitions: number) =>
                kafka.append("numbers", [{ key: restless, value }], { partition: partitionOf(restless, partitions) })
              yield* at("1", 2)
              yield* kafka.addPartitions("numbers", 4)
              yield* at(last === "a write" ? "2" : null, 4)
              yield* kafka.addPartitions("numbers", 8)
              yield* kafka.append("numbers", [{ key: "other", value: "1" }], {
                partition: partitionOf(restless, first)
              })
              yield* kafka.moveLeader("numbers", partitionOf(restless, first), 1)
              yield* kafka.moveLeader("numbers", partitionOf(restless, later), 2)
              yield* kafka.disconnect(2)
              const table = yield* KafkaTable.make(topic, { ensureTopic: false, catchUp: { mode: "background" } })
              const isBegun = Effect.map(table.health, ({ progress }) => progress.replayed > 0)
              yield* until("the others are read", 60_000, isBegun)
              yield* kafka.reconnect(2)
              yield* until("all is read", 60_000, table.isCaughtUp)
              assert.strictEqual(table.view.get(restless), last === "a write" ? 2 : undefined)
            }),
            { brokers: 2 }
          )
      )
    }
  }

  it.effect("keeps what a table follows, and a wait for a write from before it succeeds with that", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers", { partitions: 2 })
        const table = yield* KafkaTable.make(topic, { ensureTopic: false })
        const writer = yield* KafkaTableWriter.make(topic, { ensureTopic: false })
        yield* writer.set(restless, 1)
        yield* kafka.addPartitions("numbers", 4)
        yield* pass(60_000)
        const ack = yield* writer.set(restless, 2)
        assert.strictEqual(ack.partition, partitionOf(restless, 4))
        yield* kafka.addPartitions("numbers", 8)
        yield* pass(60_000)
        yield* table.barrier()
        yield* table.awaitOffset(ack)
        assert.strictEqual(table.view.get(restless), 2)
      })
    )
  )
})
