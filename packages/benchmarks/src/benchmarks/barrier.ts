/** What a fresh read costs, beside the round trips of bare clients. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const barrier: Benchmark = Effect.fnUntraced(function* ({ emptySource, options, repeat }) {
  const measured: Array<Measurement> = []
  const { clients, count, warmupCount: warmup } = options
  for (const client of clients) {
    const source = yield* emptySource(client)
    for (const what of ["idle barrier", "barrier beside writers", "own write", "own write and awaitOffset"] as const) {
      measured.push(...(yield* repeat("barrier", { source, what, warmup, count })))
    }
    if (source.client === "memory") continue
    const { brokers, topic } = source
    const bare = yield* repeat("roundTrip", { brokers, topic, warmup, count })
    measured.push(...bare.map((row) => ({ ...row, topic: undefined })))
  }
  return measured
})
