/** Virtual time for tests: it moves in steps, and after each of them everything that can run has run. */
import { Effect, type Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"

/** Lets whatever is ready run, without any time passing. */
export const settle: Effect.Effect<void> = Effect.gen(function* () {
  for (let turn = 0; turn < 30; turn++) yield* Effect.yieldNow
})

/** Lets `millis` pass in steps; `each` looks on after every one. */
export const pass = Effect.fnUntraced(function* (
  millis: number,
  each: Effect.Effect<void> = Effect.void,
  step: number = 50
) {
  yield* settle
  for (let left = millis; left > 0; left -= step) {
    yield* TestClock.adjust(Math.min(step, left))
    yield* each
  }
  yield* settle
})

/** Runs an effect to its end while time passes; dies when `millis` were not enough. */
export const exitWithin = Effect.fnUntraced(function* <A, E, R>(
  what: string,
  millis: number,
  effect: Effect.Effect<A, E, R>,
  each: Effect.Effect<void> = Effect.void,
  step: number = 50
): Effect.fn.Return<Exit.Exit<A, E>, never, R> {
  const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
  let passed = 0
  for (;;) {
    for (let turn = 0; turn < 40; turn++) {
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return exit
      yield* Effect.yieldNow
    }
    if (passed >= millis) break
    yield* TestClock.adjust(step)
    yield* each
    passed += step
  }
  yield* Effect.forkDetach(Fiber.interrupt(fiber))
  return yield* Effect.die(new Error(`not within ${millis} ms: ${what}`))
})

/** As `exitWithin`, with the effect's own success or failure. */
export const within = <A, E, R>(
  what: string,
  millis: number,
  effect: Effect.Effect<A, E, R>,
  each: Effect.Effect<void> = Effect.void,
  step: number = 50
): Effect.Effect<A, E, R> => Effect.flatten(exitWithin(what, millis, effect, each, step))

/** Lets time pass until the condition holds; dies when it does not within `millis`. */
export const until = Effect.fnUntraced(function* (
  what: string,
  millis: number,
  condition: Effect.Effect<boolean>,
  each: Effect.Effect<void> = Effect.void,
  step: number = 50
) {
  for (let passed = 0; ; passed += step) {
    for (let turn = 0; turn < 40; turn++) {
      if (yield* condition) return
      yield* Effect.yieldNow
    }
    if (passed >= millis) return yield* Effect.die(new Error(`not within ${millis} ms: ${what}`))
    yield* TestClock.adjust(step)
    yield* each
  }
})
