/** Loads that are cut and restarted in the middle, closing while brokers hang, and many tables in one process. */
import { assert, describe, layer } from "@effect/vitest"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { TestKafka } from "@effect-ktables/testing"
import { Clock, Effect, Exit, Fiber, Layer, Schema, Scope } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import { Kafka, kafka } from "./faults/kafka.ts"
import { assertNoSockets, clients, heal, transports } from "./faults/scenario.ts"
import { until } from "./faults/until.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

const existing = { ensureTopic: false } as const
const quick = { ...existing, fetch: { maxWait: "500 millis" } } as const

describe.skipIf(missing !== undefined)(`loads, ends and crowds on one broker${because}`, () => {
  layer(kafka({ nodes: 1, heap: "512m" }), { excludeTestServices: true, timeout: 300_000 })((it) => {
    for (const transport of transports) {
      it.effect(`a load that is cut in mid-answer and restarted in the middle is whole, through ${transport}`, () =>
        Effect.gen(function* () {
          const { cluster } = yield* Kafka
          const [node] = cluster.nodes
          const proxy = node!.proxy!
          const name = yield* TestKafka.uniqueName("load")
          yield* cluster.admin.createTopic({ topic: name, partitions: 3, config: { "cleanup.policy": "compact" } })
          const topic = TableTopic.make({ name, key: Schema.String, value: Schema.String })
          const padding = "x".repeat(500)
          yield* Effect.gen(function* () {
            const client = yield* Layer.build(clients[transport]({ brokers: cluster.brokers }))
            const writer = yield* KafkaTableWriter.make(topic, existing).pipe(Effect.provide(client))
            const entries = Array.from({ length: 10_000 }, (_, i) => [`key-${i}`, `${i} ${padding}`] as const)
            yield* writer.setAll(entries)
            yield* proxy.limit(1_000_000, "toClient")
            // The log takes several answers, so that a load is in the middle for seconds.
            const table = yield* KafkaTable.make(topic, {
              ...quick,
              fetch: { ...quick.fetch, maxPartitionBytes: 300_000 },
              catchUp: { mode: "background" }
            }).pipe(Effect.provide(client))
            const replayed = Effect.map(table.health, ({ progress }) => progress.replayed)
            for (let i = 0; i < 3; i++) {
              const { bytesToClient } = yield* proxy.traffic
              yield* until(
                "in the middle of an answer",
                Effect.map(proxy.traffic, (traffic) => traffic.bytesToClient > bytesToClient + 200_000)
              )
              yield* proxy.cut
            }
            yield* until(
              "under way",
              Effect.map(replayed, (count) => count > 1000)
            )
            yield* node!.kill
            assert.strictEqual((yield* table.status)._tag, "Loading")
            yield* node!.start
            yield* proxy.limit(undefined)
            yield* Effect.timeout(table.awaitCaughtUp, "60 seconds")
            assert.deepStrictEqual(new Map(yield* table.entries), new Map(entries))
            const { rebuilds, records } = (yield* table.health).stats
            assert.deepStrictEqual({ rebuilds, records }, { rebuilds: 0, records: 10_000 })
          }).pipe(Effect.scoped, Effect.ensuring(Effect.orDie(heal(cluster))))
          yield* assertNoSockets(cluster)
        })
      )

      it.effect(`closing takes a moment while the broker hangs, and every wait is told, through ${transport}`, () =>
        Effect.gen(function* () {
          const { cluster } = yield* Kafka
          const [node] = cluster.nodes
          const name = yield* TestKafka.uniqueName("hang")
          const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int })
          const scope = yield* Scope.make()
          yield* Effect.gen(function* () {
            const client = yield* Layer.build(
              clients[transport]({ brokers: cluster.brokers, requestTimeout: "1 hour" })
            )
            const table = yield* KafkaTable.make(topic).pipe(Effect.provide(client))
            const writer = yield* KafkaTableWriter.make(topic, { closeTimeout: "500 millis" }).pipe(
              Effect.provide(client)
            )
            const ack = yield* writer.set("key", 1)
            yield* table.awaitOffset(ack)
            yield* node!.pause
            const { bytesToBroker } = yield* node!.proxy!.traffic
            const barrier = yield* Effect.forkDetach(table.barrier(), { startImmediately: true })
            const awaited = yield* Effect.forkDetach(table.awaitOffset({ ...ack, offset: ack.offset! + 1 }), {
              startImmediately: true
            })
            const write = yield* Effect.forkDetach(writer.set("key", 2), { startImmediately: true })
            const starting = yield* Effect.forkDetach(
              KafkaTable.make(topic).pipe(Effect.provide(client), Effect.scoped),
              { startImmediately: true }
            )
            yield* until(
              "the write is on its way",
              Effect.map(node!.proxy!.traffic, (traffic) => traffic.bytesToBroker > bytesToBroker)
            )
            // Generous for a busy machine, and next to nothing beside the request's hour.
            const since = yield* Clock.currentTimeMillis
            yield* Fiber.interrupt(starting)
            assert.isBelow((yield* Clock.currentTimeMillis) - since, 10_000, "a start is interrupted at once")
            yield* Scope.close(scope, Exit.void)
            assert.isBelow((yield* Clock.currentTimeMillis) - since, 20_000, "all is closed")
            assert.strictEqual((yield* Effect.flip(Fiber.join(barrier)))._tag, "TableClosed")
            assert.strictEqual((yield* Effect.flip(Fiber.join(awaited)))._tag, "TableClosed")
            assert.strictEqual((yield* Effect.flip(Fiber.join(write)))._tag, "WriteOutcomeUnknown")
            assert.strictEqual(table.view.get("key"), 1)
            assert.strictEqual((yield* table.status)._tag, "Closed")
          }).pipe(
            Scope.provide(scope),
            Effect.ensuring(Effect.andThen(Scope.close(scope, Exit.void), Effect.orDie(heal(cluster))))
          )
          yield* assertNoSockets(cluster)
        })
      )
    }

    it.effect("500 tables, five on each topic, share a dozen connections, and those that fail disturb no others", () =>
      Effect.gen(function* () {
        const { cluster } = yield* Kafka
        const proxy = cluster.nodes[0]!.proxy!
        const prefix = yield* TestKafka.uniqueName("many")
        const topics = Array.from({ length: 100 }, (_, i) =>
          TableTopic.make({ name: `${prefix}-${i}`, key: Schema.String, value: Schema.Int })
        )
        for (const transport of transports) {
          yield* Effect.gen(function* () {
            const client = yield* Layer.build(
              clients[transport]({ brokers: cluster.brokers, requestTimeout: "30 seconds" })
            )
            const tables = yield* Effect.forEach(
              topics.flatMap((topic) => Array.from({ length: 5 }, () => topic)),
              (topic) => KafkaTable.make(topic, { metadataRefresh: "5 seconds", fetch: { maxWait: "2 seconds" } }),
              { concurrency: 20 }
            ).pipe(Effect.provide(client))
            // Tables of one topic are not asked for together; one more connection is for everything else.
            yield* until(
              "a dozen connections",
              Effect.map(proxy.traffic, ({ open }) => open <= 12)
            )
            const doomed = topics.pop()!
            const [failing, others] = [
              tables.filter(({ topic }) => topic === doomed.name),
              tables.filter(({ topic }) => topic !== doomed.name)
            ]
            assert.deepStrictEqual([failing.length, others.length], [5, tables.length - 5])
            yield* cluster.admin.deleteTopic(doomed.name)
            const writers = yield* Effect.forEach(topics, (topic) => KafkaTableWriter.make(topic, existing), {
              concurrency: 20
            }).pipe(Effect.provide(client))
            const visible = Effect.forEach(
              writers,
              (writer) =>
                Effect.flatMap(writer.set(transport, 1), (ack) =>
                  Effect.forEach(
                    others.filter(({ topic }) => topic === writer.topic),
                    (table) => table.awaitOffset(ack)
                  )
                ),
              { concurrency: "unbounded", discard: true }
            )
            yield* Effect.timeout(visible, "10 seconds")
            for (const table of failing) {
              const failure = yield* Effect.timeout(Effect.flip(table.failure), "60 seconds")
              assert.strictEqual(failure._tag, "TopicDeleted")
            }
            yield* Effect.timeout(visible, "10 seconds")
            for (const table of others) {
              assert.strictEqual((yield* table.status)._tag, "CaughtUp")
              assert.strictEqual(table.view.get(transport), 1)
            }
          }).pipe(Effect.scoped)
          yield* assertNoSockets(cluster)
        }
      })
    )
  })
})
