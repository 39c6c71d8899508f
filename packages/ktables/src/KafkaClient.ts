/**
 * The dozen requests a table and a writer need of Kafka: the port between the engine and a cluster.
 *
 * Each call is one attempt with one typed answer; retries, back-off and leader changes are the engine's. Partition-level
 * errors are data (`errorCode`), since the other partitions of the same answer go on; an error of the whole call fails
 * the effect. Record sets cross the port as raw bytes.
 *
 * Offsets, epochs and producer ids are numbers; one above 2^53-1 fails with `MalformedAnswer`.
 *
 * @since 0.1.0
 */
import { Context, type Effect, type Scope } from "effect"
import type { KafkaError } from "./KafkaError.ts"

/**
 * `read_committed` hides open and aborted transactions; `read_uncommitted` shows everything.
 *
 * @category models
 * @since 0.1.0
 */
export type Isolation = "read_committed" | "read_uncommitted"

/**
 * A broker of the cluster.
 *
 * @category models
 * @since 0.1.0
 */
export interface Broker {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly rack: string | undefined
}

/**
 * A partition as the metadata shows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionDescription {
  readonly partition: number
  /** 0, or the protocol's error code, for example 5 (LEADER_NOT_AVAILABLE). */
  readonly errorCode: number
  /** The leader's broker id; -1 when there is none. */
  readonly leader: number
  /** -1 when the broker does not say. */
  readonly leaderEpoch: number
  /** The brokers that have a copy, and those of them that are in sync with the leader; absent where a client does not say. */
  readonly replicas?: ReadonlyArray<number> | undefined
  readonly inSync?: ReadonlyArray<number> | undefined
}

/**
 * A topic as the metadata shows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopicDescription {
  /** Undefined when the broker does not say. */
  readonly clusterId: string | undefined
  readonly topic: string
  /** 32 lower-case hex digits; undefined on brokers without topic ids (before Kafka 2.8). */
  readonly topicId: string | undefined
  /** Ordered by partition, without gaps. */
  readonly partitions: ReadonlyArray<PartitionDescription>
  readonly brokers: ReadonlyArray<Broker>
}

/**
 * Asks a leader where the logs of its partitions begin, end, or were at a time.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListOffsetsRequest {
  readonly topic: string
  /**
   * `latest` is the high watermark, and the last stable offset under `read_committed`. A number is a time, in milliseconds
   * since the epoch: the first record in the log that is stamped then or later and lies below that end.
   */
  readonly at: "earliest" | "latest" | number
  readonly isolation: Isolation
  readonly partitions: ReadonlyArray<{ readonly partition: number; readonly leaderEpoch: number }>
}

/**
 * Where a partition's log begins, ends, or was at a time.
 *
 * @category models
 * @since 0.1.0
 */
export interface ListedOffset {
  readonly partition: number
  readonly errorCode: number
  /** -1 with an error, and where no record is stamped at the time that was asked for or later. */
  readonly offset: number
  /** -1 when unknown. */
  readonly leaderEpoch: number
}

/**
 * Asks a leader where leader epochs end in its logs (KIP-320).
 *
 * @category models
 * @since 0.1.0
 */
export interface EpochEndOffsetRequest {
  readonly topic: string
  readonly partitions: ReadonlyArray<{
    readonly partition: number
    /** The leader epoch the caller knows, -1 to skip the fencing check. */
    readonly currentLeaderEpoch: number
    /** The epoch to look up. */
    readonly leaderEpoch: number
  }>
}

/**
 * The end of the largest epoch that is not above the one asked for (KIP-101, KIP-320).
 *
 * @category models
 * @since 0.1.0
 */
export interface EpochEndOffset {
  readonly partition: number
  readonly errorCode: number
  /** -1 when the broker does not know. */
  readonly leaderEpoch: number
  /** -1 when the broker does not know. */
  readonly endOffset: number
}

/**
 * Asks a broker for records of some partitions of one topic.
 *
 * @category models
 * @since 0.1.0
 */
