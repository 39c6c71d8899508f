/** Three brokers that are restarted, killed, slowed and voted out under live tables and writers. */
import { assert, describe, layer } from "@effect/vitest"
import type { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { Effect, Option } from "effect"
import type { WriteAck } from "effect-ktables/WriteAck"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { Kafka, kafka } from "./faults/kafka.ts"
import { assertNoSockets, is, type Run, scenario } from "./faults/scenario.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

/** A replica of every partition on every broker, one partition led by each. */
const everywhere = [
  [1, 2, 3],
  [2, 3, 1],
  [3, 1, 2]
]

const awaitInSync = (cluster: TestKafka.Cluster, topic: string, partitions: number, brokers: number) =>
  Effect.forEach(
    Array.from({ length: partitions }, (_, partition) => partition),
    (partition) => cluster.admin.awaitPartition(topic, partition, ({ inSync }) => inSync.length === brokers),
    { concurrency: "unbounded", discard: true }
  )

describe.skipIf(missing !== undefined)(`three brokers under live tables and writers${because}`, () => {
  layer(kafka({ nodes: 3, heap: "192m" }), { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect("leaders that move, by election and by reassignment, take their readers and writers along", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        yield* scenario({ cluster, java, name: "moved", assignments: everywhere }, ({ flows, topic }) =>
          Effect.gen(function* () {
            const { admin } = cluster
            yield* admin.assignReplicas(topic, 0, [2, 3, 1])
            yield* admin.electLeader(topic, 0, "preferred")
            yield* admin.awaitPartition(topic, 0, ({ leader }) => leader === 2)
            yield* flows
            yield* admin.assignReplicas(topic, 1, [3, 1])
            yield* admin.awaitPartition(topic, 1, ({ leader }) => leader !== 2)
            yield* flows
            yield* admin.assignReplicas(topic, 2, [1])
            yield* admin.awaitPartition(topic, 2, ({ leader }) => leader === 1)
            yield* flows
          })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect("one slow broker holds up its own partitions, and no others", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        const slow = cluster.nodes[0]!.proxy!
        yield* scenario(
          { cluster, java, name: "slow", assignments: everywhere, requestTimeout: "20 seconds" },
          ({ flows, parties }) =>
            Effect.gen(function* () {
              yield* slow.delay("2 seconds")
              for (const { name, table, writer } of parties) {
                // Of the partitions that the two others lead.
                const keys = Array.from({ length: 30 }, (_, i) => `swift-${name}-${i}`).filter(
                  (key) => javaPartitioner(Buffer.from(key), 3) !== 0
                )
                for (const [value, key] of keys.entries()) {
                  const visible = Effect.flatMap(writer.set(key, value), table.awaitOffset)
                  assert.isTrue(Option.isSome(yield* Effect.timeoutOption(visible, "1 second")), `${name}: ${key}`)
                }
              }
              yield* slow.delay(0)
              yield* flows
            })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect("the only address it was told is gone: tables and writers live on the brokers that were discovered", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        const [first] = cluster.nodes
        yield* scenario(
          { cluster, java, name: "bootstrap", assignments: everywhere, brokers: [first!.address] },
          ({ each, flows, topic }) =>
            Effect.gen(function* () {
              yield* first!.kill
              yield* cluster.admin.awaitPartition(topic, 0, ({ leader }) => leader > 1)
              yield* flows
              yield* each("connected", is.connected)
              yield* each("never rebuilt", ({ table }) => Effect.map(table.health, ({ stats }) => stats.rebuilds === 0))
              yield* first!.start
              yield* awaitInSync(cluster, topic, 3, 3)
              yield* flows
            })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect("all brokers restarted in turn, one by one, in good order", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        yield* scenario({ cluster, java, name: "rolling", assignments: everywhere }, ({ flows, topic }) =>
          Effect.gen(function* () {
            for (const node of cluster.nodes) {
              yield* node.stop
              yield* flows
              yield* node.start
              yield* awaitInSync(cluster, topic, 3, 3)
            }
            yield* flows
          })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect(
      "an unclean election that truncates: data loss is reported, acknowledged records that went are told",
      () =>
        Effect.gen(function* () {
          const { cluster, java } = yield* Kafka
          const { admin, nodes } = cluster
          const [ahead, behind] = [nodes[0]!, nodes[1]!]
          const options = {
            cluster,
            java,
            partitions: 1,
            assignments: [[ahead.id, behind.id]],
            config: { "min.insync.replicas": "1" },
            isLossy: true
          }
          const doom = ({ parties }: Run) =>
            Effect.forEach(parties, ({ name, table, workload, write, writer }) =>
              Effect.gen(function* () {
                yield* workload.stop
                const careless = yield* write({ acks: "leader" })
                for (let value = 0; value < 100; value++) yield* writer.set(`doomed-${name}`, value)
                const acks = [yield* writer.set(`doomed-${name}`, 100), yield* careless.set(`careless-${name}`, 100)]
                for (const ack of acks) yield* table.awaitOffset(ack)
                assert.strictEqual(table.view.get(`doomed-${name}`), 100)
                assert.strictEqual(table.view.get(`careless-${name}`), 100)
                return acks
              })
            )
          const elect = (topic: string) =>
            Effect.gen(function* () {
              yield* admin.awaitPartition(topic, 0, ({ leader }) => leader < 0)
              yield* admin.electLeader(topic, 0, "unclean")
              yield* admin.awaitPartition(topic, 0, ({ leader }) => leader === behind.id)
            })
          const checkLoss = (run: Run, acks: ReadonlyArray<ReadonlyArray<WriteAck>>) =>
            Effect.gen(function* () {
              // Before the tables can have learned of the election: what was lost may not pass for all that there is.
              yield* Effect.forEach(
                run.parties,
                ({ name, table }) =>
                  Effect.gen(function* () {
                    yield* Effect.timeout(table.barrier(), "60 seconds")
                    assert.isFalse(table.view.has(`doomed-${name}`), `${run.topic} after a barrier`)
                  }),
                { concurrency: "unbounded" }
              )
              yield* run.each("rebuilt", is.rebuilt("DataLoss"))
              for (const [i, { name, table, writer }] of run.parties.entries()) {
                for (const ack of acks[i]!) {
                  const gone = yield* Effect.timeout(Effect.flip(table.awaitOffset(ack)), "10 seconds")
                  assert.strictEqual(gone._tag, "DataLoss")
                }
                assert.isFalse(table.view.has(`doomed-${name}`))
                assert.isFalse(table.view.has(`careless-${name}`))
                yield* table.awaitOffset(yield* writer.set(`after-${name}`, 1))
                assert.strictEqual(table.view.get(`after-${name}`), 1)
              }
            })

          yield* scenario({ ...options, name: "shorter" }, (shorter) =>
            scenario({ ...options, name: "as-long" }, (asLong) =>
              scenario({ ...options, name: "grown" }, (grown) =>
                Effect.gen(function* () {
                  yield* behind.stop
                  for (const { topic } of [shorter, asLong, grown]) {
                    yield* admin.awaitPartition(topic, 0, ({ inSync }) => inSync.length === 1)
                  }
                  const inShorter = yield* doom(shorter)
                  const inAsLong = yield* doom(asLong)
                  const inGrown = yield* doom(grown)
                  yield* behind.proxy!.refuse
                  yield* ahead.kill
                  yield* behind.start
                  yield* elect(shorter.topic)
                  yield* elect(asLong.topic)
                  yield* elect(grown.topic)
                  const read = (acks: typeof inGrown) => Math.max(...acks.flat().map(({ offset }) => offset!)) + 1
                  const records = (length: number) =>
                    Array.from({ length }, (_, i) => ({ key: `java-${i % 50}`, value: String(i) }))
                  const [first] = yield* java.produce({ topic: asLong.topic, records: records(1) })
                  yield* java.produce({ topic: asLong.topic, records: records(read(inAsLong) - first!.offset - 1) })
                  yield* java.produce({ topic: grown.topic, records: records(read(inGrown) + 500) })
                  yield* behind.proxy!.accept
                  yield* checkLoss(shorter, inShorter)
                  yield* checkLoss(asLong, inAsLong)
                  yield* checkLoss(grown, inGrown)
                })
              )
            )
          )
          yield* assertNoSockets(cluster)
        })
    )
  })
})
