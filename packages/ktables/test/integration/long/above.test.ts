/** Grouped tables, everything that is derived, and tables by name, together on brokers that are set up unkindly and harmed. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, References } from "effect"
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { above, type AboveOptions, type World } from "../faults/above.ts"
import { assertNoSockets, clients, heal } from "../faults/scenario.ts"

const missing = JavaPeer.unavailable()

/** Tombstones of a second, leaders that wander, connections that are closed when idle, small answers, no fetch sessions. */
const UNKIND = {
  "log.cleaner.backoff.ms": "100",
  "connections.max.idle.ms": "3000",
  "fetch.max.bytes": "65536",
  "max.incremental.fetch.session.cache.slots": "1",
  "leader.imbalance.check.interval.seconds": "5",
  "leader.imbalance.per.broker.percentage": "1",
  "quota.window.num": "2"
}

const unlimited = { consumer_byte_rate: null, producer_byte_rate: null, request_percentage: null }

const harm = ({ admin, nodes }: TestKafka.Cluster, world: World, { rooms, tell }: AboveOptions) =>
  Effect.gen(function* () {
    const { emptied, flows, held, topics } = world
    yield* flows
    for (const quotas of [{ request_percentage: 1 }, { consumer_byte_rate: 20_000, producer_byte_rate: 20_000 }]) {
      tell(`quotas ${JSON.stringify(quotas)}`)
      yield* admin.setClientQuotas(quotas)
      yield* Effect.sleep("4 seconds")
      yield* admin.setClientQuotas(unlimited)
      yield* flows
    }
    tell("leaders move")
    for (let n = 0; n < 12; n++) yield* admin.moveLeader(topics.stock(n), 0, nodes[(n + 1) % 3]!.id)
    yield* admin.moveLeader(topics.rooms, 1, nodes[0]!.id)
    yield* flows
    tell("a topic is made again under the lane of others")
    const rebuilds = () => Effect.forEach(held, (table) => Effect.map(table.health, ({ stats }) => stats.rebuilds))
    const before = yield* rebuilds()
    yield* emptied(
      7,
      Effect.gen(function* () {
        yield* admin.deleteTopic(topics.stock(7))
        yield* admin.createTopic({ topic: topics.stock(7), assignments: [[nodes[0]!.id, nodes[1]!.id]] })
      })
    )
    yield* flows
    const after = yield* rebuilds()
    assert.deepStrictEqual(
      after.filter((_, n) => n !== 7),
      before.filter((_, n) => n !== 7)
    )
    assert.strictEqual(after[7], before[7]! + 1)
    if (rooms === "growing") {
      tell("the grouped topic grows")
      yield* admin.createPartitions(topics.rooms, 6)
      yield* flows
    }
    tell("a broker is killed")
    yield* nodes[2]!.kill
    yield* flows
    yield* nodes[2]!.start
    yield* flows
    tell("everybody is cut off")
    for (const { proxy } of nodes) yield* Effect.andThen(proxy!.refuse, proxy!.cut)
    yield* Effect.sleep("3 seconds")
    for (const { proxy } of nodes) yield* proxy!.accept
    yield* flows
    tell("prices are led by a broker that is behind")
    yield* nodes[1]!.stop
    yield* admin.awaitPartition(topics.prices, 0, ({ inSync }) => inSync.length === 1)
    yield* flows
    yield* nodes[0]!.kill
    yield* nodes[1]!.start
    yield* admin.awaitPartition(topics.prices, 0, ({ leader }) => leader < 0)
    yield* admin.electLeader(topics.prices, 0, "unclean")
    yield* admin.awaitPartition(topics.prices, 0, ({ leader }) => leader === nodes[1]!.id)
    yield* nodes[0]!.start
    yield* flows
    tell("all brokers restart one after the other")
    for (const node of nodes) {
      yield* node.stop
      yield* node.start
      yield* flows
    }
  })

describe.skipIf(missing !== undefined)(`everything above one table${missing ? ` (skipped: ${missing})` : ""}`, () => {
  for (const [transport, rooms] of [
    ["kafkajs", "cleaned"],
    ["platformatic", "growing"]
  ] as const) {
    it.live(
      `is in step, and in the end what its logs say, on harmed brokers: a grouped topic that is ${rooms}, through ${transport}`,
      () =>
        Effect.gen(function* () {
          const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9))
          const lines: Array<string> = [`seed ${seed}`]
          const tell = (line: string) => void lines.push(line)
          const cluster = yield* TestKafka.startCluster({ nodes: 3, proxies: true, heap: "256m", properties: UNKIND })
          const java = yield* JavaPeer.make({ brokers: cluster.innerBrokers })
          yield* Effect.gen(function* () {
            const options: AboveOptions = { cluster, java, seed, rooms, tell }
            const world = yield* above(options)
            yield* harm(cluster, world, options)
            yield* heal(cluster)
            yield* world.end
            assert.isAbove(world.counts.looks, 100)
          }).pipe(
            Effect.scoped,
            Effect.provide(clients[transport]({ brokers: cluster.brokers })),
            Effect.provideService(References.MinimumLogLevel, "Error"),
            Effect.tapCause(() => Effect.logError(lines.join("\n")))
          )
          yield* assertNoSockets(cluster)
        }).pipe(Effect.scoped),
      900_000
    )
  }
})