export interface FetchRequest {
  readonly topic: string
  /** With an id the broker tells a recreated topic from the old one; without, the name is asked for. */
  readonly topicId: string | undefined
  readonly isolation: Isolation
  /** Milliseconds a broker holds the answer back while it has less than `minBytes`. */
  readonly maxWait: number
  readonly minBytes: number
  readonly maxBytes: number
  /** The client's rack, for follower fetching (KIP-392). */
  readonly rack: string | undefined
  readonly partitions: ReadonlyArray<{
    readonly partition: number
    readonly fetchOffset: number
    /** -1 when unknown. */
    readonly currentLeaderEpoch: number
    /** The epoch of the last batch consumed, -1 when none: lets the broker report truncation (KIP-320, KIP-595). */
    readonly lastFetchedEpoch: number
    readonly maxBytes: number
  }>
  /**
   * Whether a client may ask this together with the questions of others, in one request over a connection that it shares with
   * them. Each is answered when its own partitions have something to tell, or its wait is over. Default: false.
   */
  readonly shares?: boolean | undefined
  /** Gives memory for an answer of so many bytes; a client may use memory of its own instead. */
  readonly allocate?: ((bytes: number) => Buffer) | undefined
}

/**
 * A producer's records from `firstOffset` to its next abort marker are not to be seen.
 *
 * @category models
 * @since 0.1.0
 */
export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
}

/**
 * What a fetch gives of a partition: an error, a truncation, or records.
 *
 * @category models
 * @since 0.1.0
 */
export interface FetchedPartition {
  readonly partition: number
  readonly errorCode: number
  /** -1 with an error. */
  readonly highWatermark: number
  /** -1 with an error. */
  readonly lastStableOffset: number
  /** -1 when unknown. */
  readonly logStartOffset: number
  /** Present when the log was truncated below what was consumed. */
  readonly diverging: { readonly epoch: number; readonly endOffset: number } | undefined
  readonly currentLeader: { readonly id: number; readonly epoch: number } | undefined
  /** The broker to fetch from instead, -1 for none (KIP-392). */
  readonly preferredReadReplica: number
  readonly abortedTransactions: ReadonlyArray<AbortedTransaction>
  /** Whole record batches, the last one possibly cut short. A view into the answer. */
  readonly records: Buffer
}

/**
 * What a broker answers to a fetch.
 *
 * @category models
 * @since 0.1.0
 */
export interface FetchAnswer {
  /**
   * Milliseconds the broker asks to hold off. Above zero the answer may have no partitions at all: a broker that throttles
   * a client holds back what it would have answered (KIP-219), and is to be asked the same again.
   */
  readonly throttle: number
  /** An error of the whole answer, else 0. */
  readonly errorCode: number
  readonly partitions: ReadonlyArray<FetchedPartition>
  /**
   * True where records of other questions, which were asked together with this one, have taken of the room: a partition
   * without records may have some all the same. Default: false.
   */
  readonly isCrowded?: boolean | undefined
  /** The version of Fetch that was spoken: 13 is Kafka 3.1, from which on tombstones are kept from their cleaning on. */
  readonly version: number
}

/**
 * Long polls to one broker, so that a poll delays nobody else's request: over a connection of its own, or one for questions
 * that may be shared.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fetcher {
  readonly fetch: (request: FetchRequest) => Effect.Effect<FetchAnswer, KafkaError>
}

/**
 * What a broker numbers a producer by, so that it knows its batches again (KIP-98).
 *
 * @category models
 * @since 0.1.0
 */
export interface ProducerIdentity {
  readonly producerId: bigint
  readonly producerEpoch: number
}

/**
 * An identity that a cluster has just given out.
 *
 * @category models
 * @since 0.1.0
 */
export interface GrantedIdentity extends ProducerIdentity {
  /** The cluster that gave it, as it calls itself on that very connection: elsewhere the id may be somebody else's. */
  readonly clusterId: string | undefined
}

