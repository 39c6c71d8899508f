import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { CheckpointStore } from "effect-ktables"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import * as path from "node:path"
import { identity, markedOf, RandomLog, reopened, stateOf, survivorsOf } from "./recording.ts"

const directory = Effect.acquireRelease(
  Effect.sync(() => mkdtempSync(path.join(tmpdir(), "checkpoints-"))),
  (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
)

const stores = {
  memory: Effect.sync(() => CheckpointStore.layerMemory()),
  "a directory": Effect.map(directory, (made) => CheckpointStore.layerFileSystem(made))
}

for (const [name, layer] of Object.entries(stores)) {
  describe(`a checkpoint in ${name}`, () => {
    it.live("holds what was rewritten and what was recorded since, in every opening", () =>
      Effect.gen(function* () {
        const store = yield* Effect.flatMap(layer, (layer) =>
          Effect.provide(Effect.service(CheckpointStore.CheckpointStore), layer)
        )
        const log = new RandomLog({ seed: 1, partitions: 3, keys: 50, valueSize: 60 })
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { file, found } = yield* reopened(store)
            assert.deepStrictEqual(found, { saved: undefined, unusable: undefined })
            assert.isUndefined(yield* file.refusal)
            for (let i = 0; i < 20; i++) log.answer()
            yield* file.rewrite(identity, log.survivors, log.marked.marks)
          })
        )
        for (let opening = 0; opening < 5; opening++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { file, found } = yield* reopened(store)
              const { marks, state } = log.marked
              assert.deepStrictEqual(found.saved!.identity, identity)
              assert.deepStrictEqual({ savedAt: found.saved!.savedAt, marks: found.saved!.marks }, marks)
              assert.deepStrictEqual(stateOf(survivorsOf(found.saved!)), state)
              for (let saves = 0; saves < 5; saves++) {
                for (let i = 0; i < 4; i++) file.record(...log.answer())
                yield* file.save(log.marked.marks)
              }
              // What has no marks yet is no part of it.
              file.record(...new RandomLog({ seed: 2, partitions: 3, keys: 50, valueSize: 60 }).answer())
            })
          )
        }
      })
    )

    it.live("takes what is saved last, while the scope closes in which it was opened", () =>
      Effect.gen(function* () {
        const store = yield* Effect.flatMap(layer, (layer) =>
          Effect.provide(Effect.service(CheckpointStore.CheckpointStore), layer)
        )
        const log = new RandomLog({ seed: 3, partitions: 1, keys: 5, valueSize: 10 })
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { file } = yield* reopened(store)
            // Before the right to write is had, which takes a file system some time.
            yield* Effect.addFinalizer(() => Effect.orDie(file.save(log.marked.marks)))
            yield* file.rewrite(identity, log.survivors, log.marked.marks)
            file.record(...log.answer())
          })
        )
        const { found } = yield* Effect.scoped(reopened(store))
        assert.deepStrictEqual(markedOf(found), log.marked)
      })
    )
  })
}
