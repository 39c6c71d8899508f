/** Tables of every shape as services. */
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Schema, Stream } from "effect"
import { KafkaTable, KafkaTableWriter, Table, type TableError, TableTopic } from "effect-ktables"
import type { KafkaClient } from "effect-ktables/KafkaClient"
import * as MemoryKafka from "effect-ktables/MemoryKafka"

const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })

class Prices extends KafkaTable.Service<Prices>()("test/Prices", prices) {}
class Writer extends KafkaTableWriter.Service<Writer>()("test/Writer", prices) {}
class GrossPrices extends Table.Service<GrossPrices>()(
  "test/GrossPrices",
  Prices.use(Table.map((price) => price * 2))
) {}
class InOrder extends Table.Service<InOrder>()("test/InOrder", GrossPrices.use(Table.sorted())) {}

const pricesLive = Prices.layer.pipe(Layer.provideMerge(Writer.layer))

describe("a service of a derived table", () => {
  it.effect("is made of the table that others are given, and closed with its layer", () =>
    Effect.gen(function* () {
      const closed = yield* Effect.gen(function* () {
        const writer = yield* Writer
        const [net, gross, inOrder] = [yield* Prices, yield* GrossPrices, yield* InOrder]
        yield* net.awaitOffset(yield* writer.set("apple", 1.5))
        assert.deepStrictEqual(yield* gross.get("apple"), Option.some(3))
        assert.deepStrictEqual(inOrder.view.range({ prefix: "app" }), [["apple", 3]])
        return gross
      }).pipe(Effect.provide(InOrder.layer.pipe(Layer.provideMerge(GrossPrices.layer), Layer.provideMerge(pricesLive))))
      assert.strictEqual((yield* closed.status)._tag, "Closed")
      assert.deepStrictEqual(yield* Stream.runCollect(closed.statusChanges), [{ _tag: "Closed" }])
    }).pipe(Effect.provide(MemoryKafka.layer))
  )

  it("needs what it is made of, and no scope", () => {
    type Made = Context.Service.Shape<typeof GrossPrices>
    expectTypeOf<Made>().toEqualTypeOf<
      Table.Table<string, number, TableError.ReaderError | TableError.DerivationFailed>
    >()
    expectTypeOf(GrossPrices.layer).toEqualTypeOf<Layer.Layer<GrossPrices, never, Prices>>()
    class Both extends Context.Service<Both, Table.Table<string, number, TableError.ReaderError>>()("test/Both") {}
    const ofTopics = Table.layer(
      Both,
      Effect.gen(function* () {
        return yield* Table.union(yield* KafkaTable.make(prices), yield* KafkaTable.make(prices))
      })
    )
    expectTypeOf(ofTopics).toEqualTypeOf<Layer.Layer<Both, KafkaTable.StartError, KafkaClient>>()
    // @ts-expect-error a table of other values
    assert.isTrue(Layer.isLayer(Table.layer(Both, Prices.use(Table.map(String, { onError: "skip" })))))
  })
})
