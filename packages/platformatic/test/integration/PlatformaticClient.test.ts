import { assert, describe, it } from "@effect/vitest"
import { PlatformaticClient } from "@effect-ktables/platformatic"
import { TestKafka } from "@effect-ktables/testing"
import { Config, ConfigProvider, Effect, Layer } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"

const roundTrip = Effect.gen(function* () {
  const client = yield* KafkaClient
  const topic = yield* TestKafka.uniqueName("client")
  yield* client.createTopic({ topic, partitions: 3, replicationFactor: -1, config: {}, timeout: 10_000 })
  const config = yield* client.describeConfig(topic)
  assert.strictEqual(config.get("cleanup.policy"), "delete")
  return client.addresses
})

describe("PlatformaticClient", () => {
  it.effect("reaches a cluster by its options", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const addresses = yield* Effect.provide(roundTrip, PlatformaticClient.layer({ brokers }))
      assert.deepStrictEqual(addresses, brokers)
    }).pipe(Effect.provide(TestKafka.layer))
  )

  it.effect("reaches a secured cluster by its configuration, and does not show the password", () =>
    Effect.gen(function* () {
      const { ca, saslSsl } = yield* TestKafka.startSecure()
      const layer = PlatformaticClient.layerConfig({
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
      const settings = (password: string) =>
        ConfigProvider.layer(
          ConfigProvider.fromUnknown({
            KAFKA_BROKERS: saslSsl,
            KAFKA_CLIENT_ID: "configured",
            KAFKA_CA: ca,
            KAFKA_USERNAME: "alice",
            KAFKA_PASSWORD: password,
            KAFKA_CONNECTION_TIMEOUT: "3 seconds"
          })
        )
      const run = (password: string) => Effect.provide(roundTrip, Layer.provide(layer, settings(password)))
      assert.deepStrictEqual(yield* run("alice-secret"), [saslSsl])
      const error = yield* Effect.flip(run("not-the-secret"))
      assert.notInclude(JSON.stringify(error) + String(error), "not-the-secret")
      assert.include(String(error), "credentials")
    })
  )

  it.effect("says which setting is missing", () =>
    Effect.gen(function* () {
      const layer = PlatformaticClient.layerConfig({ brokers: Config.String("KAFKA_BROKERS") })
      const nothing = ConfigProvider.layer(ConfigProvider.fromUnknown({}))
      const error = yield* Effect.flip(Effect.provide(roundTrip, Layer.provide(layer, nothing)))
      assert.include(String(error), "KAFKA_BROKERS")
    })
  )
})
