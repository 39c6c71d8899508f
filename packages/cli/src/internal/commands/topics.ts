/** The topics of a cluster, and which of them a table can be made of. */
import { Effect, Result } from "effect"
import { KafkaClient, type PartitionDescription } from "effect-ktables/KafkaClient"
import type { KafkaError } from "effect-ktables/KafkaError"
import { fromError } from "../failure.ts"
import { quoted } from "../formats.ts"
import { again, offsetsOf } from "../logs.ts"
import { writeResults } from "../output.ts"
import { outputOf, type Settings } from "../settings.ts"

/** What could not be found out is undefined: it may not be allowed, or has no leader. */
export interface Described {
  readonly topic: string
  readonly partitions: number | undefined
  readonly policy: string | undefined
  /** Between the starts and the ends of its logs; there are fewer records where it was compacted. */
  readonly offsets: number | undefined
}

export type Fitness = "table" | "expiring" | "log" | "unknown"

/** A table needs every key's last record, which only compaction keeps for good. */
export const fitness = (policy: string | undefined): Fitness => {
  if (policy === undefined) return "unknown"
  const policies = policy.split(",").map((one) => one.trim())
  if (!policies.includes("compact")) return "log"
  return policies.includes("delete") ? "expiring" : "table"
}

/** From the starts of its logs to their ends. */
const sizeOf = Effect.fnUntraced(function* (topic: string, described: ReadonlyArray<PartitionDescription>) {
  const starts = yield* offsetsOf(topic, described, "earliest", "read_committed")
  const ends = yield* offsetsOf(topic, described, "latest", "read_committed")
  if (starts === undefined || ends === undefined) return undefined
  return described.reduce((sum, { partition }) => sum + ends.get(partition)! - starts.get(partition)!, 0)
})

/** The protocol's UNKNOWN_TOPIC_OR_PARTITION. */
const UNKNOWN_TOPIC = 3

/** None for a topic that was deleted meanwhile. */
export const describe = Effect.fnUntraced(function* (
  topic: string
): Effect.fn.Return<ReadonlyArray<Described>, KafkaError, KafkaClient> {
  const client = yield* KafkaClient
  const described = yield* Effect.result(Effect.retry(client.describeTopic(topic), again))
  if (Result.isFailure(described)) {
    const { failure } = described
    if (failure._tag !== "BrokerError") return yield* Effect.fail(failure)
    return failure.code === UNKNOWN_TOPIC
      ? []
      : [{ topic, partitions: undefined, policy: undefined, offsets: undefined }]
  }
  const { partitions } = described.success
  const config = yield* Effect.result(Effect.retry(client.describeConfig(topic), again))
  const offsets = yield* Effect.result(Effect.retry(sizeOf(topic, partitions), again))
  const one: Described = {
    topic,
    partitions: partitions.length,
    policy: Result.isSuccess(config) ? config.success.get("cleanup.policy") : undefined,
    offsets: Result.isSuccess(offsets) ? offsets.success : undefined
  }
  return [one]
})

export const toJson = ({ offsets, partitions, policy, topic }: Described): string =>
  `{"topic":${quoted(topic)},"partitions":${partitions ?? "null"},"policy":${policy === undefined ? "null" : quoted(policy)},"offsets":${offsets ?? "null"},"fitness":"${fitness(policy)}"}`

const words: Readonly<Record<Fitness, string>> = {
  table: "yes",
  expiring: "yes, but entries expire",
  log: "no: it is not compacted",
  unknown: "?"
}

export const run = Effect.fnUntraced(
  function* (settings: Settings) {
    const client = yield* KafkaClient
    const names = [...(yield* client.listTopics)].sort()
    const all = (yield* Effect.forEach(names, describe, { concurrency: 32 })).flat()
    yield* writeResults(outputOf(settings), all, {
      toJson,
      heads: ["TOPIC", "PARTITIONS", "OFFSETS", "POLICY", "TABLE"],
      row: ({ offsets, partitions, policy, topic }) => [
        topic,
        partitions === undefined ? "?" : String(partitions),
        offsets === undefined ? "?" : String(offsets),
        policy ?? "?",
        words[fitness(policy)]
      ],
      flexible: 0
    })
  },
  Effect.mapError((error) => fromError(error))
)
