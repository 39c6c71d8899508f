import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import * as path from "node:path"
import { start } from "../../support/exampleProcess.ts"

const main = new URL("../src/main.ts", import.meta.url)
const set = new URL("../src/set.ts", import.meta.url)

layer(Layer.merge(TestKafka.layer, NodeFileSystem.layer), { excludeTestServices: true })("quick restart", (it) => {
  const given = Effect.gen(function* () {
    const { brokers } = yield* TestKafka.TestKafka
    const directory = yield* (yield* FileSystem.FileSystem).makeTempDirectoryScoped()
    const TOPIC = yield* TestKafka.uniqueName("accounts")
    const env = { KAFKA_BROKERS: brokers.join(","), TOPIC, CHECKPOINTS: path.join(directory, "checkpoints") }
    const write = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
      const setter = yield* start(set, { args: [...args], env })
      yield* setter.line(/ is written at offset \d+$/)
      assert.strictEqual(yield* setter.exitCode, 0)
    })
    return { env, write, file: path.join(env.CHECKPOINTS, `${TOPIC}.ckpt`) }
  })

  it.effect("what was read before a process was stopped, or killed, is not read again", () =>
    Effect.gen(function* () {
      const { env, write } = yield* given
      yield* write("ada", "paid")
      yield* write("bob", "free")
      const first = yield* start(main, { env })
      yield* first.line(/^2 accounts: 0 of 1 partitions from the checkpoint, 2 records read$/)
      yield* first.line(/^saved, \d+ bytes$/)
      yield* first.terminate
      assert.strictEqual(yield* first.exitCode, 130)

      yield* write("cleo", "free")
      const second = yield* start(main, { env })
      yield* second.line(/^3 accounts: 1 of 1 partitions from the checkpoint, 1 records read$/)
      yield* second.line(/^saved, \d+ bytes$/)
      yield* second.kill
      yield* second.exitCode

      const third = yield* start(main, { env })
      yield* third.line(/^3 accounts: 1 of 1 partitions from the checkpoint, 0 records read$/)
    }).pipe(Effect.scoped)
  )

  it.effect("a file that is damaged is not used, for a reason, and a new one is written", () =>
    Effect.gen(function* () {
      const { env, file, write } = yield* given
      yield* write("ada", "paid")
      const first = yield* start(main, { env })
      yield* first.line(/^saved, \d+ bytes$/)
      yield* first.terminate
      yield* first.exitCode

      yield* (yield* FileSystem.FileSystem).truncate(file, 100)
      const second = yield* start(main, { env })
      yield* second.line(/^the checkpoint is not used: it is cut short/)
      yield* second.line(/^1 accounts: 0 of 1 partitions from the checkpoint, 1 records read$/)
      yield* second.line(/^saved, \d+ bytes$/)
    }).pipe(Effect.scoped)
  )
})
