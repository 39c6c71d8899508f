/** What hundreds of tables of one client cost, each of a topic of its own, on the options' cluster or three brokers. */
import { TestKafka } from "@effect-ktables/testing"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"
import { createCompacted, remove } from "../topics/provision.ts"

/** Topics that are created or removed at the same time. */
const CREATING = 8

export const tables: Benchmark = Effect.fnUntraced(function* ({ options, repeat }) {
  const measured: Array<Measurement> = []
  const { count, partitions, seconds } = options
  const run = `ktables-bench-tmp-${randomBytes(4).toString("hex")}`
  const topics = Array.from({ length: options.tables }, (_, i) => `${run}-${i}`)
  const clusterClients = options.clients.filter((client) => client !== "memory")
  if (clusterClients.length > 0) {
    const brokers =
      options.brokers.length > 0
        ? options.brokers
        : (yield* TestKafka.startCluster({ nodes: 3, heap: "512m" })).nodes.map(({ address }) => address)
    yield* Effect.acquireRelease(
      Effect.forEach(topics, (topic) => Effect.promise(() => createCompacted(brokers, topic, partitions)), {
        concurrency: CREATING,
        discard: true
      }),
      () =>
        Effect.forEach(topics, (topic) => Effect.promise(() => remove(brokers, topic)), {
          concurrency: CREATING,
          discard: true
        })
    )
    for (const client of clusterClients) {
      const source = { client, brokers }
      measured.push(...(yield* repeat("tables", { source, topics, partitions, seconds, count })))
    }
  }
  if (options.clients.includes("memory")) {
    const source = { client: "memory" } as const
    measured.push(...(yield* repeat("tables", { source, topics, partitions, seconds, count })))
  }
  return measured
})
