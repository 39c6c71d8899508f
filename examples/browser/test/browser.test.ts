/** The three programs in a real browser, over a table on a real Kafka. */
import { TestKafka } from "@effect-ktables/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { KafkaTableWriter } from "effect-ktables"
import type { Page, Route } from "playwright-core"
import { Chromium, open } from "../../../packages/page/test/support/chromium.ts"
import { environment } from "../../../packages/page/test/support/onKafka.ts"
import { start } from "../../support/exampleProcess.ts"
import { stockOf } from "../src/stock.ts"

const main = new URL("../src/main.ts", import.meta.url)

/** A program of the example: its page, its topic's writer, and its server, to be killed and started again. */
const opened = Effect.fnUntraced(function* (program: string) {
  const { brokers } = yield* TestKafka.TestKafka
  const topic = yield* TestKafka.uniqueName("stock")
  const writer = yield* KafkaTableWriter.make(stockOf(topic))
  yield* writer.setAll([["apple", { left: 7 }], ["pear", { left: 6 }]]) // prettier-ignore
  const serve = Effect.fnUntraced(function* (port: string) {
    const server = yield* start(main, {
      args: [program],
      env: { KAFKA_BROKERS: brokers.join(","), TOPIC: topic, PORT: port }
    })
    const url = /http:\S+/.exec(yield* server.line(/ at http:/))![0]
    return { ...server, url }
  })
  const server = yield* serve("0")
  const { complaints, page } = yield* open(yield* Chromium, server.url)
  const restarted = Effect.suspend(() => serve(new URL(server.url).port))
  return { complaints, page, restarted, server, writer }
})

/** Waits until the page shows these lines. */
const shows = (page: Page, ...lines: ReadonlyArray<string>): Effect.Effect<void> =>
  Effect.promise(async () => {
    await page.waitForFunction(
      (expected) =>
        Array.from(document.querySelectorAll("li"), (item) => item.firstChild!.textContent).join("|") === expected,
      lines.join("|")
    )
  })

const says = (page: Page, text: string): Effect.Effect<void> =>
  Effect.promise(() => page.locator("output").filter({ hasText: text }).waitFor())

describe("in Chromium", () => {
  layer(environment, { excludeTestServices: true, timeout: 600_000 })((it) => {
    it.effect("a copy shows the table and what is derived from it, follows a writer, and heals after a restart", () =>
      Effect.gen(function* () {
        const { complaints, page, restarted, server, writer } = yield* opened("remote")
        yield* shows(page, "apple: 7", "pear: 6")
        yield* says(page, "live")
        yield* writer.set("pear", { left: 4 })
        yield* shows(page, "apple: 7", "pear: 4, order more")
        yield* writer.delete("apple")
        yield* shows(page, "pear: 4, order more")
        yield* server.kill
        yield* says(page, "may be behind")
        yield* shows(page, "pear: 4, order more")
        yield* writer.set("plum", { left: 9 })
        yield* restarted
        yield* shows(page, "pear: 4, order more", "plum: 9")
        yield* says(page, "live")
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("a collection shows a sale at once, keeps one that is acknowledged, and takes back one that failed", () =>
      Effect.gen(function* () {
        const { complaints, page, restarted, server, writer } = yield* opened("collection")
        yield* shows(page, "apple: 7", "pear: 6")
        const sell = Effect.promise(() => page.getByRole("button").first().click())

        // Writes wait here, so that what is seen before is ahead of the table.
        const writes = yield* Queue.unbounded<Route>()
        yield* Effect.promise(() => page.route(/\/entries\?key=/, (route) => void Queue.offerUnsafe(writes, route)))

        yield* sell
        yield* shows(page, "apple: 6", "pear: 6")
        yield* says(page, "apple: selling")
        const sold = yield* Queue.take(writes)
        // A collection shows what others write once none of its own writes is under way.
        yield* writer.set("pear", { left: 5 })
        yield* Effect.promise(() => sold.continue())
        yield* says(page, "apple: sold")
        yield* shows(page, "apple: 6", "pear: 5")

        yield* sell
        yield* shows(page, "apple: 5", "pear: 5")
        const refused = yield* Queue.take(writes)
        yield* Effect.promise(() => refused.fulfill({ status: 422, json: { message: "apples are not for sale" } }))
        yield* says(page, "apples are not for sale")
        yield* shows(page, "apple: 6", "pear: 5")

        yield* sell
        yield* shows(page, "apple: 5", "pear: 5")
        const lost = yield* Queue.take(writes)
        yield* server.kill
        yield* Effect.promise(() => lost.continue())
        yield* says(page, "apple: not sold")
        yield* shows(page, "apple: 6", "pear: 5")
        yield* writer.set("pear", { left: 4 })
        yield* restarted
        yield* shows(page, "apple: 6", "pear: 4")
        yield* Effect.promise(() => page.unrouteAll())
        yield* sell
        yield* says(page, "apple: sold")
        yield* shows(page, "apple: 5", "pear: 4")
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("atoms show their keys, follow a writer, and go on after a restart", () =>
      Effect.gen(function* () {
        const { complaints, page, restarted, server, writer } = yield* opened("atoms")
        yield* shows(page, "apple: 7", "pear: 6")
        yield* says(page, "CaughtUp")
        yield* writer.delete("apple")
        yield* shows(page, "apple: none", "pear: 6")
        yield* server.kill
        yield* writer.set("apple", { left: 1 })
        yield* restarted
        yield* shows(page, "apple: 1", "pear: 6")
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )
  })
})