/**
 * Hands a leader one record set for each of some partitions.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProduceRequest {
  readonly topic: string
  /**
   * The topic and the cluster that the records are for, as far as they are known. Another topic of the name, or another
   * cluster at the address, is given nothing: the call fails, or each partition is answered, with UNKNOWN_TOPIC_ID,
   * INCONSISTENT_TOPIC_ID or INCONSISTENT_CLUSTER_ID. For its numbering might be somebody else's there, so that records
   * would count as written that are in no log.
   */
  readonly topicId: string | undefined
  readonly clusterId?: string | undefined
  /** -1 all in-sync replicas, 1 the leader, 0 no answer at all. */
  readonly acks: -1 | 0 | 1
  /** Milliseconds the broker may wait for its replicas. */
  readonly timeout: number
  readonly partitions: ReadonlyArray<{ readonly partition: number; readonly records: Uint8Array }>
}

/**
 * What became of a record set.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProducedPartition {
  readonly partition: number
  readonly errorCode: number
  readonly errorMessage: string | undefined
  /** The offset of the batch's first record; -1 with an error or when unknown. */
  readonly baseOffset: number
  /** Milliseconds, when the topic stamps records itself; else -1. */
  readonly logAppendTime: number
  readonly logStartOffset: number
}

/**
 * Asks the controller for a topic.
 *
 * @category models
 * @since 0.1.0
 */
export interface CreateTopicRequest {
  readonly topic: string
  readonly partitions: number
  /** -1 for the broker's default (Kafka 2.4+). */
  readonly replicationFactor: number
  readonly config: Readonly<Record<string, string>>
  /** Milliseconds the controller may take. */
  readonly timeout: number
}

/**
 * The shape of the `KafkaClient` service.
 *
 * @category models
 * @since 0.1.0
 */
export interface Service {
  /** Where the client reaches for the cluster, for messages: `["host:port"]`. */
  readonly addresses: ReadonlyArray<string>
  /** Fails with `BrokerError` UNKNOWN_TOPIC_OR_PARTITION when the topic is not there; never creates it. */
  readonly describeTopic: (topic: string) => Effect.Effect<TopicDescription, KafkaError>
  /** The names of all topics that this client may describe, Kafka's own (`__consumer_offsets`) left out, in no promised order. */
  readonly listTopics: Effect.Effect<ReadonlyArray<string>, KafkaError>
  readonly listOffsets: (
    broker: number,
    request: ListOffsetsRequest
  ) => Effect.Effect<ReadonlyArray<ListedOffset>, KafkaError>
  readonly endOffsetForEpoch: (
    broker: number,
    request: EpochEndOffsetRequest
  ) => Effect.Effect<ReadonlyArray<EpochEndOffset>, KafkaError>
  /** Connects lazily: a broker that is away fails the fetches, and a later fetch connects again. */
  readonly openFetcher: (broker: number) => Effect.Effect<Fetcher, never, Scope.Scope>
  /** A fresh identity for an idempotent, non-transactional producer. */
  readonly initProducerId: Effect.Effect<GrantedIdentity, KafkaError>
  readonly produce: (
    broker: number,
    request: ProduceRequest
  ) => Effect.Effect<ReadonlyArray<ProducedPartition>, KafkaError>
  /** Fails with `BrokerError` TOPIC_ALREADY_EXISTS when it is there. */
  readonly createTopic: (request: CreateTopicRequest) => Effect.Effect<void, KafkaError>
  /** The topic's settings by name, broker defaults included; a value is undefined when it is secret. */
  readonly describeConfig: (topic: string) => Effect.Effect<ReadonlyMap<string, string | undefined>, KafkaError>
  /** Changes the named settings only (IncrementalAlterConfigs). */
  readonly alterConfig: (topic: string, set: Readonly<Record<string, string>>) => Effect.Effect<void, KafkaError>
}

/**
 * Access to a cluster. Provided by `KafkaJsClient.layer`, `PlatformaticClient.layer` or, without any broker,
 * `MemoryKafka.layer`.
 *
 * @category services
 * @since 0.1.0
 */
export class KafkaClient extends Context.Service<KafkaClient, Service>()("effect-ktables/KafkaClient") {}
