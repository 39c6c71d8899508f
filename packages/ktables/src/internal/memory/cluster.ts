/** The state of an embedded cluster: its brokers, its topics, and who waits for their logs to grow. Plain and synchronous. */
import { randomBytes } from "node:crypto"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { PartitionLog } from "./partitionLog.ts"
import { Signal } from "./signal.ts"
import { configure, defaultConfig, type TopicConfig } from "./topicConfig.ts"

export interface Topic {
  readonly name: string
  readonly id: string
  readonly partitions: Array<PartitionLog>
  config: TopicConfig
}

/** A refusal with the broker's words. */
export interface Refusal {
  readonly code: number
  readonly detail: string
}

export const isRefusal = (value: object): value is Refusal => "code" in value

// https://kafka.apache.org/documentation/#topicconfigs gives no grammar; brokers take these, up to 249 of them.
const isLegalName = (name: string): boolean => /^[a-zA-Z0-9._-]{1,249}$/.test(name) && name !== "." && name !== ".."

/** Metrics replace dots by underscores, so brokers refuse names that only differ in those. */
const metricName = (name: string): string => name.replaceAll(".", "_")

const FAR = 2n ** 62n

const randomId = () => randomBytes(16).toString("base64url")

export class Cluster {
  id = randomId()
  readonly brokerIds: ReadonlyArray<number>
  readonly topics = new Map<string, Topic>()
  private readonly racks: ReadonlyArray<string | undefined>
  private readonly signals = new Map<string, Signal>()
  private producerIds = 0

  constructor(brokers: number, racks: ReadonlyArray<string | undefined>) {
    this.racks = racks
    this.brokerIds = Array.from({ length: brokers }, (_, index) => index + 1)
  }

  /** Given after each change of the topic of this name, its creation and deletion included. */
  signal(topic: string): Signal {
    let signal = this.signals.get(topic)
    if (signal === undefined) {
      signal = new Signal()
      this.signals.set(topic, signal)
    }
    return signal
  }

  /** Every other one is beyond what a number holds exactly, as brokers other than Apache's give them out. */
  nextProducerId(): bigint {
    const nth = BigInt(this.producerIds++)
    return nth % 2n === 0n ? nth : FAR + nth
  }

  /** Becomes another cluster, which has seen nothing yet. */
  replace(): void {
    this.id = randomId()
    this.producerIds = 0
    const names = [...this.topics.keys()]
    this.topics.clear()
    for (const name of names) this.signal(name).give()
  }

  createTopic(request: {
    readonly topic: string
    readonly partitions: number
    readonly replicationFactor: number
    readonly config: Readonly<Record<string, string>>
  }): Topic | Refusal {
    const { partitions, replicationFactor, topic: name } = request
    if (!isLegalName(name)) return { code: ErrorCode.INVALID_TOPIC_EXCEPTION, detail: `illegal topic name ${name}` }
    if (this.topics.has(name))
      return { code: ErrorCode.TOPIC_ALREADY_EXISTS, detail: `Topic '${name}' already exists.` }
    const colliding = [...this.topics.keys()].find((other) => metricName(other) === metricName(name))
    if (colliding !== undefined) {
      return {
        code: ErrorCode.INVALID_TOPIC_EXCEPTION,
        detail: `Topic '${name}' collides with existing topic: ${colliding}`
      }
    }
    if (replicationFactor === 0 || replicationFactor < -1 || replicationFactor > this.brokerIds.length) {
      return {
        code: ErrorCode.INVALID_REPLICATION_FACTOR,
        detail: `a replication factor of ${replicationFactor} with ${this.brokerIds.length} broker(s)`
      }
    }
    if (partitions === 0 || partitions < -1) {
      return {
        code: ErrorCode.INVALID_PARTITIONS,
        detail: "Number of partitions was set to an invalid non-positive value."
      }
    }
    const config = configure(defaultConfig, request.config)
    if (typeof config === "string") return { code: ErrorCode.INVALID_CONFIG, detail: config }
    const topic: Topic = { name, id: randomBytes(16).toString("hex"), partitions: [], config }
    this.topics.set(name, topic)
    this.addPartitions(topic, partitions === -1 ? 1 : partitions)
    return topic
  }

  /** Grows a topic to `count` partitions, led by the brokers in turn. */
  addPartitions(topic: Topic, count: number): void {
    while (topic.partitions.length < count) {
      const leader = this.brokerIds[topic.partitions.length % this.brokerIds.length]!
      topic.partitions.push(new PartitionLog(this.brokerIds, leader))
    }
    this.signal(topic.name).give()
  }

  deleteTopic(topic: Topic): void {
    this.topics.delete(topic.name)
    this.signal(topic.name).give()
  }

  /** By id where one is given, else by name. */
  find(request: { readonly topic: string; readonly topicId: string | undefined }): Topic | undefined {
    if (request.topicId === undefined) return this.topics.get(request.topic)
    for (const topic of this.topics.values()) if (topic.id === request.topicId) return topic
    return undefined
  }

  /** The partition's log, if this broker leads it in the epoch that the caller knows; else the protocol's error code. */
  led(topic: Topic | undefined, partition: number, broker: number, knownEpoch: number): PartitionLog | number {
    const log = topic?.partitions[partition]
    if (log === undefined) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if (knownEpoch >= 0 && knownEpoch < log.leaderEpoch) return ErrorCode.FENCED_LEADER_EPOCH
    if (knownEpoch > log.leaderEpoch) return ErrorCode.UNKNOWN_LEADER_EPOCH
    return log.leader === broker ? log : ErrorCode.NOT_LEADER_OR_FOLLOWER
  }

  /** As `led`, for fetches: since KIP-392 a follower answers them too. */
  read(topic: Topic | undefined, partition: number, broker: number, knownEpoch: number): PartitionLog | number {
    const found = this.led(topic, partition, broker, knownEpoch)
    const log = topic?.partitions[partition]
    return found === ErrorCode.NOT_LEADER_OR_FOLLOWER && log?.replicas.has(broker) === true ? log : found
  }

  /** The follower that a leader names to a reader of this rack (KIP-392), if it has one that is nearer than itself. */
  nearerReplica(log: PartitionLog, broker: number, rack: string | undefined): number | undefined {
    if (log.leader !== broker || rack === undefined || this.rackOf(broker) === rack) return undefined
    return this.brokerIds.find((id) => this.rackOf(id) === rack)
  }

  rackOf(broker: number): string | undefined {
    return this.racks[broker - 1]
  }
}
