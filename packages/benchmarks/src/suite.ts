/** What every benchmark is given: a cluster, topics on it, and the running of cells. */
import { TestKafka } from "@effect-ktables/testing"
import { Console, Context, Effect, Layer, Scope } from "effect"
import { randomBytes } from "node:crypto"
import type { CellInputs, CellName } from "./harness/cells.ts"
import type { Measurement } from "./harness/Measurement.ts"
import { type CellFailed, runCell } from "./harness/runCell.ts"
import type { RunOptions, TableClient } from "./options.ts"
import { distinct, keyIds, type LogShape } from "./topics/logs.ts"
import { createCompacted, filledTopic, recordsIn, remove, topicName } from "./topics/provision.ts"
import type { Source } from "./topics/source.ts"

export interface ReplayTopic {
  readonly topic: string
  readonly records: number
  /** Undefined for a topic that the suite has not filled. */
  readonly keys: number | undefined
}

export interface ReplaySource {
  readonly source: Source
  /** The topic, as the report calls it. */
  readonly topic: string
  readonly keys: number | undefined
}

export interface Suite {
  readonly options: RunOptions
  /** The options' cluster, or one that is started when it is first asked for. */
  readonly brokers: Effect.Effect<ReadonlyArray<string>, TestKafka.TestKafkaError>
  /** The topics to replay: the one the options name, or the generated ones. */
  readonly replayTopics: Effect.Effect<ReadonlyArray<ReplayTopic>, TestKafka.TestKafkaError>
  /** The same for tables: each topic on each of the options' clients. */
  readonly replaySources: (
    logs?: RunOptions["logs"]
  ) => Effect.Effect<ReadonlyArray<ReplaySource>, TestKafka.TestKafkaError>
  /** An empty topic of one partition that goes away with the scope. */
  readonly emptySource: (client: TableClient) => Effect.Effect<Source, TestKafka.TestKafkaError, Scope.Scope>
  /** The same on the cluster, for peers. */
  readonly emptyTopic: Effect.Effect<string, TestKafka.TestKafkaError, Scope.Scope>
  /** Runs a cell in fresh processes, warm-ups first, of several inputs by turns; the measurements of those that count. */
  readonly repeat: <Name extends CellName>(
    cell: Name,
    ...inputs: ReadonlyArray<CellInputs[Name]>
  ) => Effect.Effect<ReadonlyArray<Measurement>, CellFailed>
}

export type Benchmark = (suite: Suite) => Effect.Effect<ReadonlyArray<Measurement>, unknown, Scope.Scope>

const progress = (text: string): Effect.Effect<void> => Console.error(text)

/** The options' cluster, or one that lives as long as the scope. */
export const openBrokers = Effect.fnUntraced(function* (options: { readonly brokers: ReadonlyArray<string> }) {
  if (options.brokers.length > 0) return options.brokers
  const services = yield* Layer.build(TestKafka.layer)
  const kafka = Context.get(services, TestKafka.TestKafka)
  yield* progress(`Kafka: ${kafka.kind} ${kafka.version ?? ""} at ${kafka.brokers.join(",")}`)
  return kafka.brokers
})

export const open = Effect.fnUntraced(function* (options: RunOptions) {
  const scope = yield* Effect.scope
  const brokers = yield* Effect.cached(Effect.provideService(openBrokers(options), Scope.Scope, scope))

  const fill = Effect.fnUntraced(function* (shape: LogShape) {
    const addresses = yield* brokers
    yield* progress(`topic: ${shape.distribution}, ${shape.records} records`)
    return yield* Effect.promise(() => filledTopic(addresses, shape, options.partitions))
  })

  const existing = Effect.fnUntraced(function* (topic: string) {
    const addresses = yield* brokers
    const records = yield* Effect.promise(() => recordsIn(addresses, topic))
    const topics: ReadonlyArray<ReplayTopic> = [{ topic, records, keys: undefined }]
    return topics
  })

  const replayTopics = yield* Effect.cached(
    options.topic === undefined
      ? Effect.map(Effect.forEach(options.logs, fill), (topics): ReadonlyArray<ReplayTopic> => topics)
      : existing(options.topic)
  )

  const emptyTopic = Effect.flatMap(brokers, (addresses) =>
    Effect.acquireRelease(
      Effect.promise(async () => {
        const topic = `ktables-bench-tmp-${randomBytes(6).toString("hex")}`
        await createCompacted(addresses, topic, 1)
        return topic
      }),
      (topic) => Effect.promise(() => remove(addresses, topic))
    )
  )

  const clusterClients = options.clients.filter((client) => client !== "memory")
  const withMemory = options.clients.includes("memory")

  const replaySources = Effect.fnUntraced(function* (logs?: RunOptions["logs"]) {
    const sources: Array<ReplaySource> = []
    if (clusterClients.length > 0) {
      const addresses = yield* brokers
      const topics = logs === undefined ? yield* replayTopics : yield* Effect.forEach(logs, fill)
      for (const { keys, topic } of topics) {
        for (const client of clusterClients) {
          sources.push({ source: { client, brokers: addresses, topic }, topic, keys })
        }
      }
    }
    if (withMemory) {
      for (const log of logs ?? options.logs) {
        const source: Source = { client: "memory", partitions: options.partitions, log }
        sources.push({ source, topic: topicName(log, options.partitions), keys: distinct(keyIds(log)) })
      }
    }
    return sources
  })

  const emptySource = Effect.fnUntraced(function* (client: TableClient) {
    const source: Source =
      client === "memory"
        ? { client, partitions: 1, log: undefined }
        : { client, brokers: yield* brokers, topic: yield* emptyTopic }
    return source
  })

  const repeat: Suite["repeat"] = Effect.fnUntraced(function* (cell, ...inputs) {
    const measured: Array<Measurement> = []
    for (let run = 0; run < options.warmup + options.repeat; run++) {
      const counts = run >= options.warmup
      yield* progress(`${cell} ${counts ? `${run - options.warmup + 1}/${options.repeat}` : "warm-up"}`)
      for (const input of inputs) {
        const measurements = yield* runCell(cell, input, { profile: counts ? options.profile : undefined })
        if (counts) measured.push(...measurements)
      }
    }
    return measured
  })

  const suite: Suite = { options, brokers, replayTopics, replaySources, emptySource, emptyTopic, repeat }
  return suite
})
