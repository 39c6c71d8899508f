/** What a table holds in memory, also where the survivors lie all over the log. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"
import type { LogShape } from "../topics/logs.ts"

export const memory: Benchmark = Effect.fnUntraced(function* ({ options, repeat, replaySources }) {
  const measured: Array<Measurement> = []
  const sizes = options.sizes.length > 0 ? options.sizes : [100_000, 1_000_000]
  const logs: ReadonlyArray<LogShape> = [
    ...sizes.map((keys) => ({ distribution: "unique" as const, records: keys, keys })),
    ...options.logs.filter(({ distribution }) => distribution === "zipf")
  ]
  for (const log of logs) {
    for (const { source, topic } of yield* replaySources([log])) {
      for (const decode of ["raw", "schema"] as const) {
        measured.push(...(yield* repeat("memory", { source, topic, log, decode })))
      }
    }
  }
  return measured
})
