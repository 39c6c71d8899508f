/** How fast the answers to fetches can be had at all, and how fast they can fill a map. */
import { Effect } from "effect"
import type { Benchmark } from "../suite.ts"

/** 1 MiB is the clients' default; larger answers save round trips. */
const partitionBytes = [1 << 20, 4 << 20]

export const drain: Benchmark = Effect.fnUntraced(function* (suite) {
  const { repeat, replayTopics } = suite
  const brokers = yield* suite.brokers
  const measured = []
  for (const { keys, topic } of yield* replayTopics) {
    for (const bytes of partitionBytes) {
      measured.push(...(yield* repeat("drain", { brokers, topic, partitionBytes: bytes })))
    }
    measured.push(...(yield* repeat("bareMap", { brokers, topic, keys, partitionBytes: 2 << 20 })))
  }
  return measured
})
