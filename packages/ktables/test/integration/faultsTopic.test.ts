/** A topic that is deleted, made again, grown, cut short and swapped for another cluster's under live tables and writers. */
import { assert, describe, layer } from "@effect/vitest"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { Effect, Exit } from "effect"
import { Kafka, kafka } from "./faults/kafka.ts"
import { assertNoSockets, is, type Run, scenario } from "./faults/scenario.ts"
import type { Attempt } from "./faults/workload.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

const compacted = { "cleanup.policy": "compact" }
const numbered = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => ({ key: `java-${i % 50}`, value: String(from + i) }))

const partitionsOf = (attempts: ReadonlyArray<Attempt>) =>
  new Set(attempts.flatMap(({ exit }) => (Exit.isSuccess(exit) ? [exit.value.partition] : [])))

/** What the parties' tables said of the reasons why they were built again, without repetitions. */
const reasons = ({ parties }: Run) =>
  parties.map(({ witness }) => [
    ...new Set(witness.statuses.flatMap((status) => (status._tag === "Rebuilding" ? [status.reason._tag] : [])))
  ])

describe.skipIf(missing !== undefined)(`a topic that changes under live tables and writers${because}`, () => {
  layer(kafka({ nodes: 1 }), { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect(
      "partitions added live are found, written to and read, and keys that moved are read from their owner",
      () =>
        Effect.gen(function* () {
          const { cluster, java } = yield* Kafka
          yield* scenario({ cluster, java, name: "grown", partitions: 2 }, ({ each, flows, topic }) =>
            Effect.gen(function* () {
              // To multiples: a key is then never sent back to where an older record of it still lies.
              for (const partitions of [4, 8]) {
                yield* cluster.admin.createPartitions(topic, partitions)
                yield* each(`aware of ${partitions} partitions`, ({ table }) =>
                  Effect.map(table.health, (health) => health.partitions.length === partitions)
                )
                yield* flows
              }
              yield* each("told of keys in two partitions", ({ table }) =>
                Effect.map(table.health, ({ stats }) => stats.foreign > 0)
              )
              yield* each("writing to the added partitions", ({ workload }) =>
                Effect.sync(() => partitionsOf(workload.attempts).size > 4)
              )
              yield* flows
            })
          )
          yield* assertNoSockets(cluster)
        })
    )

    it.effect("records deleted before they were read: data loss is reported, and the table built again", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        const proxy = cluster.nodes[0]!.proxy!
        const config = { "cleanup.policy": "compact,delete" }
        yield* scenario({ cluster, java, name: "trimmed", config, isLossy: true }, (run) =>
          Effect.gen(function* () {
            yield* proxy.refuse
            yield* proxy.cut
            yield* run.each("disconnected", is.disconnected)
            yield* java.produce({ topic: run.topic, records: numbered(0, 500) })
            for (const partition of [0, 1, 2]) yield* cluster.admin.deleteRecords(run.topic, partition, -1)
            yield* java.produce({ topic: run.topic, records: numbered(1000, 200) })
            yield* proxy.accept
            yield* run.each("rebuilt", is.rebuilt("DataLoss"))
            yield* run.flows
            assert.deepStrictEqual(reasons(run), [["DataLoss"], ["DataLoss"]])
            for (const { witness } of run.parties) {
              const rebuilding = witness.statuses.find((status) => status._tag === "Rebuilding")
              assert.isTrue(rebuilding?._tag === "Rebuilding" && rebuilding.reason._tag === "DataLoss")
              if (rebuilding?._tag !== "Rebuilding" || rebuilding.reason._tag !== "DataLoss") continue
              assert.isBelow(rebuilding.reason.consumedTo, rebuilding.reason.resetTo)
            }
          })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect(
      "made again with fewer partitions, then longer than before while nobody could look: read from its start",
      () =>
        Effect.gen(function* () {
          const { cluster, java } = yield* Kafka
          const proxy = cluster.nodes[0]!.proxy!
          yield* scenario({ cluster, java, name: "again", isLossy: true }, (run) =>
            Effect.gen(function* () {
              yield* cluster.admin.deleteTopic(run.topic)
              yield* cluster.admin.createTopic({ topic: run.topic, partitions: 2, config: compacted })
              yield* run.each("rebuilt", is.rebuilt("TopicRecreated"))
              yield* run.flows
              const positions = yield* Effect.forEach(run.parties, ({ table }) => table.health)
              const longest = Math.max(...positions.flatMap(({ partitions }) => partitions.map((p) => p.position)))
              yield* proxy.refuse
              yield* proxy.cut
              yield* run.each("disconnected", is.disconnected)
              yield* java.recreateTopic({ topic: run.topic, partitions: 2, config: compacted })
              const records = numbered(0, 4 * longest + 500).map((record, i) => ({ ...record, partition: i % 2 }))
              yield* java.produce({ topic: run.topic, records })
              yield* proxy.accept
              yield* run.each("rebuilt twice", ({ table }) =>
                Effect.map(table.health, ({ stats, status }) => stats.rebuilds >= 2 && status._tag === "CaughtUp")
              )
              yield* run.flows
              // The records were put where their keys do not belong, which may be settled by one more reading.
              const told = reasons(run).map((tags) => tags.filter((tag) => tag !== "KeysMoved"))
              assert.deepStrictEqual(told, [["TopicRecreated"], ["TopicRecreated"]])
            })
          )
          yield* assertNoSockets(cluster)
        })
    )

    it.effect("deleted for good: the tables fail, say so, and keep what they had", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        yield* scenario({ cluster, java, name: "deleted", isLossy: true, isFinal: true }, ({ each, parties, topic }) =>
          Effect.gen(function* () {
            yield* cluster.admin.deleteTopic(topic)
            yield* each("failed", is.failed)
            for (const { table, witness } of parties) {
              assert.strictEqual((yield* Effect.flip(table.failure))._tag, "TopicDeleted")
              assert.isAbove(table.view.size, 10)
              assert.deepStrictEqual(new Map(table.view), new Map(witness.folded))
            }
          })
        )
        yield* assertNoSockets(cluster)
      })
    )

    it.effect("another cluster behind the same address is told apart by its id, and read from its start", () =>
      Effect.gen(function* () {
        const { cluster, java } = yield* Kafka
        const [node] = cluster.nodes
        yield* scenario({ cluster, java, name: "swapped", isLossy: true }, (run) =>
          Effect.gen(function* () {
            yield* node!.proxy!.refuse
            yield* node!.proxy!.cut
            yield* run.each("disconnected", is.disconnected)
            yield* node!.reformat
            yield* node!.start
            yield* cluster.admin.createTopic({ topic: run.topic, partitions: 3, config: compacted })
            yield* java.produce({ topic: run.topic, records: numbered(0, 2000) })
            yield* node!.proxy!.accept
            yield* run.each("rebuilt", is.rebuilt("TopicRecreated"))
            yield* run.flows
            assert.deepStrictEqual(reasons(run), [["TopicRecreated"], ["TopicRecreated"]])
          })
        )
        yield* assertNoSockets(cluster)
      })
    )
  })
})
