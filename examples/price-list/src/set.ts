/** `set goods apple fruit 1.2`, `set stock apple 40`, `set orders order-1 apple 3`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { Goods, kafka, Orders, Stock } from "./shop.ts"

const [what, key = "", first = "", second = "0"] = process.argv.slice(2)

/** Who changes it: `past` tells it later. */
const by = { key: "by", value: process.env["BY"] ?? "somebody" }

const write = Effect.gen(function* () {
  switch (what) {
    case "goods":
      return yield* (yield* Goods).set(key, { category: first, price: Number(second) }, { headers: [by] })
    case "stock":
      return yield* (yield* Stock).set(key, Number(first))
    default:
      return yield* (yield* Orders).set(key, { article: first, count: Number(second) })
  }
})

write.pipe(
  Effect.flatMap(({ offset }) => Console.log(`${key} is written at offset ${offset}`)),
  Effect.provide(Layer.provide(Layer.mergeAll(Goods.layer, Stock.layer, Orders.layer), kafka)),
  NodeRuntime.runMain
)
