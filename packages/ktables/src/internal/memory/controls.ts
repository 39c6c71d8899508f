/** What a test does to an embedded cluster behind the client's back. */
import { Clock, Effect } from "effect"
import type { ProducerIdentity } from "../../KafkaClient.ts"
import { BrokerError } from "../../KafkaError.ts"
import type { AppendOptions, MemoryRecord, Service, TopicOptions, Transaction } from "./model.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { encodeBatch } from "../records/batchWriter.ts"
import { type Cluster, isRefusal, type Topic } from "./cluster.ts"
import { compact } from "./compaction.ts"
import type { Network } from "./network.ts"
import type { PartitionLog } from "./partitionLog.ts"
import { readLog } from "./readLog.ts"
import { stampLogAppendTime } from "./storedBatch.ts"

const bytesOf = (value: string | Uint8Array | null): Uint8Array | null =>
  typeof value === "string" ? Buffer.from(value) : value

export const makeControls = (cluster: Cluster, network: Network): Service => {
  const refuse = (request: string, topic: string, code: number, detail: string) =>
    new BrokerError({ broker: network.address(undefined), request, code, topic, detail })

  const withTopic = <A>(
    name: string,
    use: (topic: Topic) => Effect.Effect<A, BrokerError>
  ): Effect.Effect<A, BrokerError> =>
    Effect.suspend(() => {
      const topic = cluster.topics.get(name)
      if (topic === undefined) {
        return Effect.fail(refuse("control", name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "there is no such topic"))
      }
      // Whatever was done, those who wait for the topic look again.
      return Effect.tap(use(topic), () => Effect.sync(() => cluster.signal(name).give()))
    })

  const withPartition = <A>(
    name: string,
    partition: number,
    use: (log: PartitionLog, topic: Topic) => Effect.Effect<A, BrokerError>
  ): Effect.Effect<A, BrokerError> =>
    withTopic(name, (topic) => {
      const found = topic.partitions[partition]
      return found === undefined
        ? Effect.fail(
            refuse("control", name, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `there is no partition ${partition}`)
          )
        : use(found, topic)
    })

  const create = (request: string, name: string, options: TopicOptions | undefined) =>
    Effect.suspend(() => {
      const created = cluster.createTopic({
        topic: name,
        partitions: options?.partitions ?? 1,
        replicationFactor: -1,
        config: { "cleanup.policy": "compact", ...options?.config }
      })
      return isRefusal(created)
        ? Effect.fail(refuse(request, name, created.code, created.detail))
        : Effect.succeed(created.id)
    })

  /** Encodes the records and puts them at the end of the log. */
  const place = (
    name: string,
    records: ReadonlyArray<MemoryRecord>,
    options: AppendOptions | undefined,
    producer: ProducerIdentity | undefined
  ) =>
    withPartition(name, options?.partition ?? 0, (log, topic) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        const bytes = encodeBatch(
          records.map(({ headers, key, timestamp, value }, offsetDelta) => ({
            offsetDelta,
            timestamp: timestamp ?? now,
            key: bytesOf(key),
            value: bytesOf(value),
            ...(headers === undefined ? {} : { headers })
          })),
          {
            compression: options?.compression ?? "none",
            ...(producer === undefined
              ? {}
              : {
                  ...producer,
                  baseSequence: log.nextSequence(producer.producerId, producer.producerEpoch),
                  isTransactional: true
                })
          }
        )
        if (topic.config.get("message.timestamp.type") === "LogAppendTime") stampLogAppendTime(bytes, now)
        return log.place(bytes).baseOffset
      })
    )

  const begin = (producer: ProducerIdentity): Transaction => {
    const enlisted = new Map<PartitionLog, Topic>()
    let isOpen = true
    const whileOpen = <A>(use: Effect.Effect<A, BrokerError>, topic: string): Effect.Effect<A, BrokerError> =>
      Effect.suspend(() =>
        isOpen
          ? use
          : Effect.fail(refuse("transaction", topic, ErrorCode.INVALID_TXN_STATE, "the transaction has ended"))
      )
    const enlist = (name: string, partition: number) =>
      withPartition(name, partition, (found, topic) => Effect.sync(() => void enlisted.set(found, topic)))
    const end = (type: "abort" | "commit") =>
      whileOpen(
        Effect.map(Clock.currentTimeMillis, (now) => {
          isOpen = false
          for (const log of enlisted.keys()) log.mark(producer, type, now)
          for (const { name } of enlisted.values()) cluster.signal(name).give()
        }),
        "its topics"
      )
    return {
      producer,
      append: (name, records, options) =>
        whileOpen(Effect.andThen(enlist(name, options?.partition ?? 0), place(name, records, options, producer)), name),
      enlist: (name, partition) => whileOpen(enlist(name, partition), name),
      commit: end("commit"),
      abort: end("abort")
    }
  }

  return {
    clusterId: Effect.sync(() => cluster.id),
    replaceCluster: Effect.sync(() => {
      network.reset()
      cluster.replace()
    }),
    createTopic: (name, options) => create("createTopic", name, options),
    deleteTopic: (name) => withTopic(name, (topic) => Effect.sync(() => cluster.deleteTopic(topic))),
    recreateTopic: (name, options) =>
      Effect.suspend(() => {
        const topic = cluster.topics.get(name)
        if (topic !== undefined) cluster.topics.delete(name)
        return create("recreateTopic", name, options)
      }),
    addPartitions: (name, count) =>
      withTopic(name, (topic) =>
        count > topic.partitions.length
          ? Effect.sync(() => cluster.addPartitions(topic, count))
          : Effect.fail(
              refuse(
                "addPartitions",
                name,
                ErrorCode.INVALID_PARTITIONS,
                `the topic has ${topic.partitions.length} partitions, and ${count} are not more`
              )
            )
      ),

    append: (name, records, options) => place(name, records, options, undefined),
    appendBatch: (name, batch, options) =>
      withPartition(name, options?.partition ?? 0, (log) =>
        Effect.sync(() => log.place(Buffer.from(batch)).baseOffset)
      ),
    beginTransaction: (options) =>
      Effect.sync(() => begin(options?.producer ?? { producerId: cluster.nextProducerId(), producerEpoch: 0 })),

    compact: (name, options) =>
      withTopic(name, (topic) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          for (const [partition, log] of topic.partitions.entries()) {
            if (options?.partition !== undefined && options.partition !== partition) continue
            for (const [broker, replica] of log.replicas) {
              if (options?.broker !== undefined && options.broker !== broker) continue
              compact(log, replica, {
                now,
                deleteRetention: Number(topic.config.get("delete.retention.ms")),
                dropTombstones: options?.dropTombstones ?? false,
                below: options?.below ?? log.endOffset
              })
            }
          }
          return Effect.void
        })
      ),
    roll: (name, partition) =>
      withPartition(name, partition ?? 0, (log) =>
        Effect.sync(() => {
          for (const replica of log.replicas.values()) replica.roll(log.endOffset)
        })
      ),
    deleteRecords: (name, partition, before) =>
      withPartition(name, partition, (log) => {
        const to = before === -1 ? log.endOffset : before
        if (to < 0 || to > log.endOffset) {
          const detail = `the log ends at ${log.endOffset}`
          return Effect.fail(refuse("deleteRecords", name, ErrorCode.OFFSET_OUT_OF_RANGE, detail))
        }
        if (to > log.startOffset) log.deleteBefore(to)
        return Effect.void
      }),
    truncate: (name, partition, to, options) =>
      withPartition(name, partition, (log) =>
        Effect.sync(() => log.truncateTo(to, options?.leaderEpoch ?? log.leaderEpoch + 1))
      ),
    moveLeader: (name, partition, broker) =>
      withPartition(name, partition, (log) => Effect.sync(() => log.elect(log.leaderEpoch + 1, broker ?? -1))),

    log: (name, options) =>
      withTopic(name, (topic) =>
        Effect.sync(() =>
          topic.partitions.flatMap((log, partition) => {
            const replica = options?.broker === undefined ? log.led : log.replicas.get(options.broker)
            return replica === undefined ? [] : readLog(log, replica, partition)
          })
        )
      ),
    requests: Effect.sync(() => new Map(network.counts)),
    held: Effect.sync(() => network.signal.waiting),

    fail: (matcher, failure, options) => Effect.sync(() => network.fail(matcher, failure, options ?? {})),
    clearFailures: Effect.sync(() => network.clearFailures()),
    setQuotas: (quotas) => Effect.sync(() => network.quotas.set(quotas)),
    disconnect: (broker) => Effect.sync(() => network.set("cut", true, broker)),
    reconnect: (broker) => Effect.sync(() => network.set("cut", false, broker)),
    pause: (broker) => Effect.sync(() => network.set("frozen", true, broker)),
    resume: (broker) => Effect.sync(() => network.set("frozen", false, broker))
  }
}
