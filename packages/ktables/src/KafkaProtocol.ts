/**
 * A `KafkaClient` that speaks Kafka's protocol itself, over whatever `KafkaTransport` carries the bytes. The versions are
 * those of Kafka 2.4 and later; which of them is spoken is settled with each broker.
 *
 * @since 0.1.0
 */
import { Duration, Effect, Layer, type Scope } from "effect"
import { makeProtocolClient } from "./internal/cluster/protocolClient.ts"
import * as Check from "./internal/options.ts"
import { KafkaClient, type Service } from "./KafkaClient.ts"
import { KafkaTransport } from "./KafkaTransport.ts"

/**
 * How long the client waits for brokers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long to wait for an answer, above what a fetch, a produce or a topic's creation lets the broker wait. Then the
   * connection is given up. 30 seconds by default.
   */
  readonly requestTimeout?: Duration.Input | undefined
  /**
   * How long opening a connection may take, authentication included, until the broker has said which versions it speaks;
   * the last of that takes `requestTimeout` at most. 10 seconds by default.
   */
  readonly connectTimeout?: Duration.Input | undefined
}

const checkOptions = Check.record<Options>({
  requestTimeout: Check.duration({ min: 1 }),
  connectTimeout: Check.duration({ min: 1 })
})

/**
 * Makes the client. It connects when it is first used; closing the scope closes its connections. Options that cannot be
 * meant are a defect, `InvalidOption`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  given: Options = {}
): Effect.fn.Return<Service, never, KafkaTransport | Scope.Scope> {
  const options = Check.takenOrThrow(checkOptions, given)
  const transport = yield* KafkaTransport
  return yield* makeProtocolClient(transport, {
    requestTimeout: Duration.toMillis(options.requestTimeout ?? "30 seconds"),
    connectTimeout: Duration.toMillis(options.connectTimeout ?? "10 seconds"),
    versionCaps: {}
  })
})

/**
 * Provides `KafkaClient` from a `KafkaTransport`. Options that cannot be meant throw `InvalidOption`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<KafkaClient, never, KafkaTransport> =>
  Layer.effect(KafkaClient, make(Check.takenOrThrow(checkOptions, options)))
