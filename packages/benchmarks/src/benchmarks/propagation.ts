/** How soon a write shows. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const propagation: Benchmark = Effect.fnUntraced(function* ({ emptySource, options, repeat }) {
  const measured: Array<Measurement> = []
  for (const client of options.clients) {
    const source = yield* emptySource(client)
    measured.push(
      ...(yield* repeat("propagation", { source, loop: "closed", warmup: options.warmupCount, count: options.count }))
    )
    for (const perSecond of [100, 1000]) {
      const { seconds } = options
      measured.push(...(yield* repeat("propagation", { source, loop: "open", perSecond, seconds })))
    }
  }
  return measured
})
