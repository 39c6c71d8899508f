/** Prints the price list of a category and every order with its cost, whenever one of them changes. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, HashMap, Layer, Option, Stream } from "effect"
import { kafka, Shop } from "./shop.ts"

const [category = "fruit"] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const { byCategory, pricedOrders } = yield* Shop

  const list = byCategory.watch(category).pipe(
    Stream.runForEach((found) => {
      const lines = Array.from(
        Option.getOrElse(found, () => HashMap.empty()),
        ([article, { inStock, price }]) => `${article} ${price} (${inStock} in stock)`
      )
      return Console.log(`${category}: ${lines.sort().join(", ") || "nothing"}`)
    })
  )
  const costs = pricedOrders.changes.pipe(
    Stream.runForEach((change) =>
      change._tag === "Set" ? Console.log(`${change.key}: ${change.value.article}, ${change.value.cost}`) : Effect.void
    )
  )
  yield* Effect.all([list, costs], { concurrency: "unbounded" })
})

program.pipe(Effect.provide(Layer.provide(Shop.layer, kafka)), NodeRuntime.runMain)
