/**
 * What the layers of every client of real brokers do with their settings, as tests: run them on a client with
 * `suite(name, layers)`.
 *
 * They need the Kafka of the test run, and a secured broker on the local JVM.
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import { inspect } from "node:util"
import type { PasswordSasl, TransportOptions } from "effect-ktables/TransportSupport"
import * as TestKafka from "./TestKafka.ts"

/**
 * The settings that the suite makes clients with.
 *
 * @category models
 * @since 0.1.0
 */
export type Options = TransportOptions<PasswordSasl>

/**
 * The layers under test.
 *
 * @category models
 * @since 0.1.0
 */
export interface Layers {
  readonly layer: (options: Options) => Layer.Layer<KafkaClient>
  readonly layerConfig: (options: Config.Wrap<Options>) => Layer.Layer<KafkaClient, Config.ConfigError>
}

/** Has a cluster do something and answer; gives the addresses that the client was told. */
const roundTrip = Effect.gen(function* () {
  const client = yield* KafkaClient
  const topic = yield* TestKafka.uniqueName("client")
  yield* client.createTopic({ topic, partitions: 3, replicationFactor: -1, config: {}, timeout: 10_000 })
  const config = yield* client.describeConfig(topic)
  assert.strictEqual(config.get("cleanup.policy"), "delete")
  return client.addresses
})

const brokers = "localhost:9092"

/** Options as plain JavaScript may give them, and the one that is wrong. */
const refusedOptions: ReadonlyArray<readonly [option: string, options: unknown]> = [
  ["brokers", {}],
  ["brokers", { brokers: "" }],
  ["brokers", { brokers: ["a:1", "kafka://b:2"] }],
  ["brokers", { brokers: [9092] }],
  ["requestTimout", { brokers, requestTimout: 5 }],
  ["requestTimeout", { brokers, requestTimeout: 0 }],
  ["requestTimeout", { brokers, requestTimeout: Infinity }],
  ["requestTimeout", { brokers, requestTimeout: 2 ** 31 }],
  ["connectionTimeout", { brokers, connectionTimeout: NaN }],
  ["connectionTimeout", { brokers, connectionTimeout: -1 }],
  ["clientId", { brokers, clientId: 7 }],
  ["ssl", { brokers, ssl: "true" }],
  ["sasl.mechanism", { brokers, sasl: { mechanism: "PLAIN", username: "a", password: "b" } }],
  ["sasl.password", { brokers, sasl: { mechanism: "plain", username: "a" } }],
  ["sasl.user", { brokers, sasl: { mechanism: "plain", user: "a", password: "b" } }],
  ["sasl.token", { brokers, sasl: { mechanism: "oauthbearer", token: "t" } }]
]

const configured = (layer: Layer.Layer<KafkaClient, Config.ConfigError>, settings: Readonly<Record<string, string>>) =>
  Effect.provide(roundTrip, Layer.provide(layer, ConfigProvider.layer(ConfigProvider.fromUnknown(settings))))

/**
 * Declares the suite for a client of real brokers. Time is real.
 *
 * @category suites
 * @since 0.1.0
 */
export const suite = (name: string, { layer, layerConfig }: Layers): void => {
  describe(`${name} gives the layers of a KafkaClient`, () => {
    it.effect("reaches a cluster by its options", () =>
      Effect.gen(function* () {
        const { brokers } = yield* TestKafka.TestKafka
        assert.deepStrictEqual(yield* Effect.provide(roundTrip, layer({ brokers })), brokers)
      }).pipe(Effect.provide(TestKafka.layer))
    )

    it.effect("keeps the addresses that it was given when it was made", () =>
      Effect.gen(function* () {
        const { brokers } = yield* TestKafka.TestKafka
        const given = [...brokers]
        const made = layer({ brokers: given })
        given.splice(0, given.length, "127.0.0.1:1")
        assert.deepStrictEqual(yield* Effect.provide(roundTrip, made), brokers)
      }).pipe(Effect.provide(TestKafka.layer))
    )

    for (const [option, options] of refusedOptions) {
      it(`refuses ${option} of ${inspect(options)} by name`, () => {
        assert.throws(() => layer(options as never), `option ${option} is `)
      })
    }

    it.effect("reaches a secured cluster by its configuration, and does not show the password", () =>
      Effect.gen(function* () {
        const { ca, saslSsl } = yield* TestKafka.startSecure()
        const secured = layerConfig({
          brokers: Config.String("KAFKA_BROKERS"),
          clientId: Config.String("KAFKA_CLIENT_ID"),
          ssl: Config.map(Config.String("KAFKA_CA"), (issuer) => ({ ca: issuer })),
          sasl: Config.all({
            mechanism: Config.succeed("scram-sha-512" as const),
            username: Config.String("KAFKA_USERNAME"),
            password: Config.Redacted("KAFKA_PASSWORD")
          }),
          connectionTimeout: Config.Duration("KAFKA_CONNECTION_TIMEOUT")
        })
        const run = (password: string) =>
          configured(secured, {
            KAFKA_BROKERS: saslSsl,
            KAFKA_CLIENT_ID: "configured",
            KAFKA_CA: ca,
            KAFKA_USERNAME: "alice",
            KAFKA_PASSWORD: password,
            KAFKA_CONNECTION_TIMEOUT: "3 seconds"
          })
        assert.deepStrictEqual(yield* run("alice-secret"), [saslSsl])
        const error = yield* Effect.flip(run("not-the-secret"))
        assert.notInclude(JSON.stringify(error) + String(error), "not-the-secret")
        assert.include(String(error), "credentials")
      })
    )

    it.effect("says which setting is missing", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(configured(layerConfig({ brokers: Config.String("KAFKA_BROKERS") }), {}))
        assert.include(String(error), "KAFKA_BROKERS")
      })
    )
  })
}
