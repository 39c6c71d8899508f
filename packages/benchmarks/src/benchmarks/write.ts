/** Acknowledged writes per second. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

export const write: Benchmark = Effect.fnUntraced(function* ({ emptySource, options, repeat }) {
  const measured: Array<Measurement> = []
  const { clients, seconds } = options
  for (const client of clients) {
    for (const inFlight of [1, 8, 64, 256]) {
      // A topic each: what one cell has written is no longer on the disk when the next ones write.
      measured.push(
        ...(yield* Effect.scoped(
          Effect.flatMap(emptySource(client), (source) => repeat("write", { source, inFlight, seconds }))
        ))
      )
    }
  }
  return measured
})
