/** What tables cost while nothing happens. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const idle: Benchmark = Effect.fnUntraced(function* ({ emptySource, options, repeat }) {
  const measured: Array<Measurement> = []
  for (const client of options.clients) {
    const source = yield* emptySource(client)
    for (const tables of [1, 100]) {
      measured.push(...(yield* repeat("idle", { source, tables, seconds: options.seconds })))
    }
  }
  return measured
})
