/**
 * Which cluster a connection leads to, and which topic a name stands for there. A connection never changes its cluster, so
 * each is asked once, on that very connection: what the metadata of other connections says may be older than it.
 */
import { Effect, Semaphore } from "effect"
import { BrokerError, type KafkaError } from "../../KafkaError.ts"
import { differs } from "../differs.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { metadata } from "../protocol/messages/metadata.ts"
import type { BrokerConnection } from "./brokerConnection.ts"

interface Home {
  /** Batches of all partitions that find a new connection share one question. */
  readonly one: Semaphore.Semaphore
  cluster: { readonly clusterId: string | undefined } | undefined
  /** Ids by name. */
  readonly topics: Map<string, string | undefined>
}

export interface Homes {
  readonly clusterOf: (
    connection: BrokerConnection
  ) => Effect.Effect<{ readonly clusterId: string | undefined }, KafkaError>
  /** Fails when the connection leads to another cluster, or to one where the name stands for another topic. */
  readonly verify: (
    connection: BrokerConnection,
    wanted: { readonly topic: string; readonly topicId: string | undefined; readonly clusterId?: string | undefined }
  ) => Effect.Effect<void, KafkaError>
}

export const makeHomes = (): Homes => {
  const homes = new WeakMap<BrokerConnection, Home>()

  const homeOf = (connection: BrokerConnection): Home => {
    let home = homes.get(connection)
    if (home === undefined) {
      home = { one: Semaphore.makeUnsafe(1), cluster: undefined, topics: new Map() }
      homes.set(connection, home)
    }
    return home
  }

  const ask = Effect.fnUntraced(function* (
    connection: BrokerConnection,
    home: Home,
    topic: string | undefined
  ): Effect.fn.Return<{ readonly clusterId: string | undefined }, KafkaError> {
    const answer = yield* connection.call(metadata, { topics: topic === undefined ? [] : [topic] })
    home.cluster = { clusterId: answer.clusterId }
    if (topic === undefined) return home.cluster
    const [described] = answer.topics
    const code = described?.errorCode ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    if (code !== ErrorCode.NONE) {
      return yield* new BrokerError({ broker: connection.broker, request: metadata.name, code, topic })
    }
    home.topics.set(topic, described?.topicId)
    return home.cluster
  })

  return {
    clusterOf: (connection) => {
      const home = homeOf(connection)
      return home.one.withPermit(
        Effect.suspend(() =>
          home.cluster === undefined ? ask(connection, home, undefined) : Effect.succeed(home.cluster)
        )
      )
    },

    verify: (connection, { clusterId, topic, topicId }) => {
      if (clusterId === undefined && topicId === undefined) return Effect.void
      const home = homeOf(connection)
      const isVerified = (): boolean =>
        home.topics.has(topic) &&
        !differs(clusterId, home.cluster?.clusterId) &&
        !differs(topicId, home.topics.get(topic))
      const refusal = (code: number, detail: string) =>
        new BrokerError({ broker: connection.broker, request: metadata.name, code, topic, detail })
      const verify = Effect.gen(function* () {
        if (isVerified()) return
        const there = yield* ask(connection, home, topic)
        if (differs(clusterId, there.clusterId)) {
          const detail = `cluster ${there.clusterId} answers, the records are for ${clusterId}`
          return yield* refusal(ErrorCode.INCONSISTENT_CLUSTER_ID, detail)
        }
        const thereId = home.topics.get(topic)
        if (differs(topicId, thereId)) {
          const detail = `the topic is ${thereId}, the records are for ${topicId}`
          return yield* refusal(ErrorCode.INCONSISTENT_TOPIC_ID, detail)
        }
      })
      return Effect.suspend(() => (isVerified() ? Effect.void : home.one.withPermit(verify)))
    }
  }
}
