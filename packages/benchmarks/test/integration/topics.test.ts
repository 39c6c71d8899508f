import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { runCell } from "../../src/harness/runCell.ts"
import { filledTopic, recordsIn } from "../../src/topics/provision.ts"

layer(TestKafka.layer, { timeout: "5 minutes" })("the topics of the benchmarks", (it) => {
  const shape = { distribution: "zipf", records: 3_000, keys: 500 } as const

  it.effect("hold the generated log, which another client reads, and are filled once", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const filled = yield* Effect.promise(() => filledTopic(brokers, shape, 4))
      assert.strictEqual(yield* Effect.promise(() => recordsIn(brokers, filled.topic)), 3_000)
      const again = yield* Effect.promise(() => filledTopic(brokers, shape, 4))
      assert.deepStrictEqual(again, filled)
      assert.strictEqual(yield* Effect.promise(() => recordsIn(brokers, filled.topic)), 3_000)

      const [caughtUp] = yield* runCell(
        "nodeCatchUp",
        { client: "kafkajs", brokers, topic: filled.topic, decode: "json" },
        { profile: undefined }
      )
      assert.strictEqual(caughtUp?.records, 3_000)
      assert.strictEqual(caughtUp?.keys, filled.keys)
    })
  )

  it.effect("are drained to their end by a process of its own", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const { topic } = yield* Effect.promise(() => filledTopic(brokers, shape, 4))
      const [drained] = yield* runCell("drain", { brokers, topic, partitionBytes: 1 << 20 }, { profile: undefined })
      assert.strictEqual(drained?.records, 3_000)
    })
  )

  it.effect("fill a map in a single loop, in a fresh and in a warm process", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const { keys, topic } = yield* Effect.promise(() => filledTopic(brokers, shape, 4))
      const rows = yield* runCell("bareMap", { brokers, topic, keys, partitionBytes: 1 << 20 }, { profile: undefined })
      assert.deepStrictEqual(
        rows.map(({ detail, records }) => [detail, records]),
        [
          ["fresh process", 3_000],
          ["warm", 3_000]
        ]
      )
    })
  )

  it.effect("are missed with the broker's reason, which the cell's process hands to its parent", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const input = { brokers, topic: "no-such-topic", partitionBytes: 1 << 20 }
      const failure = yield* Effect.flip(runCell("drain", input, { profile: undefined }))
      assert.include(failure.message, "no topic no-such-topic: error code 3")
    })
  )
})
