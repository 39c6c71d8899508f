/**
 * Holds every exchange with a broker, over one connection.
 */
import { Data, Effect, Schedule, type Scope } from "effect"
import type { Service, TopicDescription } from "effect-ktables/KafkaClient"
import { BrokerError, type KafkaError } from "effect-ktables/KafkaError"
import type { KafkaTransport } from "effect-ktables/KafkaTransport"
import { type BrokerConnection, openBrokerConnection } from "../../../src/internal/cluster/brokerConnection.ts"
import { makeProtocolClient } from "../../../src/internal/cluster/protocolClient.ts"
import { ErrorCode } from "../../../src/internal/protocol/errorCodes.ts"
import { apiVersions } from "../../../src/internal/protocol/messages/apiVersions.ts"
import { conversations, creations, type Exchange, type Place, topicOf } from "./exchanges.ts"

export const settings = { requestTimeout: 30_000, connectTimeout: 10_000, versionCaps: {} }

// A broker's own state follows the cluster's within moments.
export const soon = { schedule: Schedule.spaced("100 millis"), times: 100 }

/** Describes a new topic once its leaders serve it: metadata knows of a topic some moments before they do. */
export const describeServed = (client: Service, topic: string): Effect.Effect<TopicDescription, KafkaError> =>
  Effect.gen(function* () {
    const description = yield* client.describeTopic(topic)
    for (const { leader, leaderEpoch, partition } of description.partitions) {
      const partitions = [{ partition, leaderEpoch }]
      const listed = yield* client.listOffsets(leader, { topic, at: "latest", isolation: "read_committed", partitions })
      for (const { errorCode } of listed) {
        if (errorCode === ErrorCode.NONE) continue
        return yield* new BrokerError({
          broker: `${leader}`,
          request: "ListOffsets",
          code: errorCode,
          topic,
          partition
        })
      }
    }
    return description
  }).pipe(Effect.retry(soon))

/** Calls `onDone` after each exchange, and returns where it all happened. */
export const runExchanges = Effect.fnUntraced(function* (
  transport: KafkaTransport["Service"],
  prefix: string,
  onDone: (exchange: Exchange) => void
): Effect.fn.Return<Place, KafkaError, Scope.Scope> {
  const client = yield* makeProtocolClient(transport, settings)
  const connection = yield* openBrokerConnection(transport, transport.bootstrap[0]!, settings)
  const { versions } = yield* connection.call(apiVersions, undefined)
  const highest = (key: number) => versions.get(key)?.max ?? -1

  const before: Place = { prefix, topicId: undefined, highest }
  for (const exchange of creations) yield* run(connection, exchange, before, onDone)

  const { topicId } = yield* describeServed(client, topicOf(before))
  const place: Place = { ...before, topicId }
  for (const exchange of conversations) yield* run(connection, exchange, place, onDone)
  return place
})

class Unexpected extends Data.TaggedError("Unexpected")<{ readonly exchange: string; readonly cause: unknown }> {
  override get message(): string {
    return `${this.exchange}: ${this.cause instanceof Error ? this.cause.message : this.cause}`
  }
}

const run = Effect.fnUntraced(function* (
  connection: BrokerConnection,
  exchange: Exchange,
  place: Place,
  onDone: (exchange: Exchange) => void
): Effect.fn.Return<void, KafkaError> {
  if (exchange.version > place.highest(exchange.api.key)) return
  const once = Effect.gen(function* () {
    const answer = yield* connection.call(exchange.api, exchange.request(place), { maxVersion: exchange.version })
    return yield* Effect.try({
      try: () => exchange.check(answer, place),
      catch: (cause) => new Unexpected({ exchange: exchange.name, cause })
    })
  })
  const checked = exchange.eventually ? Effect.retry(once, soon) : once
  yield* Effect.catchTag(checked, "Unexpected", Effect.die)
  onDone(exchange)
})
