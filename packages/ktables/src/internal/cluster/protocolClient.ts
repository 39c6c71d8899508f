/**
 * The `KafkaClient` service in terms of the protocol: which broker a request goes to, in which version, and which error
 * codes fail the call instead of being data.
 */
import { Clock, Effect, type Scope } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { BrokerError, type KafkaError } from "../../KafkaError.ts"
import type { KafkaTransport } from "../../KafkaTransport.ts"
import { formatAddress } from "../../TransportSupport.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { createTopics } from "../protocol/messages/createTopics.ts"
import { describeConfigs } from "../protocol/messages/describeConfigs.ts"
import { incrementalAlterConfigs } from "../protocol/messages/incrementalAlterConfigs.ts"
import { initProducerId } from "../protocol/messages/initProducerId.ts"
import { listOffsets } from "../protocol/messages/listOffsets.ts"
import { allTopics, metadata } from "../protocol/messages/metadata.ts"
import { offsetForLeaderEpoch } from "../protocol/messages/offsetForLeaderEpoch.ts"
import { produce, produceByNameVersion } from "../protocol/messages/produce.ts"
import type { BrokerConnection, ConnectionSettings } from "./brokerConnection.ts"
import { makeBrokerConnections } from "./brokerConnections.ts"
import { makeFetcher } from "./fetcher.ts"
import { makeHomes } from "./homes.ts"
import { makeTogether } from "./together.ts"
import * as SharedFetches from "./sharedFetches.ts"

