import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, HashMap, Stream } from "effect"
import { TestClock } from "effect/testing"
import { KafkaTable } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { numbers, onMemory, put } from "./fixtures.ts"

const keys = Array.from({ length: 3000 }, (_, i) => `k${i}`)
const BATCH = 100

/** Gives every key one value, in many batches, so that contents of two logs mixed would show. */
const all = Effect.fnUntraced(function* (value: number) {
  for (let at = 0; at < keys.length; at += BATCH) {
    yield* put(
      "numbers",
      keys.slice(at, at + BATCH).map((key) => [key, value] as const)
    )
  }
})

/** The one value of all keys, or what is wrong. */
const valueOf = (entries: Iterable<readonly [string, number]>): number | string => {
  const values = Array.from(entries, ([, value]) => value)
  if (values.length !== keys.length) return `${values.length} entries`
  const distinct = new Set(values)
  return distinct.size === 1 ? values[0]! : `mixed: ${[...distinct].join(", ")}`
}

describe("a rebuild", () => {
  it.effect("shows the old log or the new one and nothing between them, to readers, snapshots and states", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("numbers")
        yield* all(1)
        const table = yield* KafkaTable.make(numbers, { fetch: { maxPartitionBytes: 1 } })
        const states: Array<number | string> = []
        yield* Effect.forkScoped(
          Stream.runForEach(table.states, (state) => Effect.sync(() => states.push(valueOf(HashMap.entries(state)))))
        )
        const seen = new Map<string, Set<number | string>>()
        const sampling = yield* Effect.forkScoped(
          Effect.gen(function* () {
            while (true) {
              const { _tag } = yield* table.status
              const values = seen.get(_tag) ?? new Set()
              seen.set(_tag, values)
              values.add(valueOf(Array.from(table.view)))
              values.add(valueOf(HashMap.entries(yield* table.snapshot)))
              if (values.has(2)) return
              yield* Effect.yieldNow
            }
          })
        )
        yield* kafka.recreateTopic("numbers")
        yield* all(2)
        for (let turn = 0; turn < 5000 && sampling.pollUnsafe() === undefined; turn++) yield* TestClock.adjust(10)
        yield* Fiber.join(sampling)
        assert.isTrue(seen.get("Rebuilding")?.has(1))
        assert.sameMembers([...new Set([...seen.values()].flatMap((values) => [...values]))], [1, 2])
        yield* table.barrier()
        assert.deepStrictEqual(states, [1, 2])
      })
    )
  )
})
