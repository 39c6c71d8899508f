/** Options that cannot be used, as plain JavaScript, settings and arithmetic give them: refused by name at the writer's start. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Options } from "effect-ktables/KafkaTableWriter"
import { eventually } from "./scriptedKafka.ts"
import { start } from "./fixtures.ts"

/** What no type lets through. */
const untyped = (options: Record<string, unknown>): Options => options as Options

const refused: ReadonlyArray<readonly [option: string, given: Record<string, unknown>, expected: string]> = [
  ["maxBufferedBytes", { maxBufferedBytes: 0 }, "at least 1"],
  ["maxBufferedBytes", { maxBufferedBytes: Number.NaN }, "at least 1"],
  ["maxBufferedBytes", { maxBufferedBytes: -1 }, "at least 1"],
  ["maxBufferedBytes", { maxBufferedBytes: "1048576" }, "at least 1"],
  ["maxBatchBytes", { maxBatchBytes: 0 }, "a whole number from"],
  ["maxBatchBytes", { maxBatchBytes: 1.5 }, "a whole number from"],
  ["metadataMaxAge", { metadataMaxAge: 0 }, "a duration from 100 to 2147483647 ms"],
  ["metadataMaxAge", { metadataMaxAge: Number.NaN }, "a duration from 100 to 2147483647 ms"],
  ["metadataMaxAge", { metadataMaxAge: "Infinity" }, "a duration from 100 to 2147483647 ms"],
  ["deliveryTimeout", { deliveryTimeout: 0 }, "a duration from 1 to"],
  ["deliveryTimeout", { deliveryTimeout: "26 days" }, "a duration from 1 to"],
  ["deliveryTimeout", { deliveryTimeout: "soon" }, "a duration from 1 to"],
  ["closeTimeout", { closeTimeout: -1 }, "a duration from 0 to"],
  ["linger", { linger: 2 ** 31 }, "a duration from 0 to"],
  ["startTimeout", { startTimeout: Number.NEGATIVE_INFINITY }, "a duration from 1 to"],
  ["compression", { compression: "brotli" }, '"none", "gzip", "snappy", "lz4", "zstd"'],
  ["acks", { acks: 1 }, '"all", "leader", "none"'],
  ["idempotence", { idempotence: true }, '"auto", "required", "off"'],
  ["idempotence", { acks: "leader", idempotence: "required" }, '"off" beside acks "leader"'],
  ["idempotence", { acks: "none", idempotence: "auto" }, '"off" beside acks "none"'],
  ["partitioner", { partitioner: "murmur2" }, "a function"],
  ["ensureTopic", { ensureTopic: true }, "false, or an object of options"],
  ["ensureTopic.onPolicyMismatch", { ensureTopic: { onPolicyMismatch: "warm" } }, '"warn"'],
  ["metadatMaxAge", { metadatMaxAge: "1 second" }, "no such option, but one of acks, "]
]

describe("options of a writer", () => {
  for (const [option, given, expected] of refused) {
    const shown = Object.entries(given).map(([name, value]) => `${name}: ${String(value)}`)
    it.effect(`{ ${shown.join(", ")} } is refused by name, before anything is contacted`, () =>
      Effect.gen(function* () {
        const starting = start({ writer: untyped(given) })
        const error = yield* eventually(Effect.flip(Effect.scoped(starting)))
        assert.strictEqual(error._tag, "InvalidOption")
        if (error._tag !== "InvalidOption") return
        assert.strictEqual(error.option, option)
        assert.include(error.expected, expected)
        assert.include(error.message, `option ${option} of prices is `)
      })
    )
  }

  it.effect("undefined ones are taken for not given", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({
        writer: { deliveryTimeout: undefined, compression: undefined, idempotence: undefined, maxBatchBytes: undefined }
      })
      assert.strictEqual((yield* eventually(writer.set("a", 1))).offset, 0)
    })
  )
})
