/** What a restart costs: of the whole topic, and from a checkpoint with one percent new since, also over a slow link. */
import { TestKafka } from "@effect-ktables/testing"
import { Effect } from "effect"
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import * as path from "node:path"
import type { Measurement } from "../harness/Measurement.ts"
import { runCell } from "../harness/runCell.ts"
import { append, filledTopic } from "../topics/provision.ts"
import { keyIds, type LogShape } from "../topics/logs.ts"
import type { Source } from "../topics/source.ts"
import type { Benchmark } from "../suite.ts"

/** Bytes per second. */
const SLOW = 50_000_000

const temporary = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(tmpdir(), "checkpoints-"))),
  (directory) => Effect.promise(() => fs.rm(directory, { recursive: true, force: true }))
)

export const restart: Benchmark = Effect.fnUntraced(function* ({ options, repeat }) {
  // Of its own: topics are appended to, and the link is a proxy.
  const cluster = yield* TestKafka.startCluster({ proxies: true, heap: "1g" })
  const { innerBrokers } = cluster
  for (const { proxy } of cluster.nodes) yield* proxy!.limit(SLOW)
  const links = [
    { link: "", brokers: innerBrokers },
    { link: ", 50 MB/s", brokers: cluster.brokers }
  ]
  const shapes: ReadonlyArray<LogShape> = [
    ...options.logs,
    ...options.sizes.map((keys): LogShape => ({ distribution: "unique", records: keys, keys }))
  ]
  const measured: Array<Measurement> = []
  for (const shape of shapes) {
    const filled = yield* Effect.promise(() => filledTopic(innerBrokers, shape, options.partitions))
    const { keys, topic } = filled
    for (const client of options.clients.filter((client) => client !== "memory")) {
      for (const decode of options.decodes) {
        const directory = yield* temporary
        const input = (brokers: ReadonlyArray<string>, link: string) => {
          const source: Source = { client, brokers, topic }
          return { source, topic, keys, decode, link }
        }
        yield* runCell("restart", { ...input(innerBrokers, ""), directory, leaves: true }, { profile: undefined })
        // Keys that the log has: not all are drawn into one of zipf.
        const more = Int32Array.from(new Set(keyIds(shape))).subarray(0, Math.ceil(keys / 100))
        yield* Effect.promise(() => append(innerBrokers, topic, more))
        for (const { brokers, link } of links) {
          for (const from of [undefined, directory]) {
            measured.push(...(yield* repeat("restart", { ...input(brokers, link), directory: from, leaves: false })))
          }
        }
      }
    }
  }
  return measured
}, Effect.scoped)
