/** What a table believes of `delete.retention.ms` when it changes, and when the broker does not say it. */
import { assert, describe, it } from "@effect/vitest"
import { TestKafka } from "@effect-ktables/testing"
import { Clock, Effect, Layer } from "effect"
import { KafkaTable } from "effect-ktables"
import { withLines } from "./faults/lines.ts"
import { awaitGone, COMPACTING, DAY, rawLog, topicOf } from "./faults/rawLog.ts"
import { clients, transports } from "./faults/scenario.ts"
import { until } from "./faults/until.ts"

const oneBroker = (properties: Readonly<Record<string, string>> = {}) =>
  TestKafka.startCluster({
    nodes: 1,
    heap: "192m",
    proxies: true,
    properties: { "log.cleaner.backoff.ms": "100", ...properties }
  })

const aroundProxies = (cluster: TestKafka.Cluster) => Layer.build(clients.kafkajs({ brokers: cluster.innerBrokers }))

/** A topic with `gone` and `kept` in it. */
const topicWith = Effect.fnUntraced(function* (cluster: TestKafka.Cluster, retention: string) {
  const name = yield* TestKafka.uniqueName("retention")
  yield* cluster.admin.createTopic({ topic: name, config: { ...COMPACTING, "delete.retention.ms": retention } })
  const log = yield* rawLog(name)
  yield* log.write([
    ["gone", "early"],
    ["kept", "1"]
  ])
  return { name, log }
})

/** One table for each transport, which reads through the proxies. */
const openTables = (cluster: TestKafka.Cluster, name: string, options: KafkaTable.Options = {}) =>
  Effect.forEach(
    transports,
    Effect.fnUntraced(function* (transport) {
      const client = yield* Layer.build(clients[transport]({ brokers: cluster.brokers }))
      const table = yield* KafkaTable.make(topicOf(name), {
        ensureTopic: false,
        metadataRefresh: "1 second",
        ...options
      }).pipe(Effect.provide(client))
      assert.isTrue(yield* table.has("gone"))
      return { table, transport }
    })
  )

type Tables = Effect.Success<ReturnType<typeof openTables>>

/** Each has read the topic again, so that a deletion which nobody can read any more is found. */
const assertReadAgain = (tables: Tables) =>
  Effect.forEach(
    tables,
    Effect.fnUntraced(function* ({ table, transport }) {
      yield* until(
        `${transport}: read again`,
        Effect.map(table.health, ({ stats, status }) => stats.rebuilds === 1 && status._tag === "CaughtUp")
      )
      assert.deepStrictEqual([yield* table.has("gone"), yield* table.has("kept")], [false, true], transport)
    })
  )

const AUTHORIZER = {
  "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
  "allow.everyone.if.no.acl.found": "true"
}
const TOPIC = 2
const ALL = 2
const DESCRIBE_CONFIGS = 10

/** Milliseconds, longer than what stands for a retention that is not known. */
const LONG_ABSENCE = 58_000

describe("the retention of tombstones on a real broker", () => {
  for (const when of ["while a table is live", "while a table is cut off"] as const) {
    it.live(
      `that is lowered ${when} counts for what it missed`,
      () =>
        withLines((lines) =>
          Effect.gen(function* () {
            const cluster = yield* oneBroker()
            const { proxy } = cluster.nodes[0]!
            const inner = yield* aroundProxies(cluster)
            const { log, name } = yield* Effect.provide(topicWith(cluster, DAY), inner)
            const tables = yield* openTables(cluster, name)
            const lower = cluster.admin.alterConfig(name, { "delete.retention.ms": "5000" })
            if (when === "while a table is live") {
              yield* lower
              const noticed = `Info ${name}: delete.retention.ms was ${DAY} and is 5000`
              yield* until("each has noticed", () => lines.filter((line) => line === noticed).length === tables.length)
            }
            yield* proxy!.refuse
            yield* proxy!.cut
            if (when === "while a table is cut off") yield* lower
            yield* log.write([["gone", null]])
            yield* awaitGone(log, 1, "gone")
            yield* proxy!.accept
            yield* assertReadAgain(tables)
          })
        ),
      300_000
    )
  }

  it.live(
    "that may not be described is the option's, and else a minute",
    () =>
      withLines((lines) =>
        Effect.gen(function* () {
          const cluster = yield* oneBroker(AUTHORIZER)
          const { proxy } = cluster.nodes[0]!
          const inner = yield* aroundProxies(cluster)
          const closed = Effect.fnUntraced(function* (retention: string, options?: KafkaTable.Options) {
            const { log, name } = yield* Effect.provide(topicWith(cluster, retention), inner)
            const rule = { resourceType: TOPIC, resource: name, principal: "User:ANONYMOUS" } as const
            yield* cluster.admin.createAcl({ ...rule, operation: ALL, permission: "allow" })
            yield* cluster.admin.createAcl({ ...rule, operation: DESCRIBE_CONFIGS, permission: "deny" })
            return { name, log, tables: yield* openTables(cluster, name, options) }
          })
          const unknown = yield* closed("20000")
          const short = yield* closed("5000", { deleteRetention: "5 seconds" })
          const long = yield* closed(DAY, { deleteRetention: "1 day" })
          const warned = lines.filter((line) => line.includes("delete.retention.ms cannot be read"))
          assert.lengthOf(warned, transports.length)
          for (const line of warned) {
            assert.include(line, `${unknown.name}: `)
            assert.include(line, "not allowed to DescribeConfigs")
            assert.include(line, "60000 ms")
          }

          // Nor may a topic's policy be verified there.
          const verified = (onPolicyMismatch: "warn" | "fail") =>
            KafkaTable.make(topicOf(long.name), { ensureTopic: { onPolicyMismatch }, deleteRetention: "1 day" }).pipe(
              Effect.provide(inner),
              Effect.scoped
            )
          yield* verified("warn")
          const unverified = lines.filter((line) => line.includes(long.name) && line.includes("DescribeConfigs"))
          assert.lengthOf(unverified, 1, lines.join("\n"))
          const refused = yield* Effect.flip(verified("fail"))
          assert.include(refused.message, "DescribeConfigs")

          const since = yield* Clock.currentTimeMillis
          yield* proxy!.refuse
          yield* proxy!.cut
          for (const { log } of [unknown, short, long]) yield* log.write([["gone", null]])
          yield* Effect.forEach([unknown, short], ({ log }) => awaitGone(log, 1, "gone"), { concurrency: 2 })
          yield* until(
            "everybody was away for longer than a minute's worth",
            Effect.map(Clock.currentTimeMillis, (now) => now - since > LONG_ABSENCE),
            "90 seconds"
          )
          yield* proxy!.accept
          yield* assertReadAgain(unknown.tables)
          yield* assertReadAgain(short.tables)
          // The tombstone is still there, as the option says: it is read, and nothing is read again.
          for (const { table, transport } of long.tables) {
            yield* until(
              `${transport}: the deletion`,
              Effect.map(table.has("gone"), (has) => !has)
            )
            assert.strictEqual((yield* table.health).stats.rebuilds, 0, transport)
          }
        })
      ),
    300_000
  )
})
