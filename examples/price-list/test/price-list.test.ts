import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { start } from "../../support/exampleProcess.ts"

const main = new URL("../src/main.ts", import.meta.url)
const past = new URL("../src/past.ts", import.meta.url)
const set = new URL("../src/set.ts", import.meta.url)
const till = new URL("../src/till.ts", import.meta.url)

layer(TestKafka.layer, { excludeTestServices: true })("price list", (it) => {
  it.effect("stock, goods and orders that others write show in the list and in the costs of orders", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(","), TOPICS: yield* TestKafka.uniqueName("shop") }
      const write = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
        const setter = yield* start(set, { args: [...args], env })
        yield* setter.line(/ is written at offset \d+$/)
        assert.strictEqual(yield* setter.exitCode, 0)
      })

      yield* write("goods", "apple", "fruit", "2")
      const shop = yield* start(main, { args: ["fruit"], env })
      yield* shop.line(/^fruit: apple 2 \(0 in stock\)$/)
      yield* write("stock", "apple", "40")
      yield* shop.line(/^fruit: apple 2 \(40 in stock\)$/)
      yield* write("orders", "order-1", "apple", "3")
      yield* shop.line(/^order-1: apple, 6$/)
      yield* write("goods", "apple", "fruit", "2.5")
      yield* shop.line(/^fruit: apple 2\.5 \(40 in stock\)$/)
      yield* shop.line(/^order-1: apple, 7\.5$/)
    }).pipe(Effect.scoped)
  )

  it.effect("what a price was, and who changed it, is told from the log", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(","), TOPICS: yield* TestKafka.uniqueName("shop") }
      const write = Effect.fnUntraced(function* (BY: string, ...args: ReadonlyArray<string>) {
        const setter = yield* start(set, { args: ["goods", ...args], env: { ...env, BY } })
        yield* setter.line(/ is written at offset \d+$/)
        assert.strictEqual(yield* setter.exitCode, 0)
        return new Date()
      })
      const before = yield* write("ann", "apple", "fruit", "2")
      yield* write("bob", "apple", "fruit", "3")
      const teller = yield* start(past, { args: ["apple", before.toISOString()], env })
      assert.strictEqual(yield* teller.exitCode, 0)
      const lines = teller.lines("stdout").filter((line) => !line.includes(" INFO "))
      assert.deepStrictEqual(lines.slice(0, 2), ["apple cost 2", "changed since: apple"])
      assert.deepStrictEqual(
        lines.slice(2).map((line) => line.replace(/^\S+T\S+Z /, "")),
        ["set to 2 by ann", "set to 3 by bob", "that is all since the beginning"]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("orders are sold at the price of the moment, which a price that was set before them is a part of", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const env = { KAFKA_BROKERS: brokers.join(","), TOPICS: yield* TestKafka.uniqueName("shop") }
      const shop = yield* start(till, { env })
      yield* shop.line(/^open$/)
      yield* shop.say("sell apple 1")
      yield* shop.line(/^apple is not for sale$/)
      const prices = Array.from({ length: 10 }, (_, n) => n + 1)
      for (const price of prices) {
        yield* shop.say(`price apple fruit ${price}`)
        yield* shop.say("sell apple 2")
      }
      yield* shop.line(/^2 apple: 20$/)
      assert.deepStrictEqual(
        shop.lines("stdout").filter((line) => line.startsWith("2 apple")),
        prices.map((price) => `2 apple: ${2 * price}`)
      )
    }).pipe(Effect.scoped)
  )
})
