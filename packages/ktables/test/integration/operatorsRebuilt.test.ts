/** Derived tables over a topic that is deleted and made again: all of them get the difference, in one step. */
import { assert, describe, layer } from "@effect/vitest"
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { Effect, HashMap, Layer, Schedule, Schema, Stream, SubscriptionRef } from "effect"
import { KafkaTable, KafkaTableWriter, Table, TableTopic } from "effect-ktables"
import { Kafka, kafka } from "./faults/kafka.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

const Good = Schema.Struct({ category: Schema.String, price: Schema.Finite })

const before = [
  ["apple", { category: "fruit", price: 1 }],
  ["pear", { category: "fruit", price: 2 }],
  ["cod", { category: "fish", price: 9 }],
  ["brick", { category: "stone", price: 5 }]
] as const

const after = [
  ["apple", { category: "fruit", price: 1 }],
  ["pear", { category: "fruit", price: 3 }],
  ["cod", { category: "fish", price: 9 }],
  ["plum", { category: "fruit", price: 4 }]
] as const

describe.skipIf(missing !== undefined)(`derived tables over a topic that is made again${because}`, () => {
  layer(kafka({ nodes: 1 }), { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect("are given the difference, each key once, whatever shape they have", () =>
      Effect.gen(function* () {
        const { cluster } = yield* Kafka
        const proxy = cluster.nodes[0]!.proxy!
        const goods = TableTopic.make({ name: yield* TestKafka.uniqueName("goods"), key: Schema.String, value: Good })
        const stock = TableTopic.make({
          name: yield* TestKafka.uniqueName("stock"),
          key: Schema.String,
          value: Schema.Int
        })
        /** By a connection that nothing cuts. */
        const write = Effect.fnUntraced(function* (entries: ReadonlyArray<readonly [string, typeof Good.Type]>) {
          const writer = yield* KafkaTableWriter.make(goods)
          yield* writer.setAll(entries)
          yield* (yield* KafkaTableWriter.make(stock)).setAll([["apple", 7], ["pear", 8], ["plum", 9]]) // prettier-ignore
        }, Effect.scoped)
        const directly = Effect.provide(KafkaJsClient.layer({ brokers: [...cluster.innerBrokers] }))
        yield* write(before).pipe(directly)

        yield* Effect.gen(function* () {
          const table = yield* KafkaTable.make(goods)
          const counts = yield* KafkaTable.make(stock)
          const cheap = yield* Table.filter(table, ({ price }) => price < 5)
          const dear = yield* Table.filter(table, ({ price }) => price >= 5)
          const byCategory = yield* Table.index(table, ({ category }) => category)
          const shapes = {
            map: yield* Table.map(table, ({ price }) => price * 2),
            index: byCategory,
            join: yield* Table.join(table, counts, ({ price }, count) => price * count),
            union: yield* Table.union(cheap, dear),
            diff: yield* Table.diff(yield* table.snapshot, table),
            sorted: yield* Table.sorted(byCategory)
          }
          const changes = new Map<string, Array<ReadonlyArray<string>>>()
          for (const [name, shape] of Object.entries<Table.Table<string, unknown, unknown>>(shapes)) {
            const batches: Array<ReadonlyArray<string>> = []
            changes.set(name, batches)
            yield* Effect.forkScoped(
              Stream.runForEach(shape.changeBatches, (batch) =>
                Effect.sync(() => {
                  const keys = batch.flatMap((change) =>
                    change._tag === "Snapshot" ? [] : [`${change._tag === "Set" ? "" : "-"}${change.key}`]
                  )
                  if (keys.length > 0) batches.push(keys.sort())
                })
              ),
              { startImmediately: true }
            )
          }
          const ref = yield* Table.ref(shapes.map)
          const states: Array<number> = []
          yield* Effect.forkScoped(
            Stream.runForEach(SubscriptionRef.changes(ref), (state) =>
              Effect.sync(() => states.push(HashMap.size(state)))
            ),
            { startImmediately: true }
          )

          yield* proxy.refuse
          yield* proxy.cut
          yield* cluster.admin.deleteTopic(goods.name)
          yield* cluster.admin.createTopic({
            topic: goods.name,
            partitions: 2,
            config: { "cleanup.policy": "compact" }
          })
          yield* write(after).pipe(directly)
          yield* proxy.accept
          yield* table.health.pipe(
            Effect.repeat({
              until: ({ stats, status }) => stats.rebuilds === 1 && status._tag === "CaughtUp",
              schedule: Schedule.spaced("20 millis")
            }),
            Effect.timeout("60 seconds")
          )
          assert.deepStrictEqual(Object.fromEntries(changes), {
            map: [["-brick", "pear", "plum"]],
            index: [["-stone", "fruit"]],
            join: [["pear", "plum"]],
            union: [["-brick", "pear", "plum"]],
            diff: [["brick", "pear", "plum"]],
            sorted: [["-stone", "fruit"]]
          })
          assert.deepStrictEqual(shapes.diff.view.get("pear"), {
            _tag: "Changed",
            from: { category: "fruit", price: 2 },
            to: { category: "fruit", price: 3 }
          })
          assert.deepStrictEqual(shapes.sorted.view.range().map(([category, group]) => [category, HashMap.size(group)]), [["fish", 1], ["fruit", 3]]) // prettier-ignore
          assert.deepStrictEqual(states, [4, 4])
          assert.strictEqual(SubscriptionRef.getUnsafe(ref), yield* shapes.map.snapshot)
        }).pipe(Effect.scoped, Effect.provide(Layer.fresh(KafkaJsClient.layer({ brokers: [...cluster.brokers] }))))
      })
    )
  })
})
