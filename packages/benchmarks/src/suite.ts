/** What every benchmark is given: a cluster, topics on it, and the running of cells. */
import { TestKafka } from "@effect-ktables/testing"
import { Console, Context, Effect, Layer, type Scope } from "effect"
import { randomBytes } from "node:crypto"
import type { CellInputs, CellName } from "./harness/cells.ts"
import type { Measurement } from "./harness/Measurement.ts"
import { type CellFailed, runCell } from "./harness/runCell.ts"
import type { RunOptions } from "./options.ts"
import { createCompacted, filledTopic, recordsIn, remove } from "./topics/provision.ts"

export interface ReplayTopic {
  readonly topic: string
  readonly records: number
  /** Undefined for a topic that the suite has not filled. */
  readonly keys: number | undefined
}

export interface Suite {
  readonly options: RunOptions
  readonly brokers: ReadonlyArray<string>
  /** The topics to replay: the one the options name, or the generated ones. */
  readonly replayTopics: Effect.Effect<ReadonlyArray<ReplayTopic>>
  /** An empty compacted topic that goes away with the scope. */
  readonly emptyTopic: (partitions: number) => Effect.Effect<string, never, Scope.Scope>
  /** Runs a cell in fresh processes, warm-ups first; the measurements of those that count. */
  readonly repeat: <Name extends CellName>(
    cell: Name,
    input: CellInputs[Name]
  ) => Effect.Effect<ReadonlyArray<Measurement>, CellFailed>
}

export type Benchmark = (suite: Suite) => Effect.Effect<ReadonlyArray<Measurement>, unknown, Scope.Scope>

const progress = (text: string): Effect.Effect<void> => Console.error(text)

/** The options' cluster, or one that lives as long as the scope. */
const openBrokers = Effect.fnUntraced(function* (options: RunOptions) {
  if (options.brokers.length > 0) return options.brokers
  const services = yield* Layer.build(TestKafka.layer)
  const kafka = Context.get(services, TestKafka.TestKafka)
  yield* progress(`Kafka: ${kafka.kind} ${kafka.version ?? ""} at ${kafka.brokers.join(",")}`)
  return kafka.brokers
})

export const open = Effect.fnUntraced(function* (options: RunOptions) {
  const brokers = yield* openBrokers(options)

  const fill = Effect.fnUntraced(function* (shape: RunOptions["logs"][number]) {
    yield* progress(`topic: ${shape.distribution}, ${shape.records} records`)
    return yield* Effect.promise(() => filledTopic(brokers, shape, options.partitions))
  })

  const existing = (topic: string): Effect.Effect<ReadonlyArray<ReplayTopic>> =>
    Effect.promise(async () => [{ topic, records: await recordsIn(brokers, topic), keys: undefined }])

  const replayTopics = yield* Effect.cached(
    options.topic === undefined ? Effect.forEach(options.logs, fill) : existing(options.topic)
  )
  const suite: Suite = {
    options,
    brokers,
    replayTopics,
    emptyTopic: (partitions) =>
      Effect.acquireRelease(
        Effect.promise(async () => {
          const topic = `ktables-bench-tmp-${randomBytes(6).toString("hex")}`
          await createCompacted(brokers, topic, partitions)
          return topic
        }),
        (topic) => Effect.promise(() => remove(brokers, topic))
      ),
    repeat: Effect.fnUntraced(function* (cell, input) {
      const measured: Array<Measurement> = []
      for (let run = 0; run < options.warmup + options.repeat; run++) {
        const counts = run >= options.warmup
        yield* progress(`${cell} ${counts ? `${run - options.warmup + 1}/${options.repeat}` : "warm-up"}`)
        const measurements = yield* runCell(cell, input, { profile: counts ? options.profile : undefined })
        if (counts) measured.push(...measurements)
      }
      return measured
    })
  }
  return suite
})
