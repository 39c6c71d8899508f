/** What is said to an embedded cluster, and what it says. Users have all of it from `MemoryKafka`. */
import type { Effect } from "effect"
import type { ProducerIdentity, Service as Client } from "../../KafkaClient.ts"
import type { BrokerError, KafkaError } from "../../KafkaError.ts"
import type { Compression } from "../records/compression.ts"

/**
 * A record to append. A string is written as UTF-8; a null value is a tombstone.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryRecord {
  readonly key: string | Uint8Array | null
  readonly value: string | Uint8Array | null
  /** Milliseconds since the epoch; now by default. */
  readonly timestamp?: number | undefined
  readonly headers?: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | null }> | undefined
}

/**
 * Where and how records are appended.
 *
 * @category models
 * @since 0.1.0
 */
export interface AppendOptions {
  /** Default: 0. */
  readonly partition?: number | undefined
  /** Default: `"none"`. */
  readonly compression?: Compression | undefined
}

/**
 * What a topic is created with.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopicOptions {
  /** Default: 1. */
  readonly partitions?: number | undefined
  /** Default: `{ "cleanup.policy": "compact" }`; what is given comes over it. */
  readonly config?: Readonly<Record<string, string>> | undefined
}

/**
 * What one round of compaction is about.
 *
 * @category models
 * @since 0.1.0
 */
export interface CompactOptions {
  /** Default: all. */
  readonly partition?: number | undefined
  /** Whose copy is compacted. Default: every broker's. */
  readonly broker?: number | undefined
  /**
   * Where the segment begins that is written to, and that no cleaner touches. Nothing at or above the last stable offset
   * is touched either. Default: the end of the log, as if the segment had just been rolled.
   */
  readonly below?: number | undefined
  /**
   * Drops tombstones and the markers of transactions without data at once. Default: false, which goes by the clock: the
   * first round over a tombstone keeps it for another `delete.retention.ms`, and the first round after that drops it
   * (KIP-534).
   */
  readonly dropTombstones?: boolean | undefined
}

/**
 * A data record as an independent full read of the log finds it, and how its transaction ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface LoggedRecord {
  readonly partition: number
  readonly offset: number
  readonly leaderEpoch: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: ReadonlyArray<{ readonly key: string; readonly value: Uint8Array | null }>
  /** -1 without idempotence. */
  readonly producerId: bigint
  /** -1 without idempotence. */
  readonly producerEpoch: number
  /** -1 without idempotence. */
  readonly sequence: number
  readonly state: "plain" | "committed" | "aborted" | "open"
}

/**
 * An open transaction. Several may be open at a time, on the same partitions.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transaction {
  /** Hand it to a later `beginTransaction` for another transaction of the same producer. */
  readonly producer: ProducerIdentity
  /** Appends one batch and returns its first offset. */
  readonly append: (
    topic: string,
    records: ReadonlyArray<MemoryRecord>,
    options?: AppendOptions
  ) => Effect.Effect<number, BrokerError>
  /** Takes a partition into the transaction, which so gets a marker even if no record follows. */
  readonly enlist: (topic: string, partition: number) => Effect.Effect<void, BrokerError>
  readonly commit: Effect.Effect<void, BrokerError>
  readonly abort: Effect.Effect<void, BrokerError>
}

/**
 * The calls of a `KafkaClient`.
 *
 * @category models
 * @since 0.1.0
 */
export type RequestName = Exclude<keyof Client, "addresses" | "openFetcher"> | "fetch"

/**
 * Which requests a failure is for; what is left out matches any.
 *
 * @category models
 * @since 0.1.0
 */
export interface RequestMatcher {
  readonly request?: RequestName | undefined
  readonly broker?: number | undefined
  readonly topic?: string | undefined
  readonly partition?: number | undefined
}

/**
 * How a request fails.
 *
 * @category models
 * @since 0.1.0
 */
export interface FailOptions {
  /** How many requests fail. Default: 1. */
  readonly times?: number | undefined
  /** Carries the request out before it fails, as when an answer is lost on its way. Default: false. */
  readonly carriedOut?: boolean | undefined
}

/**
 * Quotas of the client on each broker, by their names in Kafka. What is left out has no quota.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientQuotas {
  /** Bytes of records that are fetched a second. */
  readonly consumer_byte_rate?: number | undefined
  /** Bytes of records that are produced a second. */
  readonly producer_byte_rate?: number | undefined
  /** Per cent of one request thread; each request takes one millisecond of it. */
  readonly request_percentage?: number | undefined
}

