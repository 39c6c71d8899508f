/** What a test of pages over tables on a real Kafka runs with. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { TestKafka } from "@effect-ktables/testing"
import { Effect, Layer } from "effect"
import { Chromium } from "./chromium.ts"

export const environment = Layer.mergeAll(
  Layer.unwrap(Effect.map(TestKafka.TestKafka, ({ brokers }) => KafkaJsClient.layer({ brokers: [...brokers] }))).pipe(
    Layer.provideMerge(TestKafka.layer)
  ),
  Chromium.layer
)
