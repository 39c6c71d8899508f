/** Writers of one set of keys, each with a client and metadata of its own age, so that they learn of growth apart. */
import assert from "node:assert/strict"
import { Effect, Exit, Option, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import type { TestKafka } from "@effect-ktables/testing"
import { clients } from "../integration/faults/scenario.ts"
import type { Random } from "./random.ts"

const KEYS = 12
const AGES = ["1 second", "20 seconds", "5 minutes"] as const

/**
 * Writes until `isOver`, and waits for each of its own writes: they become readable, or fail because the key's new
 * partition has a record. At the end each key gets one write by a writer that has just looked, so that what counts is in
 * the partition that owns the key.
 */
export const writeAtSeveralAges = Effect.fnUntraced(function* (options: {
  readonly cluster: TestKafka.Cluster
  readonly topic: string
  readonly random: Random
  readonly isOver: () => boolean
}) {
  const { cluster, isOver, random, topic } = options
  const definition = TableTopic.make({ name: topic, key: Schema.String, value: Schema.Int })
  const client = clients.kafkajs({ brokers: cluster.brokers })
  const write = (metadataMaxAge: (typeof AGES)[number]) =>
    KafkaTableWriter.make(definition, { ensureTopic: false, closeTimeout: "1 second", metadataMaxAge })
  let number = 0

  const writeAt = (age: (typeof AGES)[number]) =>
    Effect.gen(function* () {
      const table = yield* KafkaTable.make(definition, { ensureTopic: false })
      const writer = yield* write(age)
      while (!isOver()) {
        const key = `shared-${random.between(0, KEYS - 1)}`
        const exit = yield* Effect.exit(random.next() < 0.2 ? writer.delete(key) : writer.set(key, ++number))
        if (Exit.isSuccess(exit)) {
          const seen = yield* Effect.exit(table.awaitOffset(exit.value))
          const error = Option.getOrUndefined(Exit.findErrorOption(seen))
          assert.ok(
            Exit.isSuccess(seen) || error?._tag === "WriteSuperseded",
            `a wait of the writer whose metadata is up to ${age} old: ${String(seen)}`
          )
        }
        yield* Effect.sleep(random.between(20, 200))
      }
    }).pipe(Effect.scoped, Effect.provide(client), Effect.orDie)

  yield* Effect.forEach(AGES, writeAt, { concurrency: "unbounded", discard: true })
  yield* Effect.gen(function* () {
    const writer = yield* write("1 second")
    for (let key = 0; key < KEYS; key++) yield* writer.set(`shared-${key}`, ++number)
  }).pipe(Effect.scoped, Effect.provide(client), Effect.orDie)
})
