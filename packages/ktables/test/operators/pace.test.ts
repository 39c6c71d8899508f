/** Slices of a table on which something stands that takes long. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { KafkaTable, Table } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { numbers, onMemory, put } from "../table/fixtures.ts"
import { onBatch } from "./fixtures.ts"

/** Keeps the processor busy. */
const spin = (millis: number): void => {
  const until = performance.now() + millis
  while (performance.now() < until);
}

describe("a table's slices", () => {
  it.effect("are made smaller when what stands on it takes long, and what that takes is measured", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        const table = yield* KafkaTable.make(numbers)
        let cost = 0.2
        const slow = yield* Table.map(table, (n) => {
          spin(cost)
          return n
        })
        const sizes: Array<number> = []
        yield* onBatch(slow, (batch) => sizes.push(batch.length))
        const write = Effect.fnUntraced(function* (count: number, value: number) {
          sizes.length = 0
          yield* put(
            "numbers",
            Array.from({ length: count }, (_, i) => [`k${i}`, value + i] as const)
          )
          yield* table.barrier()
          // Whoever waits for positions is resumed before those who follow changes.
          yield* Effect.yieldNow
        })
        yield* write(200, 0)
        const { stats } = yield* table.health
        assert.isAtLeast(stats.longestSlice, 10)
        yield* write(1000, 1000)
        assert.strictEqual(
          sizes.reduce((sum, size) => sum + size, 0),
          1000
        )
        assert.isAtMost(Math.max(...sizes), 128)
        cost = 0
        // A busy machine cuts slices short, too: one of them is to be large again.
        for (let round = 2; round < 200 && Math.max(...sizes) <= 128; round++) yield* write(1000, 1000 * round)
        assert.isAbove(Math.max(...sizes), 128)
      })
    )
  )
})
