/**
 * What every `KafkaClient` promises, as tests: one suite for the clients of real brokers and for the embedded Kafka.
 *
 * Each test has passed on Apache Kafka first, so that what the embedded one does is what brokers do.
 *
 * **When to use**
 *
 * Run it on a client, a transport or an in-memory Kafka of your own, from a test file of vitest.
 *
 * **Example** (The embedded Kafka keeps the contract)
 *
 * ```ts
 * import { KafkaClientContract } from "@effect-ktables/testing"
 * import * as MemoryKafka from "effect-ktables/MemoryKafka"
 * import { Layer } from "effect"
 *
 * KafkaClientContract.suite(
 *   "MemoryKafka",
 *   KafkaClientContract.memoryAdmin.pipe(Layer.provideMerge(MemoryKafka.layer))
 * )
 * ```
 *
 * @since 0.1.0
 */
import { layer as withLayer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import { MemoryKafka } from "effect-ktables/MemoryKafka"
import { randomUUID } from "node:crypto"
import { ContractAdmin } from "./ContractAdmin.ts"
import { fetching } from "./internal/contract/fetching.ts"
import { offsets } from "./internal/contract/offsets.ts"
import { producing } from "./internal/contract/producing.ts"
import { topics } from "./internal/contract/topics.ts"
import { beginTransaction } from "./internal/transaction.ts"
import { TestKafka } from "./TestKafka.ts"

export { ContractAdmin, type ContractRecord, type ContractTransaction } from "./ContractAdmin.ts"

/**
 * Declares the suite. The layer is built once for it; time is real.
 *
 * @category suites
 * @since 0.1.0
 */
export const suite = <E>(name: string, layer: Layer.Layer<KafkaClient | ContractAdmin, E>): void =>
  withLayer(layer, { excludeTestServices: true, timeout: "5 minutes" })(
    `${name} keeps the contract of KafkaClient`,
    (it) => {
      topics(it)
      producing(it)
      fetching(it)
      offsets(it)
    }
  )

/**
 * The embedded Kafka's way to do what the suite needs.
 *
 * @category layers
 * @since 0.1.0
 */
export const memoryAdmin: Layer.Layer<ContractAdmin, never, MemoryKafka> = Layer.effect(
  ContractAdmin,
  Effect.map(MemoryKafka, (kafka) =>
    ContractAdmin.of({
      deleteTopic: (topic) => Effect.orDie(kafka.deleteTopic(topic)),
      createPartitions: (topic, count) => Effect.orDie(kafka.addPartitions(topic, count)),
      deleteRecords: (topic, partition, before) => Effect.orDie(kafka.deleteRecords(topic, partition, before)),
      beginTransaction: Effect.map(kafka.beginTransaction(), (transaction) => ({
        append: (topic, partition, records) =>
          Effect.orDie(
            transaction.append(
              topic,
              records.map(({ key, timestamp, value }) => ({ key, value, timestamp })),
              { partition }
            )
          ),
        commit: Effect.orDie(transaction.commit),
        abort: Effect.orDie(transaction.abort)
      }))
    })
  )
)

/**
 * The way to do what the suite needs on a real Kafka.
 *
 * @category layers
 * @since 0.1.0
 */
export const brokerAdmin: Layer.Layer<ContractAdmin, never, TestKafka> = Layer.effect(
  ContractAdmin,
  Effect.map(TestKafka, ({ admin, brokers }) =>
    ContractAdmin.of({
      deleteTopic: (topic) => Effect.orDie(admin.deleteTopic(topic)),
      createPartitions: (topic, count) => Effect.orDie(admin.createPartitions(topic, count)),
      deleteRecords: (topic, partition, before) => Effect.orDie(admin.deleteRecords(topic, partition, before)),
      beginTransaction: Effect.map(
        Effect.promise(() => beginTransaction(brokers[0] ?? "", `contract-${randomUUID()}`)),
        (transaction) => ({
          append: (topic, partition, records) =>
            Effect.flatMap(Effect.orDie(admin.describe(topic)), (seen) => {
              const leader = seen.partitions.find((one) => one.partition === partition)?.leader
              const address = seen.brokers.find(({ id }) => id === leader)?.address ?? ""
              return Effect.promise(() => transaction.append(address, topic, partition, records))
            }),
          commit: Effect.promise(() => transaction.end(true)),
          abort: Effect.promise(() => transaction.end(false))
        })
      )
    })
  )
)
