/**
 * Java's own Kafka clients in a process beside the tests: the reference for what a log means.
 *
 * The sources in `java/` are compiled once against the jars of the broker that tests run on. One process serves any
 * number of requests at a time; keep one per test file.
 */
import { readdirSync, readFileSync } from "node:fs"
import * as path from "node:path"
import { Context, Effect, Layer, type Scope } from "effect"
import { defaultVersion, fetchJars } from "../internal/jars.ts"
import { TestKafka } from "../TestKafka.ts"
import { cachedDirectory, packageFile } from "./cached.ts"
import { type PeerError, PeerUnavailable } from "./PeerError.ts"
import { runStep, startPeer, whyMissing } from "./peerProcess.ts"
import { type Compression, encodeRecord, type PeerAck, type PeerRecord } from "./PeerRecord.ts"

export interface JavaTopic {
  readonly topic: string
  /** 1 when left out. */
  readonly partitions?: number
  /** The broker's default when left out. */
  readonly replicationFactor?: number
  readonly config?: Readonly<Record<string, string>>
}

export interface JavaTopicDescription {
  /** 32 lower-case hex digits. */
  readonly topicId: string
  /** What is set on the topic itself, and its cleanup policy. */
  readonly config: Readonly<Record<string, string>>
  readonly partitions: ReadonlyArray<{
    readonly partition: number
    /** -1 when there is none. */
    readonly leader: number
    readonly replicas: ReadonlyArray<number>
    readonly isr: ReadonlyArray<number>
  }>
}

export interface JavaLogOptions {
  /** Created by the call, compacted. */
  readonly topic: string
  readonly seed: number
  /** 1 when left out. */
  readonly partitions?: number
  /** Turns of a randomly chosen producer, each a burst of records or the end of a transaction; 60 when left out. */
  readonly steps?: number
  /** Transactional producers, beside one that writes plain records; 3 when left out. */
  readonly producers?: number
  /** 12 when left out, at least 4. */
  readonly keys?: number
  /** Leaves one transaction open. */
  readonly hanging?: boolean
  /** Waits until the broker has compacted all but the last segments; of an odd seed, old tombstones and markers too. */
  readonly compact?: boolean
  /**
   * False for keys none of which reads like that of a transaction's marker; true when left out. Where KAFKA-14055 is
   * not mended, as in 2.8.2, a broker's cleaner takes a marker away when a later record has its key.
   */
  readonly markerKeys?: boolean
}

/** All that was written, in order per partition, also what compaction has taken away since. */
export interface JavaLog {
  readonly records: ReadonlyArray<{
    readonly partition: number
    readonly offset: number
    /** Base 64. */
    readonly key: string
    /** Base 64; null is a tombstone. */
    readonly value: string | null
    /** The place of its transaction in `transactions`; -1 for a plain record. */
    readonly transaction: number
  }>
  readonly transactions: ReadonlyArray<"committed" | "aborted" | "open">
  /** The transactional id to end the open transaction with. */
  readonly openTransaction: string | null
}

export interface JavaTable {
  /** Values by key, both in base 64: the last write wins, tombstones remove. */
  readonly table: ReadonlyMap<string, string>
  /** Records delivered to the consumer, tombstones included. */
  readonly count: number
  /** Log starts, in the order of the partitions. */
  readonly starts: ReadonlyArray<number>
  /** Where reading ended: the high watermarks, and the last stable offsets under `read_committed`. */
  readonly ends: ReadonlyArray<number>
}

export interface JavaRecord {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  /** Base 64. */
  readonly key: string | null
  /** Base 64. */
  readonly value: string | null
  readonly headers: ReadonlyArray<{ readonly key: string; readonly value: string | null }>
}

export interface OpenTransaction {
  readonly partition: number
  readonly producerId: number
  readonly firstOffset: number
}

export interface Service {
  readonly createTopic: (topic: JavaTopic) => Effect.Effect<JavaTopicDescription, PeerError>
  /** Succeeds once the topic is gone from the metadata. */
  readonly deleteTopic: (topic: string) => Effect.Effect<void, PeerError>
  /** Deletes the topic and creates it again, under another id. */
  readonly recreateTopic: (topic: JavaTopic) => Effect.Effect<JavaTopicDescription, PeerError>
  readonly describeTopic: (topic: string) => Effect.Effect<JavaTopicDescription, PeerError>
  /** Raises the number of partitions to `partitions`. */
  readonly createPartitions: (topic: string, partitions: number) => Effect.Effect<JavaTopicDescription, PeerError>
  readonly alterConfig: (
    topic: string,
    changes: { readonly set?: Readonly<Record<string, string>>; readonly unset?: ReadonlyArray<string> }
  ) => Effect.Effect<void, PeerError>
  /**
   * Deletes the records below an offset per partition, -1 for all; answers with the new log starts. Brokers refuse it
   * (`PolicyViolationException`) unless the topic's cleanup policy includes `delete`.
   */
  readonly deleteRecords: (
    topic: string,
    before: Readonly<Record<number, number>>
  ) => Effect.Effect<Readonly<Record<number, number>>, PeerError>
  /** Unclean election takes a replica that is behind; brokers refuse it while the leader is there. */
  readonly electLeader: (options: {
    readonly topic: string
    readonly partition: number
    readonly unclean: boolean
  }) => Effect.Effect<void, PeerError>
  readonly openTransactions: (topic: string) => Effect.Effect<ReadonlyArray<OpenTransaction>, PeerError>
  /** Writes abort markers for every open transaction, as an administrator does to hanging ones; answers how many. */
  readonly abortTransactions: (topic: string) => Effect.Effect<number, PeerError>
  /** Writes plain records, or with a `transactionalId` records of the transaction begun under it. */
  readonly produce: (options: {
    readonly topic: string
    readonly records: ReadonlyArray<PeerRecord>
    readonly compression?: Compression
    readonly idempotent?: boolean
    readonly transactionalId?: string
  }) => Effect.Effect<ReadonlyArray<PeerAck>, PeerError>
  readonly beginTransaction: (options: {
    readonly transactionalId: string
    readonly compression?: Compression
  }) => Effect.Effect<void, PeerError>
  readonly commitTransaction: (transactionalId: string) => Effect.Effect<void, PeerError>
  readonly abortTransaction: (transactionalId: string) => Effect.Effect<void, PeerError>
  /** Writes a random log of plain records and interleaved transactions, in every compression. */
  readonly transactionalLog: (options: JavaLogOptions) => Effect.Effect<JavaLog, PeerError>
  /** The table that a consumer with `read_committed` sees, up to the end offsets at the call. */
  readonly readCommitted: (topic: string) => Effect.Effect<JavaTable, PeerError>
  readonly readUncommitted: (topic: string) => Effect.Effect<JavaTable, PeerError>
  /** The records that a consumer with `read_committed` is given, by partition and offset. */
  readonly committedRecords: (topic: string) => Effect.Effect<ReadonlyArray<JavaRecord>, PeerError>
}

