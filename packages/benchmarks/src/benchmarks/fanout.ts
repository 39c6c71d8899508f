/** What subscribers cost. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const fanout: Benchmark = Effect.fnUntraced(function* ({ options, repeat }) {
  const measured: Array<Measurement> = []
  const keys = options.sizes[0] ?? 100_000
  for (const subscribers of [1, 10, 100, 1000]) {
    for (const stuck of [false, true]) {
      measured.push(...(yield* repeat("fanOut", { subscribers, watchers: 0, stuck, keys, updates: keys })))
    }
  }
  for (const watchers of [1000, 10_000]) {
    measured.push(...(yield* repeat("fanOut", { subscribers: 0, watchers, stuck: false, keys, updates: keys })))
  }
  return measured
})
