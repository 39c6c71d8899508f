import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { start } from "../../support/exampleProcess.ts"

const deploy = new URL("../src/deploy.ts", import.meta.url)
const main = new URL("../src/main.ts", import.meta.url)

layer(TestKafka.layer, { excludeTestServices: true })("a locked-down cluster", (it) => {
  it.effect("a reader without admin requests starts only after the topic was deployed", () =>
    Effect.gen(function* () {
      const { admin, brokers } = yield* TestKafka.TestKafka
      const topic = yield* TestKafka.uniqueName("settings")
      const env = { KAFKA_BROKERS: brokers.join(","), TOPIC: topic }

      const tooEarly = yield* start(main, { env })
      assert.strictEqual(yield* tooEarly.exitCode, 1)
      assert.deepStrictEqual(tooEarly.lines("stderr"), [`${topic} is missing: has deploy.ts run?`])

      for (const time of ["first", "second"]) {
        const deployment = yield* start(deploy, { env })
        assert.strictEqual(yield* deployment.exitCode, 0, `the ${time} deployment`)
        assert.strictEqual(deployment.lines("stdout").at(-1), `${topic}: ${time === "first" ? "Created" : "Verified"}`)
      }
      const { partitions } = yield* admin.describe(topic)
      assert.strictEqual(partitions.length, 3)

      const reader = yield* start(main, { env })
      yield* reader.line(/^0 settings$/)
      yield* reader.terminate
      yield* reader.exitCode
      assert.deepStrictEqual(reader.lines("stderr"), [])
    }).pipe(Effect.scoped)
  )
})
