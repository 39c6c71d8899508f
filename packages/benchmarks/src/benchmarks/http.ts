/** What a server of tables bears: values by key, and many streams of changes. */
import { Effect } from "effect"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"

/** The whole load takes as many descriptors and seconds as it says: a short run has a part of it. */
const SHORT = 2000

export const http: Benchmark = Effect.fnUntraced(function* ({ options, repeat }) {
  const measured: Array<Measurement> = []
  const isShort = options.count < SHORT
  measured.push(
    ...(yield* repeat("http", {
      clients: isShort ? 50 : 1000,
      stuck: isShort ? 5 : 100,
      changesPerSecond: 1000,
      seconds: options.seconds,
      keys: isShort ? 1000 : 10_000,
      requests: isShort ? 500 : 10_000
    }))
  )
  return measured
})
