import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { start } from "../../support/exampleProcess.ts"

const join = new URL("../src/join.ts", import.meta.url)
const list = new URL("../src/list.ts", import.meta.url)
const watch = new URL("../src/watch.ts", import.meta.url)

layer(TestKafka.layer, { excludeTestServices: true })("rooms", (it) => {
  it.effect("people who join and leave show in their room, and a room that everybody has left is gone", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(","), TOPIC: yield* TestKafka.uniqueName("rooms") }
      const listed = Effect.gen(function* () {
        const lister = yield* start(list, { env })
        assert.strictEqual(yield* lister.exitCode, 0)
        return lister.lines("stdout").filter((line) => !line.includes("INFO"))
      })

      const watcher = yield* start(watch, { args: ["lobby"], env })
      yield* watcher.line(/^lobby: nobody$/)
      const ada = yield* start(join, { args: ["lobby", "ada", "curious"], env })
      yield* ada.line(/^in lobby: ada \(curious\)$/)
      yield* watcher.line(/^lobby: ada \(curious\)$/)
      const bo = yield* start(join, { args: ["lobby", "bo😀", "busy"], env })
      // Who joins sees who is there, and themselves.
      yield* bo.line(/^in lobby: ada \(curious\), bo😀 \(busy\)$/)
      const cleo = yield* start(join, { args: ["12:attic", "cleo", "asleep"], env })
      yield* cleo.line(/^in 12:attic: cleo \(asleep\)$/)
      assert.deepStrictEqual(yield* listed, ["12:attic: cleo (asleep)", "lobby: ada (curious), bo😀 (busy)"])

      for (const person of [cleo, ada]) {
        yield* person.terminate
        assert.strictEqual(yield* person.exitCode, 130)
      }
      yield* watcher.line(/^lobby: bo😀 \(busy\)$/)
      assert.deepStrictEqual(yield* listed, ["lobby: bo😀 (busy)"])
      assert.deepStrictEqual(
        watcher.lines("stdout").filter((line) => line.includes("cleo")),
        []
      )
    }).pipe(Effect.scoped)
  )
})
