import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { start } from "../../support/exampleProcess.ts"

const announce = new URL("../src/announce.ts", import.meta.url)
const watch = new URL("../src/watch.ts", import.meta.url)

layer(TestKafka.layer, { excludeTestServices: true })("the service registry", (it) => {
  it.effect("one process sees what others announce and withdraw, and who was killed", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(","), TOPIC: yield* TestKafka.uniqueName("services") }

      const billing = yield* start(announce, { args: ["billing", "10.0.0.7", "8080"], env })
      yield* billing.line(/^announced billing at 10\.0\.0\.7:8080$/)

      const watcher = yield* start(watch, { env })
      yield* watcher.line(/^1 services: billing at 10\.0\.0\.7:8080$/)

      const search = yield* start(announce, { args: ["search", "10.0.0.8", "9200"], env })
      yield* watcher.line(/^search came up at 10\.0\.0\.8:9200$/)
      yield* search.terminate
      yield* watcher.line(/^search is gone from 10\.0\.0\.8:9200$/)
      assert.strictEqual(yield* search.exitCode, 130)

      yield* billing.kill
      yield* watcher.line(/^billing is gone from 10\.0\.0\.7:8080$/)

      // Its record is still in the topic, and nobody takes it for a service that is up.
      const late = yield* start(watch, { env })
      yield* late.line(/^0 services: $/)

      yield* start(announce, { args: ["billing", "10.0.0.9", "8081"], env })
      yield* watcher.line(/^billing came up at 10\.0\.0\.9:8081$/)
      yield* late.line(/^billing came up at 10\.0\.0\.9:8081$/)

      const [log, ...said] = watcher.lines("stdout")
      assert.match(log ?? "", /: 1 entry from 1 partition in \d+ ms/)
      assert.deepStrictEqual(said, [
        "1 services: billing at 10.0.0.7:8080",
        "search came up at 10.0.0.8:9200",
        "search is gone from 10.0.0.8:9200",
        "billing is gone from 10.0.0.7:8080",
        "billing came up at 10.0.0.9:8081"
      ])
      yield* watcher.terminate
      yield* watcher.exitCode
      assert.deepStrictEqual(watcher.lines("stderr"), [])
    }).pipe(Effect.scoped)
  )
})
