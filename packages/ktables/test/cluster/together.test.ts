/** What many ask for at the same moment, and what one request brings for each of them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scheduler, Scope } from "effect"
import { ConnectionFailed, MalformedAnswer } from "effect-ktables/KafkaError"
import { makeTogether } from "../../src/internal/cluster/together.ts"
import { settle, within } from "../support/time.ts"
import { YieldOnce } from "../support/yieldOnce.ts"

const names = (count: number): ReadonlyArray<string> => Array.from({ length: count }, (_, i) => `t${i}`)
const away = new ConnectionFailed({ broker: "a:1", request: "Metadata", detail: "away" })

describe("what is asked for together", () => {
  it.effect("is one request for a hundred names beside that of the first, and each gets its own answer", () =>
    Effect.gen(function* () {
      const requests: Array<ReadonlyArray<string>> = []
      const ask = makeTogether(yield* Effect.scope, "Metadata", (asked) =>
        Effect.sync(() => {
          requests.push(asked)
          return asked.map((name) => `about ${name}`)
        })
      )
      const answers = yield* Effect.forEach([...names(250), "t7"], ask, { concurrency: "unbounded" })
      assert.deepStrictEqual(
        answers,
        [...names(250), "t7"].map((name) => `about ${name}`)
      )
      assert.deepStrictEqual(
        requests.map(({ length }) => length),
        [1, 100, 100, 49]
      )
      assert.deepStrictEqual(yield* ask("t7"), "about t7")
      assert.strictEqual(requests.length, 5)
    })
  )

  it.effect("is asked for again by who comes when the request has left: what is under way may be older", () =>
    Effect.gen(function* () {
      let requests = 0
      const ask = makeTogether(yield* Effect.scope, "Metadata", () =>
        Effect.andThen(
          Effect.yieldNow,
          Effect.suspend(() => Effect.succeed([++requests]))
        )
      )
      const first = yield* Effect.forkScoped(ask("t"), { startImmediately: true })
      // The first has left by now, and is not answered.
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      const second = yield* Effect.forkScoped(ask("t"), { startImmediately: true })
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [1, 2])
    })
  )

  it.effect("is asked for by others, too, when the first to ask is interrupted before any of its steps", () =>
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      let step = 1
      for (let isOver = false; !isOver; step++) {
        const ask = makeTogether(scope, "Metadata", (asked) => Effect.succeed(asked))
        const scheduler = new YieldOnce(step)
        const asking = yield* ask("t").pipe(
          Effect.provideService(Scheduler.Scheduler, scheduler),
          Effect.forkScoped({ startImmediately: true })
        )
        yield* settle
        isOver = !scheduler.hasYielded
        const interrupting = yield* Effect.forkScoped(Fiber.interrupt(asking), { startImmediately: true })
        scheduler.release()
        yield* Fiber.join(interrupting)
        assert.strictEqual(yield* within(`an answer after step ${step}`, 1000, ask("u")), "u")
      }
      assert.isAbove(step, 5)
    })
  )

  it.effect("is asked for one by one where an answer cannot be read, so that it concerns one alone", () =>
    Effect.gen(function* () {
      const unreadable = new MalformedAnswer({ broker: "a:1", request: "Metadata", detail: "cut short" })
      const ask = makeTogether(yield* Effect.scope, "Metadata", (asked) =>
        asked.includes("t1") ? Effect.fail(unreadable) : Effect.succeed(asked)
      )
      const exits = yield* Effect.forEach(names(3), (name) => Effect.exit(ask(name)), { concurrency: "unbounded" })
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
    })
  )

  it.effect("fails for all where no broker answers, and where the client is closed", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const ask = makeTogether(scope, "Metadata", (asked) => (asked.includes("t9") ? Effect.never : Effect.fail(away)))
      const failures = yield* Effect.forEach(names(2), (name) => Effect.flip(ask(name)), { concurrency: "unbounded" })
      assert.deepStrictEqual(failures, [away, away])
      yield* settle
      const waiting = yield* Effect.forkScoped(
        Effect.forEach(["t0", "t9"], (name) => Effect.flip(ask(name)), { concurrency: "unbounded" }),
        { startImmediately: true }
      )
      yield* Effect.yieldNow
      yield* Scope.close(scope, Exit.void)
      const [alone, other] = yield* Fiber.join(waiting)
      assert.strictEqual(alone, away)
      assert.include(other!.message, "the client is closed")
      assert.strictEqual((yield* Effect.flip(ask("t0")))._tag, "ConnectionFailed")
    })
  )

  it.effect("goes on where whoever asked first is interrupted", () =>
    Effect.gen(function* () {
      const ask = makeTogether(yield* Effect.scope, "Metadata", (asked) => Effect.as(Effect.yieldNow, asked))
      const [first, second] = [
        yield* Effect.forkScoped(ask("t0"), { startImmediately: true }),
        yield* Effect.forkScoped(ask("t1"), { startImmediately: true })
      ]
      yield* Fiber.interrupt(first)
      assert.strictEqual(yield* Fiber.join(second), "t1")
    })
  )
})
