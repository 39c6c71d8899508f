/** What derived tables cost their source. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const operators: Benchmark = Effect.fnUntraced(function* ({ options, repeat }) {
  const measured: Array<Measurement> = []
  const sizes = options.sizes.length > 0 ? options.sizes : [100_000]
  for (const keys of sizes) {
    measured.push(...(yield* repeat("operators", { keys, changes: Math.min(keys, 10_000), rounds: 24 })))
  }
  return measured
})
