/** What reads cost, beside a native Map. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const reads: Benchmark = Effect.fnUntraced(function* ({ options, repeat }) {
  const measured: Array<Measurement> = []
  const sizes = options.sizes.length > 0 ? options.sizes : [1_000, 100_000, 1_000_000]
  for (const size of sizes) measured.push(...(yield* repeat("reads", { size, rounds: 30 })))
  return measured
})