/** Provided by `layer`. */
export class JavaPeer extends Context.Service<JavaPeer, Service>()("@effect-ktables/testing/interop/JavaPeer") {}

const flags = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Xshare:auto"]

/** Why tests with this peer cannot run here, for their names; undefined where they can, and in CI. */
export const unavailable = (): string | undefined => whyMissing(["java", "javac", "mvn"])

const compile = Effect.fnUntraced(function* () {
  const distribution = yield* Effect.tryPromise({
    try: () => fetchJars(),
    catch: (cause) =>
      new PeerUnavailable({
        peer: "Java",
        detail:
          "Maven could not fetch Kafka's jars; are `java` and `mvn` installed, and does Maven reach a repository?",
        cause
      })
  })
  const libs = path.join(distribution.libs, "*")
  const sources = packageFile("java")
  const files = readdirSync(sources)
    .filter((file) => file.endsWith(".java"))
    .sort()
    .map((file) => path.join(sources, file))
  const classes = yield* cachedDirectory("java", [defaultVersion, ...files.map((file) => readFileSync(file))], (to) =>
    runStep("Java", "javac", ["-nowarn", "-encoding", "UTF-8", "--release", "17", "-cp", libs, "-d", to, ...files])
  )
  return `${classes}${path.delimiter}${libs}`
})

interface RawTable {
  readonly table: Readonly<Record<string, string>>
  readonly count: number
  readonly starts: Readonly<Record<string, number>>
  readonly ends: Readonly<Record<string, number>>
  readonly records: ReadonlyArray<JavaRecord>
}

const byPartition = (offsets: Readonly<Record<string, number>>): ReadonlyArray<number> =>
  Object.entries(offsets)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, offset]) => offset)

/** Starts the peer of one cluster; closing the scope ends it, and leaves its open transactions open. */
export const make = Effect.fnUntraced(function* (options: {
  readonly brokers: ReadonlyArray<string>
}): Effect.fn.Return<Service, PeerError, Scope.Scope> {
  const missing = unavailable()
  if (missing !== undefined) return yield* new PeerUnavailable({ peer: "Java", detail: missing })
  const classPath = yield* compile()
  const { request } = yield* startPeer("Java", "java", [
    ...flags,
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    "-cp",
    classPath,
    "Peer",
    options.brokers.join(",")
  ])
  const read = (topic: string, isolation: string, records: boolean) =>
    request<RawTable>("readTable", { topic, isolation, records })
  const table = (topic: string, isolation: string) =>
    Effect.map(read(topic, isolation, false), (raw): JavaTable => ({
      table: new Map(Object.entries(raw.table)),
      count: raw.count,
      starts: byPartition(raw.starts),
      ends: byPartition(raw.ends)
    }))
  return {
    createTopic: (topic) => request("createTopic", topic),
    deleteTopic: (topic) => request("deleteTopic", { topic }),
    recreateTopic: (topic) => request("recreateTopic", topic),
    describeTopic: (topic) => request("describeTopic", { topic }),
    createPartitions: (topic, partitions) => request("createPartitions", { topic, partitions }),
    alterConfig: (topic, changes) => request("alterConfig", { topic, ...changes }),
    deleteRecords: (topic, before) => request("deleteRecords", { topic, before }),
    electLeader: (election) => request("electLeaders", election),
    openTransactions: (topic) => request("openTransactions", { topic }),
    abortTransactions: (topic) =>
      Effect.map(request<{ readonly aborted: number }>("abortTransactions", { topic }), (answer) => answer.aborted),
    produce: (batch) => request("produce", { ...batch, records: batch.records.map(encodeRecord) }),
    beginTransaction: (transaction) => request("beginTransaction", transaction),
    commitTransaction: (transactionalId) => request("endTransaction", { transactionalId, commit: true }),
    abortTransaction: (transactionalId) => request("endTransaction", { transactionalId, commit: false }),
    transactionalLog: (log) => request("transactionalLog", log),
    readCommitted: (topic) => table(topic, "read_committed"),
    readUncommitted: (topic) => table(topic, "read_uncommitted"),
    committedRecords: (topic) => Effect.map(read(topic, "read_committed", true), (raw) => raw.records)
  }
})

/** The peer of the test run's Kafka. */
export const layer: Layer.Layer<JavaPeer, PeerError, TestKafka> = Layer.effect(
  JavaPeer,
  Effect.flatMap(TestKafka, (kafka) => make({ brokers: kafka.brokers }))
)
