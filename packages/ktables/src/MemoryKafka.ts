/**
 * A Kafka cluster inside the process, for demos and tests: it keeps real record batches, holds long polls back, checks
 * producers' sequences, and does on demand what real clusters do to a log over time.
 *
 * **When to use**
 *
 * Provide `layer` wherever a `KafkaClient` is needed. Tests take the `MemoryKafka` service beside it to write records,
 * run transactions, compact, truncate, and to cut, freeze or fail brokers.
 *
 * **Details**
 *
 * Time is Effect's `Clock`, so `TestClock` drives long polls and stamps. What it answers is believed only where it is
 * compared with a broker: by the contract suite that the clients of real brokers pass, by `cleaner.test.ts` for
 * compaction, and by `differential.test.ts` for random requests between transactions, compaction, retention, elections,
 * DeleteRecords, growth, recreations and changes of settings, and for quotas.
 *
 * **Gotchas**
 *
 * Each broker has a copy of every partition, and none of them lags: a record is below the high watermark once it is
 * appended. The copies differ where one broker was told to compact and another was not. A topic's `compression.type` is
 * not applied to what is produced. Nothing is ever compacted, expired, deleted or rolled into another segment by itself.
 * Quotas count the bytes of records only, and take each request for one millisecond of a request thread. There are no
 * settings of brokers, and no expiry of producers.
 *
 * **Example** (A table's test)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { KafkaTable, TableTopic } from "effect-ktables"
 * import * as MemoryKafka from "effect-ktables/MemoryKafka"
 *
 * const flags = TableTopic.make({ name: "flags", key: Schema.String, value: Schema.Boolean })
 *
 * const program = Effect.gen(function* () {
 *   const kafka = yield* MemoryKafka.MemoryKafka
 *   yield* kafka.createTopic("flags")
 *   yield* kafka.append("flags", [{ key: "dark-mode", value: "true" }])
 *   const table = yield* KafkaTable.make(flags)
 *   return yield* table.get("dark-mode")
 * })
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(MemoryKafka.layer)))
 * ```
 *
 * @since 0.1.0
 */
import { Context, Duration, Effect, Layer } from "effect"
import { makeClient } from "./internal/memory/client.ts"
import { Cluster } from "./internal/memory/cluster.ts"
import { makeControls } from "./internal/memory/controls.ts"
import { Network } from "./internal/memory/network.ts"
import type { Service } from "./internal/memory/model.ts"
import * as Check from "./internal/options.ts"
import { KafkaClient } from "./KafkaClient.ts"

export type {
  AppendOptions,
  ClientQuotas,
  CompactOptions,
  FailOptions,
  LoggedRecord,
  MemoryRecord,
  RequestMatcher,
  RequestName,
  Service,
  TopicOptions,
  Transaction
} from "./internal/memory/model.ts"

/**
 * The controls of an embedded cluster.
 *
 * @category services
 * @since 0.1.0
 */
export class MemoryKafka extends Context.Service<MemoryKafka, Service>()("effect-ktables/MemoryKafka") {}

/**
 * Options of an embedded cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How many brokers; their ids begin at 1, and partitions are led by them in turn. Default: 1. */
  readonly brokers?: number | undefined
  /**
   * The brokers' racks, by their order. A leader then sends readers that name the rack of another broker to that broker
   * (KIP-392), which answers from its own copy. Default: none.
   */
  readonly racks?: ReadonlyArray<string> | undefined
  /** How long the client waits for a frozen broker. Default: 30 seconds. */
  readonly requestTimeout?: Duration.Input | undefined
}

const checkOptions = Check.record<Options>({
  brokers: Check.integer({ min: 1 }),
  racks: Check.copied(
    Check.copyOfArray,
    Check.satisfies(
      "an array of racks, one for each broker",
      (value) => Array.isArray(value) && value.every((rack) => typeof rack === "string" && rack !== "")
    )
  ),
  requestTimeout: Check.duration({ min: 1 })
})

const make = (options: Options) =>
  Effect.gen(function* () {
    const cluster = new Cluster(options.brokers ?? 1, options.racks ?? [])
    const network = new Network(cluster, Duration.toMillis(options.requestTimeout ?? "30 seconds"))
    yield* Effect.addFinalizer(() => Effect.sync(() => network.set("cut", true, undefined)))
    return Context.make(KafkaClient, makeClient(cluster, network)).pipe(
      Context.add(MemoryKafka, makeControls(cluster, network))
    )
  })

/**
 * A fresh cluster of one broker, with each build of the layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<KafkaClient | MemoryKafka> = Layer.effectContext(make({}))

/**
 * As `layer`, with options. Throws `InvalidOption` when they cannot be meant.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerWith = (options: Options): Layer.Layer<KafkaClient | MemoryKafka> =>
  Layer.effectContext(make(Check.takenOrThrow(checkOptions, options)))
