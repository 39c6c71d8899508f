/** Writes that wait, for room or behind a batch on its way. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { heldAnswer, setTogether, start, startUnanswered } from "./fixtures.ts"
import { eventually, until } from "./scriptedKafka.ts"

describe("the buffer", () => {
  it.effect("holds writes back while it is full, keeps their order, and a record larger than it passes alone", () =>
    Effect.gen(function* () {
      const { held, answer } = yield* heldAnswer
      const { kafka, writer } = yield* start({ produces: [held], writer: { maxBufferedBytes: 100 } })
      const large = "x".repeat(200)
      const fiber = yield* Effect.forkChild(setTogether(writer, [large, "a", "b", large, "c"]))
      yield* until(() => kafka.produced.length === 1)
      assert.deepStrictEqual(kafka.produced[0]!.keys, [large])
      yield* answer
      yield* eventually(Fiber.join(fiber))
      assert.deepStrictEqual(kafka.log(), [large, "a", "b", large, "c"])
    })
  )

  it.effect("a write that waits for room and is interrupted is never written", () =>
    Effect.gen(function* () {
      const { kafka, writer, first, answer } = yield* startUnanswered("first", { maxBufferedBytes: 60 })
      const fibers = yield* Effect.forEach(["a", "b", "c"], (key) => Effect.forkChild(writer.set(key, 1)))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fibers[1]!)
      yield* answer
      yield* eventually(Effect.all([Fiber.join(first), Fiber.join(fibers[0]!), Fiber.join(fibers[2]!)]))
      assert.deepStrictEqual(kafka.log(), ["first", "a", "c"])
    })
  )

  it.effect("many interrupted writes behind a stuck batch leave nothing to write", () =>
    Effect.gen(function* () {
      const { kafka, writer, first, answer } = yield* startUnanswered("first")
      const fibers = yield* Effect.forEach(Array.from({ length: 300 }), (_, i) =>
        Effect.forkChild(writer.set(`k${i}`, i))
      )
      yield* Effect.yieldNow
      yield* Effect.forEach(fibers, (fiber, i) => (i % 100 === 50 ? Effect.void : Fiber.interrupt(fiber)))
      yield* answer
      yield* eventually(Fiber.join(first))
      yield* eventually(Effect.all([50, 150, 250].map((i) => Fiber.join(fibers[i]!))))
      assert.deepStrictEqual(kafka.log(), ["first", "k50", "k150", "k250"])
    })
  )
})
