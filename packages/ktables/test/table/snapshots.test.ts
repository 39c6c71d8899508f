import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Stream } from "effect"
import { KafkaTable } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { eventually, numbers, onMemory, put, toRecord } from "./fixtures.ts"

describe("a snapshot", () => {
  it.effect("stays what it was while the table goes on", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* MemoryKafka.MemoryKafka).createTopic("numbers")
        yield* put("numbers", [
          ["a", 1],
          ["b", 2]
        ])
        const table = yield* KafkaTable.make(numbers)
        const first = yield* table.snapshot
        yield* put("numbers", [
          ["a", 10],
          ["b", null],
          ["c", 3]
        ])
        yield* table.barrier()
        assert.deepStrictEqual(toRecord(first), { a: 1, b: 2 })
        assert.deepStrictEqual(toRecord(yield* table.snapshot), { a: 10, c: 3 })
        assert.strictEqual(yield* table.snapshot, yield* table.snapshot)
      })
    )
  )

  it.effect("is as good when it is first asked for late, and agrees with the reads by key", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* MemoryKafka.MemoryKafka).createTopic("numbers")
        const table = yield* KafkaTable.make(numbers)
        const keys = Array.from({ length: 2000 }, (_, i) => `k${i}`)
        yield* put(
          "numbers",
          keys.map((key, i) => [key, i] as const)
        )
        yield* put(
          "numbers",
          keys.filter((_, i) => i % 3 === 0).map((key) => [key, null] as const)
        )
        yield* table.barrier()
        const snapshot = yield* table.snapshot
        assert.strictEqual(HashMap.size(snapshot), table.view.size)
        assert.deepStrictEqual(toRecord(snapshot), Object.fromEntries(table.view))
        yield* put("numbers", [
          ["k1", -1],
          ["k2", null]
        ])
        yield* table.barrier()
        assert.deepStrictEqual(toRecord(yield* table.snapshot), Object.fromEntries(table.view))
        assert.strictEqual(HashMap.size(snapshot), table.view.size + 1)
      })
    )
  )

  it.effect("of a stream of states is not changed by what follows it", () =>
    onMemory(
      Effect.gen(function* () {
        yield* (yield* MemoryKafka.MemoryKafka).createTopic("numbers")
        const table = yield* KafkaTable.make(numbers)
        const states: Array<HashMap.HashMap<string, number>> = []
        yield* Effect.forkScoped(Stream.runForEach(table.states, (state) => Effect.sync(() => states.push(state))))
        yield* eventually("the first state", () => states.length === 1)
        for (let value = 1; value <= 3; value++) {
          yield* put("numbers", [["a", value]])
          yield* table.barrier()
          yield* eventually(`state ${value}`, () => states.length === value + 1)
        }
        assert.deepStrictEqual(states.map(toRecord), [{}, { a: 1 }, { a: 2 }, { a: 3 }])
      })
    )
  )
})
