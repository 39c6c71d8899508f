/** How fast an existing topic is replayed. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const catchup: Benchmark = Effect.fnUntraced(function* ({ options, repeat, replaySources }) {
  const measured: Array<Measurement> = []
  for (const { keys, source, topic } of yield* replaySources()) {
    for (const decode of options.decodes) {
      measured.push(...(yield* repeat("catchUp", { source, topic, keys, decode })))
    }
  }
  return measured
})
