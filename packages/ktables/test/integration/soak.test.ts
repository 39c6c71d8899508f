import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { soak } from "../soak/soak.ts"

const missing = JavaPeer.unavailable()

describe.skipIf(missing !== undefined)(`the soak${missing === undefined ? "" : ` (skipped: ${missing})`}`, () => {
  it.live(
    "half a minute of random faults on three brokers, kafkajs and platformatic side by side",
    () =>
      Effect.gen(function* () {
        const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9))
        const lines: Array<string> = [`seed ${seed}`]
        const result = yield* soak({ seconds: 30, seed, log: (line) => lines.push(line) }).pipe(
          Effect.tapCause(() => Effect.logError(lines.join("\n")))
        )
        // A busy machine takes long over each.
        assert.isAbove(result.faults, 0)
        assert.isAbove(result.acknowledged, 100)
      }).pipe(Effect.scoped),
    300_000
  )
})
