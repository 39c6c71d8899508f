/** Rights that are taken away and given back, and SASL sessions that end, under live tables and writers. */
import { assert, describe, layer } from "@effect/vitest"
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { PlatformaticClient } from "@effect-ktables/platformatic"
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { Clock, Context, Effect, Layer, Schedule, Schema } from "effect"
import { type KafkaClient, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import { until } from "./faults/until.ts"
import { watch } from "./faults/witness.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

/** Milliseconds a SASL session lasts. */
const SESSION = 3000

class Secure extends Context.Service<Secure, TestKafka.SecureCluster>()("test/faults/Secure") {}

const secure = Layer.effect(Secure, TestKafka.startSecure({ sessionLifetime: SESSION }))

const clients: ReadonlyArray<{
  readonly name: string
  readonly client: (
    cluster: TestKafka.SecureCluster,
    connectionTimeout?: "1 second"
  ) => Layer.Layer<KafkaClient.KafkaClient>
}> = [
  {
    name: "kafkajs",
    client: ({ saslPlaintext, users }, connectionTimeout) =>
      KafkaJsClient.layer({
        brokers: [saslPlaintext],
        connectionTimeout,
        sasl: { mechanism: "scram-sha-256", username: "alice", password: users.alice }
      })
  },
  {
    name: "platformatic",
    client: ({ saslPlaintext, users }, connectionTimeout) =>
      PlatformaticClient.layer({
        brokers: [saslPlaintext],
        connectionTimeout,
        sasl: { mechanism: "scram-sha-256", username: "alice", password: users.alice }
      })
  }
]

const TOPIC = 2
const ALL = 2
const READ = 3

describe.skipIf(missing !== undefined)(`access under live tables${because}`, () => {
  layer(secure, { excludeTestServices: true, timeout: 300_000 })((it) => {
    for (const { client, name } of clients) {
      it.effect(`a right that is taken away fails the table, which restarts when it is back, through ${name}`, () =>
        Effect.gen(function* () {
          const cluster = yield* Secure
          const topicName = yield* TestKafka.uniqueName("revoked")
          const topic = TableTopic.make({ name: topicName, key: Schema.String, value: Schema.Int })
          const rule = { resourceType: TOPIC, resource: topicName, principal: "User:alice" } as const
          yield* cluster.admin.createTopic({ topic: topicName, config: { "cleanup.policy": "compact" } })
          yield* cluster.admin.createAcl({ ...rule, operation: ALL, permission: "allow" })
          const context = yield* Layer.build(client(cluster))
          yield* Effect.gen(function* () {
            const options = { ensureTopic: false, fetch: { maxWait: "200 millis" } } as const
            const writer = yield* KafkaTableWriter.make(topic, { ensureTopic: false })
            yield* writer.set("before", 1)
            const enduring = yield* KafkaTable.make(topic, { ...options, restart: Schedule.spaced("200 millis") })
            const mortal = yield* KafkaTable.make(topic, options)
            const witness = yield* watch(enduring)

            yield* cluster.admin.createAcl({ ...rule, operation: READ, permission: "deny" })
            const error = yield* Effect.timeout(Effect.flip(mortal.failure), "30 seconds")
            assert.strictEqual(error._tag, "NotAuthorized")
            yield* until("the other failed, too", () => witness.statuses.some(({ _tag }) => _tag === "Failed"))
            // Writing is still allowed, reading the last contents needs nobody's permission.
            yield* writer.set("meanwhile", 2)
            assert.deepStrictEqual([enduring.view.get("before"), mortal.view.get("before")], [1, 1])

            yield* cluster.admin.deleteAcl({ ...rule, operation: READ, permission: "deny" })
            yield* until(
              "caught up again",
              Effect.map(enduring.status, ({ _tag }) => _tag === "CaughtUp"),
              "30 seconds"
            )
            yield* enduring.awaitOffset(yield* writer.set("after", 3))
            assert.deepStrictEqual(
              new Map(yield* enduring.entries),
              new Map(Object.entries({ before: 1, meanwhile: 2, after: 3 }))
            )
            yield* until("subscribers are told", () => witness.folded.size === 3)
            assert.deepStrictEqual(witness.violations, [])
            assert.strictEqual((yield* mortal.status)._tag, "Failed")
            assert.deepStrictEqual(yield* mortal.keys, ["before"])
          }).pipe(Effect.provide(context))
        }).pipe(Effect.scoped)
      )

      it.effect(`sessions are renewed under long polls that last longer than any time-out, through ${name}`, () =>
        Effect.gen(function* () {
          const cluster = yield* Secure
          const topic = TableTopic.make({
            name: yield* TestKafka.uniqueName("polled"),
            key: Schema.String,
            value: Schema.Int
          })
          const context = yield* Layer.build(client(cluster, "1 second"))
          yield* Effect.gen(function* () {
            const table = yield* KafkaTable.make(topic, { fetch: { maxWait: "8 seconds" } })
            const writer = yield* KafkaTableWriter.make(topic)
            yield* table.awaitOffset(yield* writer.set("key", 1))
            // The poll of a fetch connection spans two renewals, of its own session and of the others.
            const since = yield* Clock.currentTimeMillis
            while ((yield* Clock.currentTimeMillis) - since < 3.5 * SESSION) {
              const { partitions } = yield* table.health
              assert.isTrue(
                partitions.every(({ connected }) => connected),
                `after ${(yield* Clock.currentTimeMillis) - since} ms`
              )
              yield* Effect.sleep("10 millis")
            }
            yield* Effect.timeout(table.awaitOffset(yield* writer.set("key", 2)), "5 seconds")
            assert.strictEqual(table.view.get("key"), 2)
          }).pipe(Effect.provide(context))
        }).pipe(Effect.scoped)
      )

      it.effect(`sessions that end are renewed under a table and a writer, which notice nothing, through ${name}`, () =>
        Effect.gen(function* () {
          const cluster = yield* Secure
          const topic = TableTopic.make({
            name: yield* TestKafka.uniqueName("renewed"),
            key: Schema.String,
            value: Schema.Int
          })
          const context = yield* Layer.build(client(cluster))
          yield* Effect.gen(function* () {
            const table = yield* KafkaTable.make(topic)
            const writer = yield* KafkaTableWriter.make(topic)
            const witness = yield* watch(table)
            const since = yield* Clock.currentTimeMillis
            let value = 0
            while ((yield* Clock.currentTimeMillis) - since < 2.5 * SESSION) {
              const ack = yield* writer.set("key", ++value)
              assert.strictEqual(ack.offset, value - 1, "no write was repeated or lost")
              yield* Effect.timeout(table.awaitOffset(ack), "5 seconds")
              assert.strictEqual(table.view.get("key"), value)
              yield* Effect.sleep("10 millis")
            }
            assert.deepStrictEqual(
              witness.statuses.map(({ _tag }) => _tag),
              ["CaughtUp"]
            )
            assert.deepStrictEqual(witness.violations, [])
          }).pipe(Effect.provide(context))
        }).pipe(Effect.scoped)
      )
    }
  })
})
