/** Three topics, and the tables that are made of them: each line of them is kept in step by itself. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { Config, Context, Effect, type HashMap, Layer, Option, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, Table, type TableError, TableTopic } from "effect-ktables"

const prefix = process.env["TOPICS"] ?? "example.shop"

export const goods = TableTopic.make({
  name: `${prefix}.goods`,
  key: Schema.String,
  value: Schema.Struct({ category: Schema.String, price: Schema.Finite })
})
export const stock = TableTopic.make({ name: `${prefix}.stock`, key: Schema.String, value: Schema.Int })
export const orders = TableTopic.make({
  name: `${prefix}.orders`,
  key: Schema.String,
  value: Schema.Struct({ article: Schema.String, count: Schema.Int })
})

/** An article as the price list shows it. */
export interface Line {
  readonly category: string
  readonly price: number
  readonly inStock: number
}

/** An order with what its article costs at present. */
export interface PricedOrder {
  readonly article: string
  readonly cost: number
}

type Derived<K, V> = Table.Table<K, V, TableError.ReaderError | TableError.DerivationFailed>

/** What the shop asks for, and nothing of where it comes from. */
export class Shop extends Context.Service<
  Shop,
  {
    readonly byCategory: Derived<string, HashMap.HashMap<string, Line>>
    readonly pricedOrders: Derived<string, PricedOrder>
  }
>()("price-list/Shop") {
  static readonly layer = Layer.effect(
    Shop,
    Effect.gen(function* () {
      const ensureTopic = { create: true }
      const articles = yield* KafkaTable.make(goods, { ensureTopic })
      const counts = yield* KafkaTable.make(stock, { ensureTopic })
      const open = yield* KafkaTable.make(orders, { ensureTopic })

      const lines = yield* articles.pipe(
        Table.leftJoin(counts, ({ category, price }, count): Line => ({
          category,
          price,
          inStock: Option.getOrElse(count, () => 0)
        }))
      )
      return {
        byCategory: yield* lines.pipe(Table.index(({ category }) => category)),
        // Both sides are live: a new price is in all open orders at once.
        pricedOrders: yield* open.pipe(
          Table.join(articles, ({ article, count }, { price }): PricedOrder => ({ article, cost: count * price }), {
            on: ({ article }) => article
          })
        )
      }
    })
  )
}

export class Goods extends KafkaTableWriter.Service<Goods>()("price-list/Goods", goods) {}
export class Stock extends KafkaTableWriter.Service<Stock>()("price-list/Stock", stock) {}
export class Orders extends KafkaTableWriter.Service<Orders>()("price-list/Orders", orders) {}

export const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})
