/** Tombstones that expire before they are read, and log starts that move, on brokers whose cleaners have seconds. */
import { assert, describe, it } from "@effect/vitest"
import { TestKafka } from "@effect-ktables/testing"
import { Effect, Layer, Stream } from "effect"
import { KafkaTable } from "effect-ktables"
import { awaitGone, COMPACTING, DAY, rawLog, topicOf } from "./faults/rawLog.ts"
import { clients, transports } from "./faults/scenario.ts"
import { until } from "./faults/until.ts"

describe("tombstones that expire on real brokers", () => {
  it.live(
    "a leader that moves in the middle of a load, to a broker that has dropped a tombstone, leaves no deleted key",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({
          nodes: 2,
          heap: "192m",
          proxies: true,
          properties: { "log.cleaner.backoff.ms": "100" },
          nodeProperties: (id) => (id === 1 ? { "log.cleaner.io.max.bytes.per.second": "1" } : {})
        })
        const name = yield* TestKafka.uniqueName("replicas")
        yield* cluster.admin.createTopic({ topic: name, assignments: [[1, 2]], config: COMPACTING })
        const inner = yield* Layer.build(clients.kafkajs({ brokers: cluster.innerBrokers }))
        const log = yield* rawLog(name).pipe(Effect.provide(inner))
        yield* log.write([["gone", "early"]])
        const padding = "x".repeat(1000)
        for (let batch = 0; batch < 16; batch++) {
          yield* log.write(Array.from({ length: 250 }, (_, i) => [`kept-${batch}-${i}`, padding] as const))
        }
        yield* log.write([["gone", null]])
        yield* awaitGone(log, 2, "gone")
        assert.include(yield* log.keysAt(1), "gone", "the other broker's cleaner has not come to it")
        // Time is not what this is about.
        yield* cluster.admin.alterConfig(name, { "delete.retention.ms": DAY })
        for (const transport of transports) {
          yield* cluster.admin.moveLeader(name, 0, 1)
          for (const { proxy } of cluster.nodes) yield* proxy!.limit(1_500_000, "toClient")
          yield* Effect.gen(function* () {
            const client = yield* Layer.build(clients[transport]({ brokers: cluster.brokers }))
            const table = yield* KafkaTable.make(topicOf(name), {
              ensureTopic: false,
              catchUp: { mode: "background" },
              fetch: { maxPartitionBytes: 300_000 }
            }).pipe(Effect.provide(client))
            yield* until(
              "the first half",
              Effect.map(table.health, ({ progress }) => progress.replayed > 500)
            )
            yield* cluster.admin.moveLeader(name, 0, 2)
            for (const { proxy } of cluster.nodes) yield* proxy!.limit(undefined)
            yield* Effect.timeout(table.awaitCaughtUp, "60 seconds")
            assert.isFalse(yield* table.has("gone"), transport)
            assert.strictEqual(yield* table.size, 16 * 250 + 1)
          }).pipe(Effect.scoped)
        }
      }),
    300_000
  )

  it.live(
    "a table that was cut off while a tombstone expired reads the topic again, and one that was not goes on",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({
          nodes: 1,
          heap: "192m",
          proxies: true,
          properties: { "log.cleaner.backoff.ms": "100" }
        })
        const [node] = cluster.nodes
        const name = yield* TestKafka.uniqueName("absent")
        // The topic says nothing of its own: the broker's setting counts.
        const { "delete.retention.ms": _, ...config } = COMPACTING
        yield* cluster.admin.createTopic({ topic: name, config: { ...config, "delete.retention.ms": "6000" } })
        const inner = yield* Layer.build(clients.kafkajs({ brokers: cluster.innerBrokers }))
        const log = yield* rawLog(name).pipe(Effect.provide(inner))
        yield* log.write([
          ["gone", "early"],
          ["kept", "1"]
        ])
        const near = yield* KafkaTable.make(topicOf(name), { ensureTopic: false }).pipe(Effect.provide(inner))
        const far = yield* Effect.forEach(transports, (transport) =>
          Effect.gen(function* () {
            const client = yield* Layer.build(clients[transport]({ brokers: cluster.brokers }))
            const table = yield* KafkaTable.make(topicOf(name), { ensureTopic: false }).pipe(Effect.provide(client))
            const deletions: Array<string> = []
            yield* Stream.runForEach(table.changes, (change) =>
              Effect.sync(() => {
                if (change._tag === "Deleted") deletions.push(change.key)
              })
            ).pipe(Effect.forkScoped)
            assert.isTrue(yield* table.has("gone"))
            return { deletions, table, transport }
          })
        )
        yield* node!.proxy!.refuse
        yield* node!.proxy!.cut
        yield* log.write([["gone", null]])
        yield* awaitGone(log, 1, "gone")
        yield* node!.proxy!.accept
        for (const { deletions, table, transport } of far) {
          yield* until(
            `${transport}: read again`,
            Effect.map(table.health, ({ stats, status }) => stats.rebuilds === 1 && status._tag === "CaughtUp")
          )
          assert.isFalse(yield* table.has("gone"), transport)
          assert.isTrue(yield* table.has("kept"), transport)
          yield* until("the deletion", () => deletions.length > 0)
          assert.deepStrictEqual(deletions, ["gone"], transport)
        }
        assert.isFalse(yield* near.has("gone"))
        assert.strictEqual((yield* near.health).stats.rebuilds, 0)
      }),
    300_000
  )

  it.live(
    "records that are deleted below live entries take them out of tables, as changes",
    () =>
      Effect.gen(function* () {
        const cluster = yield* TestKafka.startCluster({ nodes: 1, heap: "192m" })
        const name = yield* TestKafka.uniqueName("start")
        yield* cluster.admin.createTopic({ topic: name, config: { "cleanup.policy": "compact,delete" } })
        const client = yield* Layer.build(clients.kafkajs({ brokers: cluster.brokers }))
        const log = yield* rawLog(name).pipe(Effect.provide(client))
        for (const key of ["a", "b", "c", "d"]) yield* log.write([[key, key]])
        yield* log.write([["a", "again"]])
        const options = { ensureTopic: false } as const
        const table = yield* KafkaTable.make(topicOf(name), options).pipe(Effect.provide(client))
        const heard: Array<string> = []
        yield* Stream.runForEach(table.changes, (change) => Effect.sync(() => heard.push(change._tag))).pipe(
          Effect.forkScoped
        )
        yield* cluster.admin.deleteRecords(name, 0, 3)
        yield* until(
          "the entries to go",
          Effect.map(table.size, (size) => size === 2)
        )
        const fresh = yield* KafkaTable.make(topicOf(name), options).pipe(Effect.provide(client))
        assert.deepStrictEqual(new Map(yield* table.entries), new Map(yield* fresh.entries))
        yield* until("the changes", () => heard.length === 3)
        assert.deepStrictEqual(heard, ["Snapshot", "Deleted", "Deleted"])
        assert.strictEqual((yield* table.health).stats.rebuilds, 0)
      }),
    300_000
  )
})
