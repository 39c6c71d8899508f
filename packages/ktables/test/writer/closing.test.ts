/** What becomes of writes under way when their caller is interrupted, or their writer closes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, References, Scope } from "effect"
import { TestClock } from "effect/testing"
import type { WriteError } from "effect-ktables/TableError"
import { prices, silent, start, startUnanswered, writerTo } from "./fixtures.ts"
import { cut, eventually, ScriptedKafka, until } from "./scriptedKafka.ts"

describe("interruption and closing", () => {
  it.effect("an interrupted write that is part of a batch is still written", () =>
    Effect.gen(function* () {
      const { kafka, writer, first, answer } = yield* startUnanswered("a")
      yield* Fiber.interrupt(first)
      yield* answer
      yield* eventually(writer.set("b", 1))
      assert.deepStrictEqual(kafka.log(), ["a", "b"])
    })
  )

  it.effect("closing waits for the writes under way, and later ones are WriterClosed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { writer, first, answer } = yield* Scope.provide(startUnanswered("a"), scope)
      const second = yield* Effect.forkChild(writer.set("b", 1))
      yield* Effect.yieldNow
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow
      assert.strictEqual((yield* Effect.flip(writer.set("c", 1)))._tag, "WriterClosed")
      assert.isUndefined(closing.pollUnsafe())
      yield* answer
      yield* eventually(Fiber.join(closing))
      assert.strictEqual((yield* Fiber.join(first)).offset, 0)
      assert.strictEqual((yield* Fiber.join(second)).offset, 1)
    })
  )

  it.effect("closing that had to yield just when it found a write under way ends with the write", () =>
    Effect.gen(function* () {
      for (let turns = 0; turns < 80; turns++) {
        const scope = yield* Scope.make()
        const { answer } = yield* Scope.provide(startUnanswered("a"), scope)
        const closing = yield* Effect.forkChild(
          Effect.provideService(Scope.close(scope, Exit.void), References.MaxOpsBeforeYield, 3)
        )
        for (let turn = 0; turn < turns; turn++) yield* Effect.yieldNow
        yield* answer
        // No time passes: it does not have to wait out its `closeTimeout`.
        yield* until(() => closing.pollUnsafe() !== undefined)
      }
    })
  )

  it.effect(
    "a program that is interrupted closes its writer as well: the write is told, and nothing is tried again",
    () =>
      Effect.gen(function* () {
        const kafka = new ScriptedKafka()
        kafka.otherwise = cut
        const told: Array<Exit.Exit<unknown, unknown>> = []
        const program = Effect.gen(function* () {
          const writer = yield* writerTo(prices, kafka, { closeTimeout: "2 seconds" })
          yield* Effect.forkDetach(Effect.onExit(writer.set("a", 1), (exit) => Effect.sync(() => told.push(exit))))
          return yield* Effect.never
        })
        const fiber = yield* Effect.forkDetach(Effect.scoped(program))
        yield* until(() => kafka.produced.length > 0)
        yield* eventually(Fiber.interrupt(fiber))
        yield* until(() => told.length === 1)
        assert.strictEqual(
          Option.getOrUndefined(Exit.findErrorOption(told[0] as Exit.Exit<unknown, WriteError>))?._tag,
          "WriteOutcomeUnknown"
        )
        const tried = kafka.produced.length
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(kafka.produced.length, tried)
      })
  )

  it.effect("closing with a broker that never answers ends within closeTimeout, each write told once", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { kafka, writer } = yield* Scope.provide(
        start({ otherwise: silent, writer: { closeTimeout: "2 seconds", maxBufferedBytes: 120 } }),
        scope
      )
      const told: Array<string> = []
      const write = (key: string) =>
        Effect.forkChild(
          Effect.matchEffect(writer.set(key, 1), {
            onFailure: (error) => Effect.sync(() => told.push(`${key} ${error._tag}`)),
            onSuccess: () => Effect.sync(() => told.push(`${key} written`))
          })
        )
      yield* write("sent")
      yield* until(() => kafka.produced.length === 1)
      yield* write("queued")
      yield* write("waiting")
      yield* Effect.yieldNow
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust(1999)
      assert.deepStrictEqual(told, [])
      yield* TestClock.adjust(1)
      yield* eventually(Fiber.join(closing))
      assert.deepStrictEqual(told, ["sent WriteOutcomeUnknown", "queued WriterClosed", "waiting WriterClosed"])
    })
  )
})
