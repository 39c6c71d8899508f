/**
 * The connections of one client: per broker one for control requests and one for produce requests, both shared, and one
 * for each fetcher, so that nothing waits behind a long poll or a large batch. Bootstrap addresses and discovered brokers
 * are used alike: either may be gone.
 */
import { Effect, Result, type Scope } from "effect"
import { BrokersUnreachable, ConnectionFailed, type KafkaError } from "../../KafkaError.ts"
import type { BrokerAddress, KafkaTransport } from "../../KafkaTransport.ts"
import { formatAddress } from "../../TransportSupport.ts"
import { metadata, type MetadataAnswer } from "../protocol/messages/metadata.ts"
import { type BrokerConnection, type ConnectionSettings, openBrokerConnection } from "./brokerConnection.ts"
import { makeBrokerDirectory } from "./brokerDirectory.ts"
import { makeConnectBackoff } from "./connectBackoff.ts"
import { type ConnectionSlot, makeConnectionSlot } from "./connectionSlot.ts"

export interface BrokerConnections {
  /** The shared connection to a broker for short requests. */
  readonly control: (broker: number) => Effect.Effect<BrokerConnection, KafkaError>
  /** The shared connection to a broker for batches. */
  readonly produce: (broker: number) => Effect.Effect<BrokerConnection, KafkaError>
  /** A connection of the caller's own, closed with the scope. */
  readonly fetcher: (broker: number) => Effect.Effect<ConnectionSlot, never, Scope.Scope>
  /** The shared connection to the controller; where none is known, to any broker. */
  readonly controller: Effect.Effect<BrokerConnection, KafkaError>
  /**
   * Asks one broker after the other until one answers; an error code is an answer. `ask` may run more than once.
   */
  readonly anyBroker: <A>(
    ask: (connection: BrokerConnection) => Effect.Effect<A, KafkaError>
  ) => Effect.Effect<A, KafkaError>
  /** Asks any broker for the brokers, and for the partitions of some topics; remembers the brokers. */
  readonly metadata: (
    topics: ReadonlyArray<string>
  ) => Effect.Effect<{ readonly broker: string; readonly answer: MetadataAnswer }, KafkaError>
}

export const makeBrokerConnections = Effect.fnUntraced(function* (
  transport: KafkaTransport["Service"],
  settings: ConnectionSettings
): Effect.fn.Return<BrokerConnections, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const directory = makeBrokerDirectory(transport.bootstrap)

  const connectBackoff = makeConnectBackoff()
  /** Addresses whose silence was said, until they answer. */
  const silent = new Set<string>()

  const open = (address: BrokerAddress) => {
    const name = formatAddress(address)
    const connect = openBrokerConnection(transport, address, settings, {
      // A frozen broker takes each request to its full time: what one request found out spares the others.
      onUnanswered: () => directory.unanswered(address),
      // Before any broker has answered, whoever starts says so of all addresses.
      onSilence: (detail) => {
        if (silent.has(name) || !directory.isKnown()) return Effect.void
        silent.add(name)
        return Effect.logWarning(
          `${name}: ${detail}; tables and writers wait for it, and it is tried again until it does`
        )
      }
    })
    const connected = Effect.tap(connect, () => Effect.sync(() => silent.delete(name)))
    return connectBackoff.open(address, connected)
  }

  const sharedSlots = () => {
    const slots = new Map<string, ConnectionSlot>()
    return (address: BrokerAddress): ConnectionSlot => {
      const name = formatAddress(address)
      let slot = slots.get(name)
      if (slot === undefined) {
        slot = makeConnectionSlot(scope, name, open(address))
        slots.set(name, slot)
      }
      return slot
    }
  }
  const controlSlot = sharedSlots()
  const produceSlot = sharedSlots()

  const anyBroker: BrokerConnections["anyBroker"] = Effect.fnUntraced(function* (ask) {
    const failures: Array<{ readonly address: string; readonly error: KafkaError }> = []
    const candidates = directory.candidates()
    const isFailing = connectBackoff.isFailing
    for (const address of candidates.toSorted((a, b) => Number(isFailing(a)) - Number(isFailing(b)))) {
      const result = yield* Effect.result(Effect.flatMap(controlSlot(address), ask))
      if (Result.isSuccess(result)) {
        directory.answered(address)
        return result.success
      }
      if (result.failure._tag === "BrokerError") {
        directory.answered(address)
        return yield* result.failure
      }
      failures.push({ address: formatAddress(address), error: result.failure })
    }
    const [first] = failures
    if (first !== undefined && failures.every(({ error }) => !error.isRetriable)) return yield* Effect.fail(first.error)
    return yield* new BrokersUnreachable({
      brokers: failures.map(({ address, error }) => ({ address, cause: error.message }))
    })
  })

  const askMetadata: BrokerConnections["metadata"] = (topics) =>
    anyBroker((connection) =>
      Effect.map(connection.call(metadata, { topics }), (answer) => {
        directory.learn(answer)
        return { broker: connection.broker, answer }
      })
    )

  const addressOf = Effect.fnUntraced(function* (broker: number): Effect.fn.Return<BrokerAddress, KafkaError> {
    const known = directory.addressOf(broker)
    if (known !== undefined) return known
    yield* askMetadata([])
    return (
      directory.addressOf(broker) ??
      (yield* new ConnectionFailed({
        broker: `broker ${broker}`,
        request: "connect",
        detail: "the cluster lists no broker of this id: is it down?"
      }))
    )
  })

  return {
    control: (broker) => Effect.flatMap(addressOf(broker), controlSlot),
    produce: (broker) => Effect.flatMap(addressOf(broker), produceSlot),
    fetcher: (broker) =>
      Effect.map(Effect.scope, (fetcherScope) =>
        makeConnectionSlot(fetcherScope, `broker ${broker}`, Effect.flatMap(addressOf(broker), open), (connection) => {
          const address = directory.addressOf(broker)
          return connection.isOpen() && (address === undefined || formatAddress(address) === connection.broker)
        })
      ),
    controller: Effect.suspend(() => {
      const address = directory.controller()
      return address === undefined ? anyBroker(Effect.succeed) : controlSlot(address)
    }),
    anyBroker,
    metadata: askMetadata
  }
})
