/** The `KafkaClient` service in terms of an embedded cluster. */
import { Clock, Effect, type Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { ConnectionFailed, type KafkaError } from "../../KafkaError.ts"
import { differs } from "../differs.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { type Cluster, isRefusal } from "./cluster.ts"
import { attemptFetch } from "./fetch.ts"
import { type Call, type Connection, type Network, newConnection } from "./network.ts"
import { tellsLogStart } from "./partitionLog.ts"
import { Signal, waitUntil } from "./signal.ts"
import { configure } from "./topicConfig.ts"

export const makeClient = (cluster: Cluster, network: Network): KafkaClient.Service => {
  /**
   * One request on its way there and back; `run` is told which partitions are to answer with an error code. `bytes` counts
   * against a quota, and `throttled` is what is answered when one is used up.
   */
  const call = <A>(
    request: Call,
    run: (failing: ReadonlyMap<number, number>) => Effect.Effect<A, KafkaError>,
    options: {
      readonly connection?: Connection
      readonly bytes?: (answer: A) => number
      readonly throttled?: (answer: A, throttle: number) => A
      readonly isAnswered?: boolean
    } = {}
  ): Effect.Effect<A, KafkaError> =>
    Effect.suspend(() => {
      const { connection = network.connectionFor(request), isAnswered = true, throttled } = options
      const throttle = (bytes: number) =>
        network.throttle(connection, request.broker, { request: request.request, bytes, isAnswered })
      return Effect.flatMap(network.enter(request, connection), ({ end, failing }) =>
        Effect.flatMap(
          // A refusal takes a broker's time, too.
          Effect.tapError(run(failing), () => throttle(0)),
          (answer) =>
            Effect.flatMap(throttle(options.bytes?.(answer) ?? 0), (time) =>
              Effect.as(end, time > 0 && throttled !== undefined ? throttled(answer, time) : answer)
            )
        )
      )
    })

  const existing = (request: Call) =>
    Effect.suspend(() => {
      const topic = cluster.topics.get(request.topic!)
      return topic === undefined
        ? Effect.fail(network.refusal(request, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION))
        : Effect.succeed(topic)
    })

  const openFetcher = Effect.fnUntraced(function* (
    broker: number
  ): Effect.fn.Return<KafkaClient.Fetcher, never, Scope.Scope> {
    const closing = new Signal()
    const connection = newConnection()
    let isClosed = false
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isClosed = true
        closing.give()
      })
    )
    const closed = () =>
      new ConnectionFailed({ broker: network.address(broker), request: "Fetch", detail: "the fetcher is closed" })
    const fetch = (request: KafkaClient.FetchRequest): Effect.Effect<KafkaClient.FetchAnswer, KafkaError> => {
      const on = onPartitions("fetch", broker, request)
      const run = (failing: ReadonlyMap<number, number>): Effect.Effect<KafkaClient.FetchAnswer, KafkaError> => {
        const limited = { ...request, maxBytes: Math.min(request.maxBytes, network.quotas.fetchable) }
        const attempt = () => attemptFetch(cluster, broker, limited, failing)
        const poll = waitUntil([cluster.signal(request.topic), network.signal, closing], () => {
          if (isClosed) return Effect.fail(closed())
          const lost = network.lost(on)
          if (lost !== undefined) return Effect.fail(lost)
          const { answer, isEnough } = attempt()
          return isEnough || request.maxWait <= 0 ? Effect.succeed(answer) : undefined
        })
        return request.maxWait <= 0
          ? poll
          : Effect.timeoutOrElse(poll, {
              duration: request.maxWait,
              orElse: () => Effect.sync(() => attempt().answer)
            })
      }
      return call(on, run, {
        connection,
        bytes: ({ partitions }) => sizeOf(partitions),
        // Topics and all is held back (KIP-219).
        throttled: (answer, throttle) => ({ ...answer, throttle, partitions: [] })
      })
    }
    return { fetch }
  })

  return {
    addresses: network.brokers.map(({ host, port }) => `${host}:${port}`),

    describeTopic: (name) => {
      const on = onTopic("describeTopic", name)
      return call(on, () =>
        Effect.map(existing(on), (topic) => ({
          clusterId: cluster.id,
          topic: topic.name,
          topicId: topic.id,
          partitions: topic.partitions.map(({ leader, leaderEpoch }, partition) => ({
            partition,
            errorCode: leader < 0 ? ErrorCode.LEADER_NOT_AVAILABLE : 0,
            leader,
            leaderEpoch
          })),
          brokers: network.brokers
        }))
      )
    },

    listTopics: call({ request: "listTopics", broker: undefined, topic: undefined, partitions: undefined }, () =>
      Effect.sync(() => [...cluster.topics.keys()])
    ),

    listOffsets: (broker, request) =>
      call(onPartitions("listOffsets", broker, request), (failing) =>
        Effect.sync(() => {
          const topic = cluster.topics.get(request.topic)
          return request.partitions.map(({ leaderEpoch, partition }) => {
            const found = failing.get(partition) ?? cluster.led(topic, partition, broker, leaderEpoch)
            if (typeof found === "number") return { partition, errorCode: found, offset: -1, leaderEpoch: -1 }
            switch (request.at) {
              case "earliest":
                return {
                  partition,
                  errorCode: 0,
                  offset: found.startOffset,
                  leaderEpoch: found.led.epochs[0]?.epoch ?? -1
                }
              case "latest":
                return {
                  partition,
                  errorCode: 0,
                  offset: found.endFor(request.isolation),
                  leaderEpoch: found.leaderEpoch
                }
              default:
                return { partition, errorCode: 0, ...found.firstSince(request.at, request.isolation) }
            }
          })
        })
      ),

    endOffsetForEpoch: (broker, request) =>
      call(onPartitions("endOffsetForEpoch", broker, request), (failing) =>
        Effect.sync(() => {
          const topic = cluster.topics.get(request.topic)
          return request.partitions.map(({ currentLeaderEpoch, leaderEpoch, partition }) => {
            const found = failing.get(partition) ?? cluster.led(topic, partition, broker, currentLeaderEpoch)
            if (typeof found === "number") return { partition, errorCode: found, leaderEpoch: -1, endOffset: -1 }
            const end = found.led.endOfEpoch(leaderEpoch, found.endOffset)
            return { partition, errorCode: 0, leaderEpoch: end.epoch, endOffset: end.endOffset }
          })
        })
      ),

    openFetcher,

    initProducerId: call(
      { request: "initProducerId", broker: undefined, topic: undefined, partitions: undefined },
      () => Effect.sync(() => ({ producerId: cluster.nextProducerId(), producerEpoch: 0, clusterId: cluster.id }))
    ),

    produce: (broker, request) => {
      const bytes = () => sizeOf(request.partitions)
      const run = (failing: ReadonlyMap<number, number>) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          const topic = cluster.find(request)
          const unknown = foreign(cluster, request)
          const answer = request.partitions.map(({ partition, records }) => {
            const found =
              failing.get(partition) ??
              unknown ??
              (isAcks(request.acks) ? cluster.led(topic, partition, broker, -1) : ErrorCode.INVALID_REQUIRED_ACKS)
            if (typeof found === "number" || topic === undefined) return notProduced(partition, Number(found))
            const appended = found.append(records, topic.config, now)
            return {
              partition,
              ...appended,
              logStartOffset: tellsLogStart(appended.errorCode) ? found.startOffset : -1
            }
          })
          if (topic !== undefined) cluster.signal(topic.name).give()
          return request.acks === 0 ? request.partitions.map(({ partition }) => notProduced(partition, 0)) : answer
        })
      return call(onPartitions("produce", broker, request), run, { bytes, isAnswered: request.acks !== 0 })
    },

    createTopic: (request) => {
      const on = onTopic("createTopic", request.topic)
      return call(on, () =>
        Effect.suspend(() => {
          const created = cluster.createTopic(request)
          return isRefusal(created) ? Effect.fail(network.refusal(on, created.code, created.detail)) : Effect.void
        })
      )
    },

    describeConfig: (name) => {
      const on = onTopic("describeConfig", name)
      return call(on, () => Effect.map(existing(on), (topic) => topic.config))
    },

    alterConfig: (name, set) => {
      const on = onTopic("alterConfig", name)
      return call(on, () =>
        Effect.flatMap(existing(on), (topic) => {
          const changed = configure(topic.config, set)
          if (typeof changed === "string") return Effect.fail(network.refusal(on, ErrorCode.INVALID_CONFIG, changed))
          topic.config = changed
          return Effect.void
        })
      )
    }
  }
}

