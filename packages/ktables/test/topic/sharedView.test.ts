/** Tables and writers of one client that share their view of a topic. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Schema } from "effect"
import { KafkaClient, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import { TestClock } from "effect/testing"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { pass } from "../support/time.ts"
import { numbers, onMemory } from "../table/fixtures.ts"

describe("tables and writers of one topic and client", () => {
  it.effect("describe it about as often as one of them would", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        for (let i = 0; i < 10; i++) {
          yield* KafkaTable.make(numbers, { metadataRefresh: "1 second" })
          yield* KafkaTableWriter.make(numbers, { metadataMaxAge: "1 second" })
        }
        const before = new Map(yield* kafka.requests)
        yield* pass(20_000)
        const after = yield* kafka.requests
        const described = after.get("describeTopic")! - before.get("describeTopic")!
        assert.isAtLeast(described, 20)
        assert.isAtMost(described, 45)
        // So are its settings, for the time that it keeps tombstones.
        const configs = (after.get("describeConfig") ?? 0) - (before.get("describeConfig") ?? 0)
        assert.isAtLeast(configs, 10)
        assert.isAtMost(configs, 25)
      })
    )
  )

  it.effect(
    "learn of added partitions when any of them does: the writer from the table, the table from the writer",
    () =>
      onMemory(
        Effect.gen(function* () {
          const kafka = yield* MemoryKafka.MemoryKafka
          yield* kafka.createTopic("numbers", { partitions: 1 })
          const table = yield* KafkaTable.make(numbers, { metadataRefresh: "1 hour" })
          const writer = yield* KafkaTableWriter.make(numbers, {
            metadataMaxAge: "1 hour",
            partitioner: (_, n) => n - 1
          })
          yield* kafka.addPartitions("numbers", 2)
          yield* table.barrier()
          assert.strictEqual((yield* writer.set("a", 1)).partition, 1)
          yield* kafka.addPartitions("numbers", 3)
          // Another writer's start is what tells.
          yield* KafkaTableWriter.make(numbers)
          yield* pass(1000)
          assert.strictEqual((yield* table.health).partitions.length, 3)
          assert.strictEqual((yield* writer.set("b", 1)).partition, 2)
        })
      )
  )
})

describe("tables of many topics and one client", () => {
  it.effect("are described at the same times, whenever they began, so that one request can be about all", () =>
    onMemory(
      Effect.gen(function* () {
        const client = yield* KafkaClient.KafkaClient
        const times = new Set<number>()
        let described = 0
        const watched: KafkaClient.Service = {
          ...client,
          describeTopic: (topic) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) => {
              times.add(now)
              described++
              return client.describeTopic(topic)
            })
        }
        for (let i = 0; i < 20; i++) {
          const topic = TableTopic.make({ name: `numbers-${i}`, key: Schema.String, value: Schema.Int })
          yield* Effect.provideService(KafkaTable.make(topic), KafkaClient.KafkaClient, watched)
          yield* TestClock.adjust(1300)
        }
        yield* pass(30_000, Effect.void, 1000)
        times.clear()
        described = 0
        yield* pass(120_000, Effect.void, 1000)
        assert.strictEqual(described, 4 * 20)
        assert.isAtMost(times.size, 8)
      })
    )
  )
})
