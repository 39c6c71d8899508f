/**
 * What the contract suite does to a cluster that a `KafkaClient` cannot: each cluster that the suite runs on brings its
 * own way.
 *
 * @since 0.1.0
 */
import { Context, type Effect } from "effect"
import type { ContractRecord } from "./internal/recordBatch.ts"

export type { ContractRecord } from "./internal/recordBatch.ts"

/**
 * An open transaction of a producer of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface ContractTransaction {
  /** Appends one batch. */
  readonly append: (topic: string, partition: number, records: ReadonlyArray<ContractRecord>) => Effect.Effect<void>
  /** The markers may be written after it has returned. */
  readonly commit: Effect.Effect<void>
  /** The markers may be written after it has returned. */
  readonly abort: Effect.Effect<void>
}

/**
 * What the contract needs beside the client that is tested.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** Returns when the topic is gone from the metadata. */
  readonly deleteTopic: (topic: string) => Effect.Effect<void>
  /** Grows a topic to `count` partitions. */
  readonly createPartitions: (topic: string, count: number) => Effect.Effect<void>
  /** Drops the records below an offset of a topic whose cleanup policy is `delete`. */
  readonly deleteRecords: (topic: string, partition: number, before: number) => Effect.Effect<void>
  readonly beginTransaction: Effect.Effect<ContractTransaction>
}

/**
 * Does to a cluster what the client under test cannot.
 *
 * @category services
 * @since 0.1.0
 */
export class ContractAdmin extends Context.Service<ContractAdmin, Service>()("@effect-ktables/testing/ContractAdmin") {}
