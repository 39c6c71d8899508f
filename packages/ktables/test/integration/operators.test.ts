/** Derived tables on a real Kafka: what was written is readable in them as soon as it is in their source. */
import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Fiber, HashMap, Option, Schema, Stream, SubscriptionRef } from "effect"
import { KafkaTable, KafkaTableWriter, Table, TableTopic, type WriteAck } from "effect-ktables"
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

      it.effect("show one's own write after awaitOffset and barrier, through sorted, union, diff and ref", () =>
        Effect.gen(function* () {
          const topicOf = (name: string) =>
            Effect.map(TestKafka.uniqueName(name), (name) =>
              TableTopic.make({ name, key: Schema.String, value: Schema.Finite, partitions: 3 })
            )
          const [defaults, own] = [yield* topicOf("defaults"), yield* topicOf("own")]
          const defaultWriter = yield* KafkaTableWriter.make(defaults)
          const ownWriter = yield* KafkaTableWriter.make(own)
          const base = yield* KafkaTable.make(defaults)
          const above = yield* KafkaTable.make(own)

          const sorted = yield* Table.sorted(base)
          const all = yield* Table.union(base, above)
          const inOrder = yield* Table.sorted(all)
          const ref = yield* Table.ref(all)
          const changed = yield* Table.diff(yield* base.snapshot, base)
          const diff = yield* Table.diff(base, above)
          const pages: Array<ReadonlyArray<readonly [string, number]>> = []
          yield* Effect.forkScoped(
            Stream.runForEach(inOrder.watchRange({ prefix: "k1", limit: 2 }), (page) =>
              Effect.sync(() => pages.push(page))
            ),
            { startImmediately: true }
          )

          const wrong: Array<string> = []
          const expect = (what: string, condition: boolean): void => {
            if (!condition) wrong.push(what)
          }
          const model = { base: new Map<string, number>(), above: new Map<string, number>() }
          const look = (key: string): void => {
            const [low, high] = [model.base.get(key), model.above.get(key)]
            const either = high ?? low
            expect(
              "sorted",
              sorted.view.get(key) === low &&
                (low === undefined) === (sorted.view.range({ from: key, limit: 1 })[0]?.[0] !== key)
            )
            expect("union", all.view.get(key) === either)
            expect("sorted union", inOrder.view.get(key) === either)
            expect("ref", Option.getOrUndefined(HashMap.get(SubscriptionRef.getUnsafe(ref), key)) === either)
            expect("diff from a snapshot", changed.view.has(key) === (low !== undefined))
            expect("diff", diff.view.has(key) === (low !== high))
          }
          for (let n = 1; n <= 60; n++) {
            const key = `k${n % 13}`
            const [writer, table, map] =
              n % 3 === 0 ? ([ownWriter, above, model.above] as const) : ([defaultWriter, base, model.base] as const)
            if (n % 7 === 0) {
              map.delete(key)
              yield* table.awaitOffset(yield* writer.delete(key))
            } else {
              map.set(key, n)
              yield* table.awaitOffset(yield* writer.set(key, n))
            }
            look(key)
          }
          yield* defaultWriter.setAll([["k1", 1000], ["k10", 1001], ["k11", 1002]]) // prettier-ignore
          yield* base.barrier()
          assert.deepStrictEqual(sorted.view.range({ prefix: "k1", limit: 2 }), [["k1", 1000], ["k10", 1001]]) // prettier-ignore
          assert.deepStrictEqual(wrong, [])
          yield* Effect.yieldNow
          assert.deepStrictEqual(pages.at(-1), inOrder.view.range({ prefix: "k1", limit: 2 }))
        })
      )

      it.effect("give each element of a stream at least the write whose acknowledgement it carries, by lookup", () =>
        Effect.gen(function* () {
          const prices = TableTopic.make({
            name: yield* TestKafka.uniqueName("looked-up"),
            key: Schema.String,
            value: Schema.Finite
          })
          const writer = yield* KafkaTableWriter.make(prices)
          const table = yield* KafkaTable.make(prices)
          const doubled = yield* Table.map(table, (price) => price * 2)
          interface Order {
            readonly price: number
            readonly ack: WriteAck.WriteAck
          }
          const orders = Stream.fromIterable(Array.from({ length: 100 }, (_, n) => n)).pipe(
            Stream.mapEffect((price) => Effect.map(writer.set("apple", price), (ack): Order => ({ price, ack })))
          )
          const found = yield* orders.pipe(
            Table.lookup(doubled, () => "apple", { waitFor: ({ ack }) => table.awaitOffset(ack) }),
            Stream.runCollect
          )
          assert.strictEqual(found.length, 100)
          for (const [{ price }, value] of found) {
            assert.isAtLeast(
              Option.getOrElse(value, () => -1),
              2 * price
            )
          }
          const fiber = yield* Effect.forkScoped(
            Stream.make("apple", "pear").pipe(
              Table.lookup(doubled, (name) => name, { waitFor: "caughtUp" }),
              Stream.runCollect
            )
          )
          assert.deepStrictEqual(yield* Fiber.join(fiber), [["apple", Option.some(198)], ["pear", Option.none()]]) // prettier-ignore
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
