/**
 * A checkpoint is recorded, saved, rewritten and merged by chance, while its store takes its time, writes a part and fails,
 * and its process is killed. What the next start finds is always a state that was marked, and none before the last that
 * counted as saved.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope } from "effect"
import { CheckpointStore } from "effect-ktables"
import * as CheckpointFile from "../../src/internal/checkpoint/checkpointFile.ts"
import { type Chance, chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { identity, type Marked, markedOf, RandomLog, storeOf } from "./recording.ts"

const counts = { resumed: 0, saved: 0, failed: 0, replaced: 0, rewritten: 0, again: 0, savedWhileMerged: 0, killed: 0 }

const lengthOf = (files: ReadonlyMap<string, Uint8Array>): number => files.get("prices")?.length ?? 0

/** A store that takes its time, and at times fails with a part of what it was to write. */
const unreliable = (files: Map<string, Uint8Array>, random: Chance, fails: () => boolean): CheckpointStore.Service => {
  const inner = storeOf(files)
  const pause = Effect.suspend(() => Effect.yieldNow.pipe(Effect.repeat({ times: random.below(4) })))
  const full = new CheckpointStore.CheckpointError({ checkpoint: "prices", operation: "write", detail: "full" })
  type Write = CheckpointStore.Checkpoint["write"]
  const failingAtTimes =
    (write: Write): Write =>
    (at, bytes) =>
      Effect.gen(function* () {
        yield* pause
        if (!fails()) return yield* write(at, bytes)
        const whole = Buffer.concat(bytes)
        yield* write(at, [whole.subarray(0, random.below(whole.length))])
        return yield* full
      })
  return {
    open: (name) =>
      Effect.map(inner.open(name), (checkpoint) => ({
        ...checkpoint,
        claim: Effect.andThen(pause, checkpoint.claim),
        read: (at, into) => Effect.andThen(pause, checkpoint.read(at, into)),
        write: failingAtTimes(checkpoint.write),
        replacement: Effect.map(checkpoint.replacement, (replacement) => {
          const before = lengthOf(files)
          return {
            write: failingAtTimes(replacement.write),
            commit: Effect.gen(function* () {
              yield* pause
              if (fails()) return yield* full
              if (lengthOf(files) > before) counts.savedWhileMerged++
              yield* replacement.commit
              counts.replaced++
            })
          }
        })
      }))
  }
}

/** Some lives of a process, one after another, with what is stored in between. */
const live = (seed: number, trace: Array<string>) =>
  Effect.gen(function* () {
    const random = chance(seed)
    const partitions = 1 + random.below(3)
    const log = new RandomLog({ seed: seed + 7, partitions, keys: 20, valueSize: 80 })
    let files = new Map<string, Uint8Array>()
    /** All that may be found, in the order in which it was marked, and which of it counted as saved last. */
    const history: Array<Marked> = []
    let saved = -1

    for (let process = 0; process < 6; process++) {
      let isFull = false
      const scope = yield* Scope.make()
      const fails = (): boolean => isFull && random.happens(0.5)
      const store = unreliable(files, random, fails)
      const file = yield* Scope.provide(CheckpointFile.open(store, "prices", 1500), scope)
      const found = yield* file.read
      const marked = markedOf(found)
      trace.push(
        `process ${process} finds ${marked?.marks.savedAt} (${found.unusable}), saved was ${history[saved]?.marks.savedAt}`
      )
      if (marked === undefined) {
        assert.strictEqual(saved, -1, found.unusable)
        history.length = 0
      } else {
        counts.resumed++
        const possible = history.slice(Math.max(0, saved))
        assert.deepInclude(possible, marked)
        saved = history.findIndex(({ marks }) => marks.savedAt === marked.marks.savedAt)
        history.length = saved + 1
      }
      log.restore(marked)

      /** A base that could not be written, and may be run again. */
      let unwritten: { readonly storing: ReturnType<typeof file.rewrite>; readonly at: number } | undefined
      const running: Array<Fiber.Fiber<void>> = []
      /** Stores what is marked now, in its own time. */
      const mark = Effect.fnUntraced(function* (isBase: boolean, again: boolean) {
        const isAgain = isBase && again && unwritten !== undefined && file.isRecording()
        const at = isAgain ? unwritten!.at : history.push(log.marked) - 1
        const { marks } = history[at]!
        const storing = isAgain
          ? unwritten!.storing
          : isBase
            ? file.rewrite(identity, log.survivors, marks)
            : file.save(marks)
        if (isBase) unwritten = undefined
        if (isAgain) counts.again++
        trace.push(`${isBase ? "rewrites" : "saves"} ${marks.savedAt}${isAgain ? " again" : ""}`)
        const outcome = Effect.map(Effect.exit(storing), (exit) => {
          trace.push(`${marks.savedAt}: ${exit._tag}`)
          if (Exit.isFailure(exit)) {
            counts.failed++
            if (isBase) unwritten = { storing, at }
          } else {
            saved = Math.max(saved, at)
            if (isBase) counts.rewritten++
            else counts.saved++
          }
        })
        running.push(yield* Effect.forkIn(outcome, scope, { startImmediately: true }))
      })
      for (let step = random.below(100); step > 0; step--) {
        const kind = random.below(10)
        if (kind < 5) file.record(...log.answer())
        else if (kind < 7) yield* Effect.yieldNow.pipe(Effect.repeat({ times: random.below(12) }))
        else if (kind < 8) isFull = random.happens(0.3)
        else yield* mark(!file.isGoingOn() || random.happens(0.05), random.happens(0.7))
      }
      if (random.happens(0.5)) {
        isFull = false
        yield* mark(!file.isGoingOn(), false)
        yield* Fiber.joinAll(running)
        assert.strictEqual(saved, history.length - 1)
      } else {
        counts.killed++
        // Nothing is written any more to what the next process finds.
        files = new Map(Array.from(files, ([name, bytes]) => [name, bytes.slice()]))
      }
      yield* Scope.close(scope, Exit.void)
    }
  })

describe("a checkpoint whose process dies at any moment", () => {
  it.effect(
    "is found as it was marked, and no older than it was saved last",
    () =>
      Effect.gen(function* () {
        const seeds = seedsOf(250, 20_000)
        yield* forEachSeed(seeds, live)
        // Each part of it was really tried.
        for (const count of Object.values(counts)) assert.isAbove(count, seeds.length / 4, JSON.stringify(counts))
      }),
    propertyTimeout
  )
})
