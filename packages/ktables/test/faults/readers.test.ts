/** FAULTS "Readers of the table": what subscribers hear, and what readers of a rebuild see. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { keys, onCluster, write } from "../support/kafka.ts"
import { onScript, Script } from "../support/script.ts"
import { Fold } from "../support/subject.ts"
import { settle } from "../support/time.ts"
import { tableOfTen } from "./fixtures.ts"

describe("readers of the table", () => {
  it.effect("row 40: a subscriber that throws fails alone", () =>
    onCluster(
      Effect.gen(function* () {
        const { subject } = yield* tableOfTen()
        const thrower = yield* Effect.forkScoped(
          Effect.exit(
            Stream.runForEach(subject.table.changes, (change) =>
              Effect.sync(() => {
                if (change._tag === "Set") throw new Error("a bug of the subscriber's")
              })
            )
          )
        )
        yield* settle
        yield* write("numbers", ["x"])
        assert.isTrue(Exit.isFailure(yield* subject.within("the subscriber's end", 10_000, Fiber.join(thrower))))
        yield* write("numbers", ["y"])
        yield* subject.verify()
      })
    )
  )

  it.effect("row 41: subscribers that come at any moment miss nothing and hear nothing twice", () =>
    onCluster(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen()
        const folds: Array<Fold<string, number>> = []
        for (let i = 0; i < 40; i++) {
          const fold = new Fold<string, number>()
          folds.push(fold)
          yield* Effect.forkScoped(
            Stream.runForEach(subject.table.changes, (change) => Effect.sync(() => fold.hear(change, 0)))
          )
          for (let turn = 0; turn < i % 5; turn++) yield* Effect.yieldNow
          yield* write("numbers", i % 3 === 0 ? [["k1", null]] : [`k${i % 7}`, `n${i}`])
          if (i % 10 === 0) yield* subject.pass(100)
          if (i === 20) yield* kafka.compact("numbers")
        }
        yield* subject.within("a barrier", 10_000, subject.table.barrier())
        yield* settle
        const contents = JSON.stringify([...subject.contents()].sort())
        for (const fold of folds) {
          assert.deepStrictEqual(fold.faults, [])
          assert.strictEqual(JSON.stringify([...fold.model!].sort()), contents)
        }
        yield* subject.verify()
      })
    )
  )

  it.effect("row 43: readers of a rebuild see the old complete contents until the new complete contents", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, subject } = yield* tableOfTen({ fetch: { maxPartitionBytes: 1 } })
        const script = yield* Script
        yield* kafka.truncate("numbers", 0, 0)
        for (let i = 0; i < 10; i++) yield* write("numbers", [`new${i}`, ["new0", null]])
        script.on("fetch", (_asks, next) => Effect.delay(next, 100))
        const seen = new Set<string>()
        const watching = yield* Effect.forkScoped(
          Effect.forever(
            Effect.andThen(
              Effect.sync(() => seen.add([...subject.contents().keys()].sort().join())),
              Effect.yieldNow
            )
          )
        )
        yield* subject.saw("Rebuilding", 10_000)
        yield* subject.become("CaughtUp")
        yield* Fiber.interrupt(watching)
        assert.deepStrictEqual(
          [...seen],
          [
            keys(10).sort().join(),
            keys(10, "new")
              .filter((key) => key !== "new0")
              .sort()
              .join()
          ]
        )
        assert.strictEqual(subject.fold.resyncs, 0, "the difference, not a snapshot")
        yield* subject.verify()
      })
    )
  )
})
