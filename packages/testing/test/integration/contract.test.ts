import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { PlatformaticClient } from "@effect-ktables/platformatic"
import { KafkaClientContract, TestKafka } from "@effect-ktables/testing"
import { Effect, Layer } from "effect"
import type { KafkaClient } from "effect-ktables/KafkaClient"

const onBroker = (client: (options: { readonly brokers: ReadonlyArray<string> }) => Layer.Layer<KafkaClient>) =>
  Layer.unwrap(Effect.map(TestKafka.TestKafka, client)).pipe(
    Layer.merge(KafkaClientContract.brokerAdmin),
    Layer.provide(TestKafka.layer)
  )

KafkaClientContract.suite(
  "kafkajs",
  onBroker(({ brokers }) => KafkaJsClient.layer({ brokers }))
)

KafkaClientContract.suite(
  "platformatic",
  onBroker(({ brokers }) => PlatformaticClient.layer({ brokers }))
)
