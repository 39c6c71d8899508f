import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, KafkaTopic, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { onMemory } from "./fixtures.ts"

const numbers = TableTopic.make({ name: "numbers", key: Schema.String, value: Schema.Int })

describe("awaitOffset without a producer's numbering", () => {
  it.effect("another record at the acknowledged offset is data loss, told by its time", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* KafkaTopic.ensure(numbers)
        const writer = yield* KafkaTableWriter.make(numbers, { acks: "leader" })
        const kept = yield* writer.set("kept", 1)
        const lost = yield* writer.set("lost", 2)
        yield* kafka.truncate("numbers", 0, lost.offset!)
        yield* kafka.append("numbers", [{ key: "other", value: "3", timestamp: lost.timestamp + 1 }])
        const table = yield* KafkaTable.make(numbers)
        assert.deepStrictEqual(new Map(yield* table.entries), new Map(Object.entries({ kept: 1, other: 3 })))
        yield* table.awaitOffset(kept)
        const error = yield* Effect.flip(table.awaitOffset(lost))
        assert.strictEqual(error._tag, "DataLoss")
      })
    )
  )
})
