import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber } from "effect"
import { reading } from "../../src/internal/table/reading.ts"

describe("reading", () => {
  const counter = () => {
    let n = 0
    return reading((step: number) => (n += step), 2)
  }

  it.effect("reads anew each time it is run, in a generator or not", () =>
    Effect.gen(function* () {
      const read = counter()
      assert.strictEqual(yield* read, 2)
      assert.strictEqual(yield* read, 4)
      assert.strictEqual(yield* Effect.map(read, (n) => n + 100), 106)
      assert.deepStrictEqual(yield* Effect.all([read, read], { concurrency: 2 }), [8, 10])
      assert.strictEqual(yield* Fiber.join(yield* Effect.forkChild(read)), 12)
      assert.strictEqual(Effect.runSync(read), 14)
      assert.strictEqual(yield* Effect.promise(() => Effect.runPromise(read)), 16)
    })
  )

  it.effect("does not read before it is run", () =>
    Effect.gen(function* () {
      let reads = 0
      const read = reading(() => ++reads, undefined)
      assert.strictEqual(reads, 0)
      yield* read.pipe(Effect.andThen(Effect.void))
      assert.strictEqual(reads, 1)
    })
  )

  it.effect("dies of what reading throws", () =>
    Effect.gen(function* () {
      const broken = reading((): number => {
        throw new Error("broken")
      }, undefined)
      for (const run of [
        broken,
        Effect.gen(function* () {
          return yield* broken
        }),
        Effect.andThen(Effect.void, broken)
      ]) {
        const exit = yield* Effect.exit(run)
        assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      }
    })
  )

  it.effect("lets others run, even where a loop does nothing but read", () =>
    Effect.gen(function* () {
      let isOpen = false
      let reads = 0
      const read = reading(() => {
        // Far beyond the turns that any other effect would have taken.
        if (++reads > 1_000_000) throw new Error("nobody else has run")
        return isOpen
      }, undefined)
      yield* Effect.forkChild(
        Effect.sync(() => {
          isOpen = true
        })
      )
      while (!(yield* read));
      assert.isTrue(isOpen)
    })
  )

  it("takes any number of reads where nothing may wait", () => {
    const read = counter()
    const sum = Effect.runSync(
      Effect.gen(function* () {
        let last = 0
        for (let n = 0; n < 100_000; n++) last = yield* read
        return last
      })
    )
    assert.strictEqual(sum, 200_000)
  })

  it("is an effect like others", () => {
    assert.isTrue(Effect.isEffect(counter()))
  })
})
