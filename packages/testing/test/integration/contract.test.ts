import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { KafkaClientContract, TestKafka } from "@effect-ktables/testing"
import { Effect, Layer } from "effect"

const kafkajs = Layer.unwrap(
  Effect.map(TestKafka.TestKafka, ({ brokers }) => KafkaJsClient.layer({ brokers: [...brokers] }))
)

KafkaClientContract.suite(
  "kafkajs",
  Layer.merge(kafkajs, KafkaClientContract.brokerAdmin).pipe(Layer.provide(TestKafka.layer))
)
