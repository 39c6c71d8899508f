/** A cluster of a test file's own, and Java's clients beside its proxies. */
import { Context, Effect, Layer } from "effect"
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"

export class Kafka extends Context.Service<
  Kafka,
  { readonly cluster: TestKafka.Cluster; readonly java: JavaPeer.Service }
>()("test/faults/Kafka") {}

export const kafka = (options: TestKafka.ClusterOptions) =>
  Layer.effect(
    Kafka,
    Effect.gen(function* () {
      const cluster = yield* TestKafka.startCluster({ proxies: true, ...options })
      return { cluster, java: yield* JavaPeer.make({ brokers: cluster.innerBrokers }) }
    })
  )