/**
 * The shape of the `MemoryKafka` service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  readonly clusterId: Effect.Effect<string>
  /**
   * Lets another cluster answer at the brokers' addresses: it has another id and no topics, and gives out producer ids from
   * the start. Connections break; who is cut off or frozen stays so, and so do quotas and failures to come.
   */
  readonly replaceCluster: Effect.Effect<void>
  /** Returns the topic's id. */
  readonly createTopic: (topic: string, options?: TopicOptions) => Effect.Effect<string, BrokerError>
  readonly deleteTopic: (topic: string) => Effect.Effect<void, BrokerError>
  /** Deletes the topic and creates another one of the same name, without anybody seeing a moment in between. */
  readonly recreateTopic: (topic: string, options?: TopicOptions) => Effect.Effect<string, BrokerError>
  /** Grows a topic to `count` partitions. */
  readonly addPartitions: (topic: string, count: number) => Effect.Effect<void, BrokerError>

  /**
   * Appends one batch and returns its first offset. Nothing is refused, so that a compacted topic can hold records
   * without keys, as one has that was not always compacted.
   */
  readonly append: (
    topic: string,
    records: ReadonlyArray<MemoryRecord>,
    options?: AppendOptions
  ) => Effect.Effect<number, BrokerError>
  /** Appends the bytes of one batch of format v2 without looking at its checksum or its records. */
  readonly appendBatch: (
    topic: string,
    batch: Uint8Array,
    options?: { readonly partition?: number | undefined }
  ) => Effect.Effect<number, BrokerError>
  /** A transaction of a new producer, or of one that had a transaction before. */
  readonly beginTransaction: (options?: {
    readonly producer?: ProducerIdentity | undefined
  }) => Effect.Effect<Transaction>

  /** Runs one round of log compaction, as each broker does it on its own copy and at its own time. */
  readonly compact: (topic: string, options?: CompactOptions) => Effect.Effect<void, BrokerError>
  /**
   * Begins another segment at the end of a partition's log (0 by default). No answer to a fetch reaches from one segment
   * into the next, and a round of compaction leaves one segment of all that it has cleaned.
   */
  readonly roll: (topic: string, partition?: number) => Effect.Effect<void, BrokerError>
  /** Moves the start of the log, whatever the cleanup policy is (brokers want `delete` in it); -1 drops all records. */
  readonly deleteRecords: (topic: string, partition: number, before: number) => Effect.Effect<void, BrokerError>
  /** Loses everything from an offset on, as an unclean election does. The leader epoch goes up by 1 by default. */
  readonly truncate: (
    topic: string,
    partition: number,
    to: number,
    options?: { readonly leaderEpoch?: number | undefined }
  ) => Effect.Effect<void, BrokerError>
  /**
   * Elects a broker, or none at all; the leader epoch goes up by 1. From then on the new leader's copy is the one that is
   * read, which may be compacted further than the old leader's or less far.
   */
  readonly moveLeader: (
    topic: string,
    partition: number,
    broker: number | undefined
  ) => Effect.Effect<void, BrokerError>

  /**
   * Every data record of the log, by partition and offset, decoded independently of what tables use: of the leaders'
   * copies, or of one broker's.
   */
  readonly log: (
    topic: string,
    options?: { readonly broker?: number | undefined }
  ) => Effect.Effect<ReadonlyArray<LoggedRecord>, BrokerError>
  /** How many requests of each kind have come in. */
  readonly requests: Effect.Effect<ReadonlyMap<RequestName, number>>
  /** How many requests are held back now: long polls, requests to a frozen broker, and on connections left unread. */
  readonly held: Effect.Effect<number>

  /**
   * Lets the next matching requests fail: with an error of the client, or with a broker's error code. A code is
   * answered for the matched partitions where the request is about partitions and is not carried out; else it fails the
   * call.
   */
  readonly fail: (matcher: RequestMatcher, failure: number | KafkaError, options?: FailOptions) => Effect.Effect<void>
  /** Forgets the failures that have not come up yet. */
  readonly clearFailures: Effect.Effect<void>
  /**
   * Sets all quotas of the client; rates are measured from then on. Who is over one is throttled as brokers do it
   * (KIP-219): a fetch answers with a throttle time and without partitions, everything else answers as ever, refusals
   * included, and the connection is then left unread for that time. Of each broker, each fetcher has a connection of its
   * own, produces share one, and all other requests another; a connection begins with a request, which is throttled too. What
   * gets no answer, a produce without acknowledgement, takes no broker's time by its own reckoning.
   */
  readonly setQuotas: (quotas: ClientQuotas) => Effect.Effect<void>
  /** Cuts off a broker, or all of them: what is outstanding and what comes fails with `ConnectionFailed`. */
  readonly disconnect: (broker?: number) => Effect.Effect<void>
  readonly reconnect: (broker?: number) => Effect.Effect<void>
  /** Freezes a broker, or all of them: answers are held back, and requests time out. */
  readonly pause: (broker?: number) => Effect.Effect<void>
  readonly resume: (broker?: number) => Effect.Effect<void>
}
