/** Derived tables on a real Kafka: what was written is readable in them as soon as it is in their source. */
import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, HashMap, Option, Schema, Stream } from "effect"
import { KafkaTable, KafkaTableWriter, Table, TableTopic } from "effect-ktables"
import { onTestKafka, transports } from "./support.ts"

const Order = Schema.Struct({ fruit: Schema.String, count: Schema.Int })

for (const transport of transports) {
  layer(onTestKafka(transport.client), { excludeTestServices: true, timeout: 300_000 })(
    `derived tables on Kafka through ${transport.name}`,
    (it) => {
      it.effect("show one's own write after awaitOffset and barrier, through map, index and join", () =>
        Effect.gen(function* () {
          const prices = TableTopic.make({
            name: yield* TestKafka.uniqueName("prices"),
            key: Schema.String,
            value: Schema.Finite
          })
          const orders = TableTopic.make({
            name: yield* TestKafka.uniqueName("orders"),
            key: Schema.String,
            value: Order,
            partitions: 3
          })
          const priceWriter = yield* KafkaTableWriter.make(prices)
          const orderWriter = yield* KafkaTableWriter.make(orders)
          const priceOf = yield* KafkaTable.make(prices)
          const open = yield* KafkaTable.make(orders)

          const counts = yield* open.pipe(Table.map(({ count }) => count))
          const large = yield* counts.pipe(Table.filter((count) => count % 2 === 0))
          const byFruit = yield* open.pipe(Table.index(({ fruit }) => fruit))
          const costs = yield* open.pipe(
            Table.join(priceOf, (order, price) => order.count * price, { on: ({ fruit }) => fruit })
          )

          let misses = 0
          const expect = (condition: boolean): void => {
            if (!condition) misses++
          }
          for (let n = 1; n <= 100; n++) {
            const key = `o${n % 10}`
            const fruit = n % 3 === 0 ? "pear" : "apple"
            if (n % 5 === 0) {
              yield* priceOf.awaitOffset(yield* priceWriter.set(fruit, n))
              for (const [order, cost] of costs.view) {
                const { count, fruit: of } = open.view.get(order)!
                expect(cost === count * priceOf.view.get(of)!)
              }
              const priced = [...open.view.values()].filter(({ fruit }) => priceOf.view.has(fruit))
              expect(costs.view.size === priced.length)
            } else {
              yield* open.awaitOffset(yield* orderWriter.set(key, { fruit, count: n }))
              expect(counts.view.get(key) === n)
              expect(large.view.has(key) === (n % 2 === 0))
              expect(HashMap.has(byFruit.view.get(fruit)!, key))
              const price = priceOf.view.get(fruit)
              expect(costs.view.get(key) === (price === undefined ? undefined : n * price))
            }
          }
          yield* orderWriter.delete("o1")
          yield* open.barrier()
          expect(!counts.view.has("o1") && !costs.view.has("o1"))
          assert.strictEqual(misses, 0)
        })
      )

      it.effect("are there when they are made, in the state of a table that loads in the background", () =>
        Effect.gen(function* () {
          const topic = TableTopic.make({
            name: yield* TestKafka.uniqueName("background"),
            key: Schema.String,
            value: Schema.Int
          })
          const writer = yield* KafkaTableWriter.make(topic)
          yield* writer.setAll(Array.from({ length: 1000 }, (_, i) => [`k${i}`, i] as const))
          const table = yield* KafkaTable.make(topic, { catchUp: { mode: "background" } })
          const halves = yield* Table.map(table, (n) => n >> 1).pipe(Effect.flatMap(Table.index((n) => n % 10)))
          const first = yield* Stream.runHead(Stream.filter(halves.states, (state) => HashMap.size(state) > 0))
          yield* halves.awaitCaughtUp
          assert.deepStrictEqual(
            Array.from(halves.view.values(), (group) => HashMap.size(group)),
            Array.from({ length: 10 }, () => 100)
          )
          assert.deepStrictEqual(Option.map(first, HashMap.size), Option.some(10))
        })
      )
    }
  )
}
