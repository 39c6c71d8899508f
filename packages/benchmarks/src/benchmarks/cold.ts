/** How long a table on an empty topic takes to be there. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const cold: Benchmark = Effect.fnUntraced(function* ({ emptySource, options, repeat }) {
  const measured: Array<Measurement> = []
  for (const client of options.clients) {
    const source = yield* emptySource(client)
    for (const ensureTopic of ["off", "verify", "create"] as const) {
      measured.push(...(yield* repeat("cold", { source, ensureTopic, later: 5 })))
    }
  }
  return measured
})
