import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { PlatformaticClient } from "@effect-ktables/platformatic"
import { TestKafka } from "@effect-ktables/testing"
import { Effect, Layer } from "effect"
import type { KafkaClient } from "effect-ktables"

/** The transports that every test of a real cluster runs on. */
export const transports: ReadonlyArray<{
  readonly name: string
  readonly client: (brokers: ReadonlyArray<string>) => Layer.Layer<KafkaClient.KafkaClient>
}> = [
  { name: "kafkajs", client: (brokers) => KafkaJsClient.layer({ brokers: [...brokers] }) },
  { name: "platformatic", client: (brokers) => PlatformaticClient.layer({ brokers: [...brokers] }) }
]

/** A client of the test run's Kafka, beside that Kafka itself. */
export const onTestKafka = (client: (typeof transports)[number]["client"]) =>
  Layer.unwrap(Effect.map(TestKafka.TestKafka, ({ brokers }) => client(brokers))).pipe(
    Layer.provideMerge(TestKafka.layer)
  )
