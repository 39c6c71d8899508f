/** A wall clock that is set while writes are under way: their deadlines go by the monotonic clock. */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { start, unreachable } from "./fixtures.ts"
import { accept, eventually } from "./scriptedKafka.ts"

/** Runs an effect with a wall clock that `step` sets, while the monotonic one goes on. */
const withSteps = <A, E, R>(body: (step: (millis: number) => void) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Clock.Clock, (clock) => {
    let shift = 0
    const wall = () => clock.currentTimeMillisUnsafe() + shift
    const shifted: Clock.Clock = {
      ...clock,
      currentTimeMillisUnsafe: wall,
      currentTimeMillis: Effect.sync(wall)
    }
    return Effect.provideService(
      body((millis) => {
        shift += millis
      }),
      Clock.Clock,
      shifted
    )
  })

const HOUR = 3_600_000

describe("a wall clock that is set while a write waits", () => {
  it.effect("forward by an hour: neither the write that is sent nor the one after it ends before its time", () =>
    withSteps((step) =>
      Effect.gen(function* () {
        const { kafka, writer } = yield* start({ otherwise: unreachable, writer: { deliveryTimeout: "10 seconds" } })
        const writes = yield* Effect.forkChild(
          Effect.all([writer.set("a", 1), Effect.andThen(Effect.sleep("1 second"), writer.set("b", 1))], {
            concurrency: "unbounded"
          })
        )
        yield* TestClock.adjust("2 seconds")
        step(HOUR)
        yield* TestClock.adjust("2 seconds")
        assert.isUndefined(writes.pollUnsafe())
        kafka.otherwise = accept
        yield* eventually(Fiber.join(writes))
        assert.deepStrictEqual(kafka.log(), ["a", "b"])
      })
    )
  )

  it.effect("back by an hour: the write ends at its time, and says how long it waited", () =>
    withSteps((step) =>
      Effect.gen(function* () {
        const { writer } = yield* start({ otherwise: unreachable, writer: { deliveryTimeout: "10 seconds" } })
        const write = yield* Effect.forkChild(Effect.flip(writer.set("a", 1)))
        yield* TestClock.adjust("2 seconds")
        step(-HOUR)
        yield* TestClock.adjust("9 seconds")
        const error = write.pollUnsafe()
        if (error?._tag !== "Success" || error.value._tag !== "WriteTimeout") {
          return assert.fail(`the write has not timed out: ${JSON.stringify(error)}`)
        }
        assert.approximately(error.value.waited, 10_000, 1000)
      })
    )
  )
})