/** Why a produce is not for this cluster: its topic id tells, or else its cluster id. */
const foreign = (cluster: Cluster, request: KafkaClient.ProduceRequest): number | undefined => {
  if (request.topicId !== undefined) return cluster.find(request) === undefined ? ErrorCode.UNKNOWN_TOPIC_ID : undefined
  return differs(request.clusterId, cluster.id) ? ErrorCode.INCONSISTENT_CLUSTER_ID : undefined
}

const onTopic = (request: Call["request"], topic: string): Call => ({
  request,
  broker: undefined,
  topic,
  partitions: undefined
})

const onPartitions = (
  request: Call["request"],
  broker: number,
  { partitions, topic }: { readonly topic: string; readonly partitions: ReadonlyArray<{ readonly partition: number }> }
): Call => ({ request, broker, topic, partitions: partitions.map(({ partition }) => partition) })

const sizeOf = (partitions: ReadonlyArray<{ readonly records: Uint8Array }>): number =>
  partitions.reduce((sum, { records }) => sum + records.length, 0)

const isAcks = (acks: number): boolean => acks === -1 || acks === 0 || acks === 1

const notProduced = (partition: number, errorCode: number): KafkaClient.ProducedPartition => ({
  partition,
  errorCode,
  errorMessage: undefined,
  baseOffset: -1,
  logAppendTime: -1,
  logStartOffset: -1
})
