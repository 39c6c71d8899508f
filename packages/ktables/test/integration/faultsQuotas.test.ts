/** Client quotas on a real broker (KIP-13, KIP-124, KIP-219): tables and writers are slowed down, and nothing else. */
import { assert, describe, layer } from "@effect/vitest"
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { PlatformaticClient } from "@effect-ktables/platformatic"
import { type TestAdmin, TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { Clock, Context, Effect, Layer, Option, Schedule, Schema, Stream } from "effect"
import { type KafkaClient, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import { until } from "./faults/until.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

class Kafka extends Context.Service<Kafka, TestKafka.Cluster>()("test/faultsQuotas/Kafka") {}

/** Rates are measured over three seconds instead of eleven, so that a client has used up what it may burst soon. */
const properties = { "quota.window.num": "3" }

const MEGABYTE = 1 << 20

/** A request time-out that is shorter than some throttle times shows whether they are left out of it. */
const clients: ReadonlyArray<{
  readonly name: string
  readonly client: (
    brokers: ReadonlyArray<string>,
    clientId: string,
    requestTimeout?: "2 seconds"
  ) => Layer.Layer<KafkaClient.KafkaClient>
}> = [
  {
    name: "kafkajs",
    client: (brokers, clientId, requestTimeout) => KafkaJsClient.layer({ brokers, clientId, requestTimeout })
  },
  {
    name: "platformatic",
    client: (brokers, clientId, requestTimeout) => PlatformaticClient.layer({ brokers, clientId, requestTimeout })
  }
]

const definition = (name: string) => TableTopic.make({ name, key: Schema.String, value: Schema.String })

/** Writes `megabytes` of values that no compression makes smaller, under keys of their own. */
const fill = Effect.fnUntraced(function* (
  writer: KafkaTableWriter.KafkaTableWriter<string, string>,
  megabytes: number,
  prefix: string
) {
  const value = (number: number) => `${prefix}-${number}-`.padEnd(64 * 1024, "0123456789abcdef")
  return yield* Effect.forEach(
    Array.from({ length: megabytes * 16 }, (_, number) => number),
    (number) => writer.set(`${prefix}-${number}`, value(number)),
    { concurrency: 64 }
  )
})

/** What was seen of a table that must never look disconnected. */
const observe = Effect.fnUntraced(function* (table: KafkaTable.KafkaTable<string, string>) {
  const seen = { disconnected: 0, throttled: 0, samples: 0, statuses: new Set<string>() }
  yield* Stream.runForEach(table.statusChanges, (status) => Effect.sync(() => seen.statuses.add(status._tag))).pipe(
    Effect.forkScoped({ startImmediately: true })
  )
  const sample = Effect.gen(function* () {
    const { partitions } = yield* table.health
    seen.samples++
    for (const { connected, throttledUntil } of partitions) {
      if (!connected) seen.disconnected++
      if (Option.isSome(throttledUntil)) seen.throttled++
    }
  })
  yield* Effect.forkScoped(Effect.repeat(sample, Schedule.spaced("5 millis")))
  return seen
})

const both = <A, B, E, R>(items: ReadonlyArray<A>, use: (item: A) => Effect.Effect<B, E, R>) =>
  Effect.forEach(items, use, { concurrency: "unbounded" })

/** A client of each transport under quotas of its own, and one without. */
const parties = Effect.fnUntraced(function* (quotas: TestAdmin.ClientQuotas, requestTimeout?: "2 seconds") {
  const cluster = yield* Kafka
  const proxy = cluster.nodes[0]!.proxy!
  const slow = yield* both(clients, ({ client, name }) =>
    Effect.gen(function* () {
      const clientId = yield* TestKafka.uniqueName(name)
      yield* cluster.admin.setClientQuotas(quotas, clientId)
      return { name, context: yield* Layer.build(client(cluster.brokers, clientId, requestTimeout)) }
    })
  )
  const fast = yield* Layer.build(clients[0]!.client(cluster.brokers, "fast"))
  const connections = Effect.map(proxy.traffic, ({ connections }) => connections)
  return { slow, fast, connections }
})

describe.skipIf(missing !== undefined)(`quotas${because}`, () => {
  layer(Layer.effect(Kafka, TestKafka.startCluster({ proxies: true, heap: "512m", properties })), {
    excludeTestServices: true,
    timeout: 300_000
  })((it) => {
    it.effect("a topic of 90 MB loads whole at 5 MB a second, and is followed at that pace", () =>
      Effect.gen(function* () {
        const { connections, fast, slow } = yield* parties({ consumer_byte_rate: 5 * MEGABYTE }, "2 seconds")
        const topic = definition(yield* TestKafka.uniqueName("quota"))
        const writer = yield* Effect.provide(KafkaTableWriter.make(topic), fast)
        yield* fill(writer, 90, "old")

        const since = yield* Clock.currentTimeMillis
        const tables = yield* both(
          slow,
          Effect.fnUntraced(function* ({ context, name }) {
            const build = KafkaTable.make(topic, {
              catchUp: { mode: "background" },
              metadataRefresh: "2 seconds"
            })
            const table = yield* Effect.provide(build, context)
            const seen = yield* observe(table)
            yield* Effect.timeout(table.awaitCaughtUp, "90 seconds")
            assert.isAbove((yield* Clock.currentTimeMillis) - since, 2000, "the broker throttled it")
            assert.strictEqual(yield* table.size, 90 * 16)
            assert.isAbove(seen.throttled, 0, "health says so")
            return { name, table, seen }
          })
        )

        yield* both(tables, ({ table }) => Effect.timeout(table.barrier(), "60 seconds"))
        yield* both(yield* fill(writer, 1, "live"), (ack) => both(tables, ({ table }) => table.awaitOffset(ack)))
        const before = yield* connections
        for (const { seen } of tables) seen.throttled = 0
        const acks = yield* fill(writer, 15, "new")
        yield* both(tables, ({ name, seen, table }) =>
          Effect.gen(function* () {
            yield* Effect.timeout(table.awaitOffset(acks.at(-1)!), "60 seconds")
            yield* Effect.timeout(table.barrier(), "60 seconds")
            assert.strictEqual(yield* table.size, 106 * 16)
            assert.isAbove(seen.throttled, 0, name)
            assert.strictEqual(seen.disconnected, 0, name)
            assert.deepStrictEqual([...seen.statuses], ["Loading", "CaughtUp"], name)
            assert.strictEqual((yield* table.health).stats.rebuilds, 0)
            const isOver = Effect.map(table.health, ({ partitions }) =>
              partitions.every(({ throttledUntil }) => Option.isNone(throttledUntil))
            )
            yield* until("the throttle time is over", isOver)
          })
        )
        assert.strictEqual(yield* connections, before, "no connection was given up")
      }).pipe(Effect.scoped)
    )

    it.effect("a writer is held to its rate, and no write is lost, doubled or given up", () =>
      Effect.gen(function* () {
        const { connections, fast, slow } = yield* parties({ producer_byte_rate: MEGABYTE / 8 }, "2 seconds")
        const cluster = yield* Kafka
        const writers = yield* both(
          slow,
          Effect.fnUntraced(function* ({ context, name }) {
            const topic = definition(yield* TestKafka.uniqueName("quota"))
            yield* cluster.admin.createTopic({
              topic: topic.name,
              partitions: 2,
              config: { "cleanup.policy": "compact" }
            })
            const writer = yield* Effect.provide(KafkaTableWriter.make(topic), context)
            yield* fill(writer, 1, "first")
            return { topic, name, writer }
          })
        )
        const before = yield* connections
        const since = yield* Clock.currentTimeMillis
        yield* both(writers, ({ name, writer }) =>
          Effect.gen(function* () {
            const acks = yield* fill(writer, 1, "then")
            const places = new Set(acks.map(({ offset, partition }) => `${partition}@${offset}`))
            assert.strictEqual(places.size, 16, name)
          })
        )
        assert.isAbove((yield* Clock.currentTimeMillis) - since, 1000, "the broker throttled them")
        assert.strictEqual(yield* connections, before, "no connection was given up")
        yield* both(writers, ({ name, topic }) =>
          Effect.gen(function* () {
            const table = yield* Effect.provide(KafkaTable.make(topic), fast)
            const { partitions } = yield* table.health
            const end = partitions.reduce((sum, { position }) => sum + position, 0)
            assert.strictEqual(end, 2 * 16, `nothing was written twice through ${name}`)
          })
        )
      }).pipe(Effect.scoped)
    )

    it.effect("a quota on requests slows tables and writers down, and nothing else", () =>
      Effect.gen(function* () {
        const { connections, slow } = yield* parties({ request_percentage: 1 })
        const live = yield* both(
          slow,
          Effect.fnUntraced(function* ({ context, name }) {
            const topic = definition(yield* TestKafka.uniqueName("quota"))
            const options = { fetch: { maxWait: "500 millis" }, metadataRefresh: "2 seconds" } as const
            const writer = yield* Effect.provide(KafkaTableWriter.make(topic), context)
            const table = yield* Effect.provide(KafkaTable.make(topic, options), context)
            const seen = yield* observe(table)
            yield* table.awaitOffset(yield* writer.set("key", "first"))
            return { name, writer, table, seen }
          })
        )
        const before = yield* connections
        yield* both(live, ({ name, seen, table, writer }) =>
          Effect.gen(function* () {
            // A broker that is quick takes hundreds before they add up to a hundredth of a thread's time.
            for (let number = 1; number <= 10 || (seen.throttled === 0 && number <= 10_000); number++) {
              const ack = yield* Effect.timeout(writer.set("key", String(number)), "20 seconds")
              assert.strictEqual(ack.offset, number, "no write was repeated or lost")
              yield* Effect.timeout(table.awaitOffset(ack), "20 seconds")
              assert.strictEqual(table.view.get("key"), String(number))
            }
            yield* Effect.timeout(table.barrier(), "20 seconds")
            assert.isAbove(seen.throttled, 0, name)
            assert.strictEqual(seen.disconnected, 0, name)
            assert.deepStrictEqual([...seen.statuses], ["CaughtUp"], name)
          })
        )
        assert.strictEqual(yield* connections, before, "no connection was given up")
      }).pipe(Effect.scoped)
    )
  })
})