export const makeProtocolClient = Effect.fnUntraced(function* (
  transport: KafkaTransport["Service"],
  settings: ConnectionSettings
): Effect.fn.Return<KafkaClient.Service, never, Scope.Scope> {
  const connections = yield* makeBrokerConnections(transport, settings)
  const homes = makeHomes()
  const scope = yield* Effect.scope
  const sharedFetches = SharedFetches.make(yield* Clock.Clock, scope, connections.fetcher)
  const descriptionOf = makeTogether(scope, metadata.name, (topics) =>
    Effect.map(connections.metadata(topics), ({ answer, broker }) =>
      answer.topics.map((topic) => ({ broker, brokers: answer.brokers, clusterId: answer.clusterId, topic }))
    )
  )
  const configOf = makeTogether(scope, describeConfigs.name, (topics) =>
    connections.anyBroker((connection) =>
      Effect.map(connection.call(describeConfigs, { topics }), (answer) =>
        answer.topics.map((topic) => ({ ...topic, broker: connection.broker }))
      )
    )
  )

  /**
   * Changes go to one broker once. Where brokers do not forward to the controller (ZooKeeper), the broker that is not the
   * controller says so without having done anything, and the controller of the newest metadata is asked.
   */
  const change = Effect.fnUntraced(function* <A>(
    ask: (connection: BrokerConnection) => Effect.Effect<A, KafkaError>
  ): Effect.fn.Return<A, KafkaError> {
    const connection = yield* connections.anyBroker(Effect.succeed)
    const asking = (connection: BrokerConnection) =>
      Effect.andThen(Effect.annotateCurrentSpan({ broker: connection.broker }), ask(connection))
    return yield* asking(connection).pipe(
      Effect.catchIf(
        (error) => error._tag === "BrokerError" && error.code === ErrorCode.NOT_CONTROLLER,
        () => connections.metadata([]).pipe(Effect.andThen(connections.controller), Effect.flatMap(asking))
      )
    )
  })

  const service: KafkaClient.Service = {
    addresses: transport.bootstrap.map(formatAddress),

    describeTopic: Effect.fn("KafkaClient.describeTopic")(function* (name: string) {
      const { broker, brokers, clusterId, topic } = yield* descriptionOf(name)
      yield* Effect.annotateCurrentSpan({ topic: name, broker })
      const failure = (code: number, detail?: string) => brokerError(broker, metadata.name, name, code, detail)
      if (topic.errorCode !== ErrorCode.NONE) return yield* failure(topic.errorCode)
      const partitions = topic.partitions.toSorted((a, b) => a.partition - b.partition)
      // A broker that has not learned of every partition yet shows some of them.
      const missing = partitions.findIndex(({ partition }, i) => partition !== i)
      if (missing >= 0 || partitions.length === 0) {
        const detail = `partition ${Math.max(missing, 0)} is not in the answer`
        return yield* failure(ErrorCode.LEADER_NOT_AVAILABLE, detail)
      }
      return { clusterId, topic: name, topicId: topic.topicId, partitions, brokers }
    }),

    listTopics: connections
      .anyBroker((connection) => connection.call(allTopics, undefined))
      .pipe(
        Effect.map(({ topics }) => topics.flatMap(({ isInternal, name }) => (isInternal ? [] : [name]))),
        Effect.withSpan("KafkaClient.listTopics")
      ),

    listOffsets: Effect.fn("KafkaClient.listOffsets")(function* (
      broker: number,
      request: KafkaClient.ListOffsetsRequest
    ) {
      const connection = yield* connections.control(broker)
      yield* Effect.annotateCurrentSpan({ topic: request.topic, broker: connection.broker })
      return (yield* connection.call(listOffsets, request)).partitions
    }),

    endOffsetForEpoch: Effect.fn("KafkaClient.endOffsetForEpoch")(function* (
      broker: number,
      request: KafkaClient.EpochEndOffsetRequest
    ) {
      const connection = yield* connections.control(broker)
      yield* Effect.annotateCurrentSpan({ topic: request.topic, broker: connection.broker })
      return (yield* connection.call(offsetForLeaderEpoch, request)).partitions
    }),

    openFetcher: (broker) => Effect.zipWith(connections.fetcher(broker), sharedFetches(broker), makeFetcher),

    initProducerId: connections
      .anyBroker(
        Effect.fnUntraced(function* (connection) {
          yield* Effect.annotateCurrentSpan({ broker: connection.broker })
          const { clusterId } = yield* homes.clusterOf(connection)
          const { errorCode, producerEpoch, producerId } = yield* connection.call(initProducerId, undefined)
          if (errorCode === ErrorCode.NONE) return { producerId, producerEpoch, clusterId }
          return yield* new BrokerError({ broker: connection.broker, request: initProducerId.name, code: errorCode })
        })
      )
      .pipe(Effect.withSpan("KafkaClient.initProducerId")),

    produce: Effect.fnUntraced(function* (broker: number, request: KafkaClient.ProduceRequest) {
      const connection = yield* connections.produce(broker)
      const options = {
        brokerWait: request.timeout,
        maxVersion: request.topicId === undefined ? produceByNameVersion : undefined
      }
      // A broker that is given the topic's id refuses another topic by itself, in whatever cluster.
      const isByName = (yield* connection.versionOf(produce, options.maxVersion)) <= produceByNameVersion
      if (isByName) yield* homes.verify(connection, request)
      if (request.acks !== 0) return (yield* connection.call(produce, request, options)).partitions
      yield* connection.tell(produce, request, options)
      return request.partitions.map(({ partition }) => ({
        partition,
        errorCode: ErrorCode.NONE,
        errorMessage: undefined,
        baseOffset: -1,
        logAppendTime: -1,
        logStartOffset: -1
      }))
    }),

    createTopic: Effect.fn("KafkaClient.createTopic")(function* (request: KafkaClient.CreateTopicRequest) {
      yield* Effect.annotateCurrentSpan({ topic: request.topic })
      yield* change((connection) =>
        connection
          .call(createTopics, request, { brokerWait: request.timeout })
          .pipe(Effect.flatMap((answer) => checked(connection.broker, createTopics.name, request.topic, answer)))
      )
    }),

    describeConfig: Effect.fn("KafkaClient.describeConfig")(function* (topic: string) {
      yield* Effect.annotateCurrentSpan({ topic })
      const { broker, settings, ...answer } = yield* configOf(topic)
      yield* Effect.annotateCurrentSpan({ broker })
      yield* checked(broker, describeConfigs.name, topic, answer)
      return settings
    }),

    alterConfig: Effect.fn("KafkaClient.alterConfig")(function* (topic: string, set: Readonly<Record<string, string>>) {
      yield* Effect.annotateCurrentSpan({ topic })
      yield* change((connection) =>
        connection
          .call(incrementalAlterConfigs, { topic, set })
          .pipe(Effect.flatMap((answer) => checked(connection.broker, incrementalAlterConfigs.name, topic, answer)))
      )
    })
  }
  return service
})

const brokerError = (broker: string, request: string, topic: string, code: number, detail: string | undefined) =>
  new BrokerError({ broker, request, code, topic, ...(detail === undefined ? {} : { detail }) })

const checked = (
  broker: string,
  request: string,
  topic: string,
  answer: { readonly errorCode: number; readonly errorMessage: string | undefined }
): Effect.Effect<void, BrokerError> =>
  answer.errorCode === ErrorCode.NONE
    ? Effect.void
    : Effect.fail(brokerError(broker, request, topic, answer.errorCode, answer.errorMessage))
