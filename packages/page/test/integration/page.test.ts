/** The live page in a real browser, over tables on a real Kafka. */
import { TestKafka } from "@effect-ktables/testing"
import { assert, describe, layer } from "@effect/vitest"
import { Array, Effect, Schedule, Schema } from "effect"
import { KafkaTableWriter, TableTopic } from "effect-ktables"
import { type Locator, type Page } from "playwright-core"
import { start } from "../../../../examples/support/exampleProcess.ts"
import { Chromium, keepPicture, open } from "../support/chromium.ts"
import { environment } from "../support/onKafka.ts"

const serveFile = new URL("../support/serve.ts", import.meta.url)

const topicOf = (name: string) => TableTopic.make({ name, key: Schema.String, value: Schema.Json })

/** A server process of some topics, and where it is; at the port of one that was, if given. */
const serve = Effect.fnUntraced(function* (names: ReadonlyArray<string>, port = "0") {
  const { brokers } = yield* TestKafka.TestKafka
  const server = yield* start(serveFile, { args: [port, ...names], env: { KAFKA_BROKERS: brokers.join(",") } })
  const url = (yield* server.line(/^serving at /)).slice("serving at ".length)
  return { ...server, url, port: new URL(url).port }
})

const browse = <A>(run: () => Promise<A>): Effect.Effect<A> => Effect.promise(run)

const entry = (page: Page, key: string): Locator => page.getByRole("option").filter({ hasText: key })

const fact = (page: Page, label: string): Locator =>
  page
    .locator(".fact")
    .filter({ has: page.getByText(label, { exact: true }) })
    .locator("dd")

/** Waits until an element says something. */
const says = (locator: Locator, text: string | RegExp): Effect.Effect<void> =>
  browse(() => locator.filter({ hasText: text }).first().waitFor())

const gone = (locator: Locator): Effect.Effect<void> => browse(() => locator.waitFor({ state: "detached" }))

/** Milliseconds of processor time that the page's main thread has taken, whatever else the machine does. */
const mainThread = (page: Page): Effect.Effect<Effect.Effect<number>> =>
  browse(async () => {
    const session = await page.context().newCDPSession(page)
    await session.send("Performance.enable", { timeDomain: "threadTicks" })
    return browse(async () => {
      const { metrics } = await session.send("Performance.getMetrics")
      return 1000 * metrics.find(({ name }) => name === "TaskDuration")!.value
    })
  })

const service = (n: number) => ({ host: `10.0.0.${n}`, port: 8080 + n, healthy: true })

describe("the live page in Chromium", () => {
  layer(environment, { excludeTestServices: true, timeout: 600_000 })((it) => {
    it.effect("shows a table live: writers' changes are marked, new entries come, deleted ones fade", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("services")
        const writer = yield* KafkaTableWriter.make(topicOf(name))
        yield* writer.setAll(Array.range(1, 30).map((n) => [`eu-${n % 3}/service-${n}`, service(n)] as const))
        const server = yield* serve([name])
        const { complaints, page } = yield* open(yield* Chromium, server.url)

        yield* says(page.getByRole("heading", { level: 1 }), name)
        yield* says(page.getByRole("status"), "Connected")
        yield* says(fact(page, "Entries"), "30")
        yield* says(fact(page, "Lag"), "0")
        yield* says(entry(page, "eu-1/service-1"), "10.0.0.1")

        yield* writer.set("eu-1/service-1", { ...service(1), host: "10.9.9.9" })
        yield* browse(() => page.locator(".row.changed").filter({ hasText: "10.9.9.9" }).waitFor())
        yield* writer.set("eu-0/another", service(99))
        yield* browse(() => page.locator(".row.added").filter({ hasText: "eu-0/another" }).waitFor())
        yield* says(fact(page, "Entries"), "31")
        yield* writer.delete("eu-0/another")
        yield* browse(() => page.locator(".row.deleted").filter({ hasText: "eu-0/another" }).waitFor())
        yield* gone(entry(page, "eu-0/another"))
        yield* says(fact(page, "Entries"), "30")

        // Under a steady stream of writes the chart moves, and the page ends with what was written last.
        const last = 400
        const writes = Effect.forEach(Array.range(1, last), (n) =>
          Effect.andThen(writer.set(`eu-${n % 3}/service-${(n % 30) + 1}`, { n }), Effect.sleep("4 millis"))
        )
        yield* Effect.all(
          [writes, browse(() => page.locator(".chart .bar:not([height='0'])").nth(1).waitFor({ state: "attached" }))],
          { concurrency: 2 }
        )
        yield* says(entry(page, `eu-${last % 3}/service-${(last % 30) + 1}`), String(last))
        yield* keepPicture(page, "live")
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("filters by the beginning of the key and by text, while entries change", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("filter")
        const writer = yield* KafkaTableWriter.make(topicOf(name))
        yield* writer.setAll(Array.range(1, 90).map((n) => [`zone-${n % 3}/item-${n}`, { tag: `tag${n}` }] as const))
        const server = yield* serve([name])
        const { complaints, page } = yield* open(yield* Chromium, server.url)
        yield* says(fact(page, "Entries"), "90")

        yield* browse(() => page.keyboard.press("/"))
        yield* browse(() => page.keyboard.type("zone-2/"))
        yield* says(page.locator("output"), "30 of 90")
        assert.isTrue(
          (yield* browse(() => page.locator(".cell.key").allTextContents())).every((key) => key.startsWith("zone-2/"))
        )
        yield* writer.set("zone-2/new", { tag: "late" })
        yield* says(page.locator("output"), "31 of 91")
        yield* writer.set("zone-1/new", { tag: "late" })
        yield* says(page.locator("output"), "31 of 92")

        yield* browse(() => page.getByText("Text", { exact: true }).click())
        yield* browse(() => page.getByRole("textbox").fill("TAG7"))
        yield* says(page.locator("output"), "11 of 92")
        // A change of the value brings an entry in, and takes one out.
        yield* writer.set("zone-1/new", { tag: "tag777" })
        yield* says(page.locator("output"), "12 of 92")
        yield* writer.set("zone-1/item-7", { tag: "none" })
        yield* says(page.locator("output"), "11 of 92")

        yield* browse(() => page.getByRole("textbox").fill("no such text"))
        yield* says(page.getByRole("heading", { level: 2 }), "Nothing matches")
        yield* keepPicture(page, "nothing-matches")
        yield* browse(() => page.getByRole("button", { name: "Clear the filter" }).first().click())
        yield* says(entry(page, "zone-0/item-12"), "tag12")

        // The address says what is looked at.
        yield* browse(() => page.getByRole("textbox").fill("tag8"))
        yield* says(page.locator("output"), "11 of 92")
        yield* browse(() => page.reload())
        yield* says(page.locator("output"), "11 of 92")
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("an entry's detail has its value, its history from the log, and what each change changed", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("detail")
        const writer = yield* KafkaTableWriter.make(topicOf(name))
        yield* writer.set("a", service(1))
        yield* writer.set("b", "text\nin two lines")
        yield* writer.set("a", { ...service(1), port: 7000 }, { headers: [{ key: "by", value: "ann" }] })
        const server = yield* serve([name])
        const { complaints, page } = yield* open(yield* Chromium, server.url)
        const detail = page.getByRole("complementary", { name: "Detail" })
        const versions = detail.getByRole("listitem")
        yield* browse(() => entry(page, "10.0.0.1").click())
        yield* says(detail.getByLabel("Value as JSON"), /"host": "10\.0\.0\.1",\s+"port": 7000/)
        // What was written before the page was there is read from the log.
        yield* says(detail, "That is all that was ever written of it.")
        assert.strictEqual(yield* browse(() => versions.count()), 2)
        yield* says(detail.locator(".difference .removed"), '"port": 8081')
        yield* says(detail.locator(".difference .added"), '"port": 7000')
        yield* says(detail.locator(".record"), "offset 2")
        yield* says(detail.locator(".record"), "by: ann")

        yield* writer.set("a", { ...service(1), port: 9000 })
        yield* says(detail.locator(".difference .added"), '"port": 9000')
        yield* writer.set("a", { ...service(1), port: 9000, healthy: false })
        yield* says(detail.locator(".difference .added"), '"healthy": false')
        // The earlier change is there still, and opens.
        yield* says(detail.locator(".summary"), "port 7000 → 9000")
        yield* browse(() => detail.getByRole("button", { name: /port 7000/ }).click())
        yield* says(detail.locator(".difference .added"), '"port": 9000')
        assert.strictEqual(yield* browse(() => versions.count()), 4)
        yield* keepPicture(page, "detail")

        yield* writer.delete("a")
        yield* says(detail.locator(".tag.deleted"), "deleted")
        yield* says(detail.getByLabel("Value as JSON"), '"healthy": false')
        // A page that was not there for all that reads the same.
        yield* browse(() => page.reload())
        yield* says(detail, "That is all that was ever written of it.")
        assert.deepStrictEqual(
          (yield* browse(() => detail.locator(".when").allTextContents())).map((text) => text.split(" ")[0]),
          ["Deleted", "Changed", "Changed", "Changed", "Added"]
        )
        yield* writer.set("b", "another text")
        yield* says(entry(page, "b"), "another text")
        yield* browse(() => page.keyboard.press("Escape"))
        yield* says(detail, "Latest changes")
        yield* says(detail.getByRole("listitem"), "another text")
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("the history has each change once, also of an entry that changes while the log is read for it", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("steady")
        const writer = yield* KafkaTableWriter.make(topicOf(name))
        yield* writer.set("other", 0)
        yield* writer.set("n", 1)
        const server = yield* serve([name])
        const { complaints, page } = yield* open(yield* Chromium, server.url)
        const detail = page.getByRole("complementary", { name: "Detail" })
        const writes = Effect.forEach(Array.range(2, 45), (n) =>
          Effect.andThen(writer.set("n", n), Effect.sleep("30 millis"))
        )
        const looks = Effect.forEach(Array.range(1, 4), () =>
          Effect.gen(function* () {
            yield* browse(() => entry(page, "other").click())
            yield* says(detail.locator(".entry-key"), "other")
            yield* browse(() => entry(page, "n").first().click())
            yield* says(detail, "That is all that was ever written of it.")
          })
        )
        yield* browse(() => page.locator(".row .key").filter({ hasText: /^n$/ }).waitFor())
        yield* Effect.all([writes, looks], { concurrency: 2 })
        yield* says(detail.getByLabel("Value as JSON"), "45")
        const shown = yield* browse(() => detail.locator(".summary").allTextContents())
        assert.deepStrictEqual(shown, [
          ...Array.range(1, 43)
            .map((n) => `${n} → ${n + 1}`)
            .toReversed(),
          "1"
        ])
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("a killed server shows at once, and when it is there again the page has what it missed", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("killed")
        const writer = yield* KafkaTableWriter.make(topicOf(name))
        yield* writer.setAll(Array.range(1, 50).map((n) => [`k${n}`, n] as const))
        const server = yield* serve([name])
        const { complaints, page } = yield* open(yield* Chromium, server.url)
        yield* says(fact(page, "Entries"), "50")
        yield* server.kill
        const alert = page.getByRole("alert")
        yield* says(alert, "Disconnected")
        yield* says(page.getByRole("status"), "Disconnected")
        yield* says(page.locator(".pill"), "Not live")
        // What it has stays to be read.
        yield* says(entry(page, "k17"), "17")
        yield* keepPicture(page, "disconnected")
        yield* writer.set("k17", "written meanwhile")
        yield* writer.delete("k18")
        yield* serve([name], server.port)
        yield* gone(alert)
        yield* says(page.getByRole("status"), "Connected")
        yield* says(entry(page, "k17"), "written meanwhile")
        yield* gone(entry(page, "k18"))
        yield* says(fact(page, "Entries"), "49")
        // It follows again.
        yield* writer.set("k19", "written after")
        yield* says(entry(page, "k19"), "written after")
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("100,000 entries are scrolled through, and filtered, without a stall", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("large")
        const writer = yield* KafkaTableWriter.make(topicOf(name))
        const keyOf = (n: number) => `order-${String(n).padStart(6, "0")}`
        yield* Effect.forEach(Array.chunksOf(Array.range(0, 99_999), 5000), (chunk) =>
          writer.setAll(chunk.map((n) => [keyOf(n), { customer: `c${n % 977}`, count: n }] as const))
        )
        const server = yield* serve([name])
        const { complaints, page } = yield* open(yield* Chromium, server.url)
        yield* says(fact(page, "Entries"), "100,000")
        yield* gone(page.getByRole("progressbar"))
        // Writers go on while the person scrolls.
        yield* Effect.forkScoped(
          Effect.repeat(
            Effect.suspend(() => {
              const n = Math.floor(Math.random() * 100_000)
              return writer.set(keyOf(n), { customer: `c${n % 977}`, count: -1 })
            }),
            Schedule.spaced("10 millis")
          )
        )
        const work = yield* mainThread(page)
        const steps: Array<number> = []
        let most = { rows: 0, elements: 0 }
        for (let step = 0; step <= 200; step++) {
          const before = yield* work
          const drawn = yield* browse(() =>
            page.evaluate(async (share) => {
              const list = document.querySelector("#entries")!
              list.scrollTop = (list.scrollHeight - list.clientHeight) * share
              // One frame draws the rows, and the next one begins when that is done.
              for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame)
              return { rows: list.querySelectorAll(".row").length, elements: document.querySelectorAll("*").length }
            }, step / 200)
          )
          steps.push((yield* work) - before)
          most = { rows: Math.max(most.rows, drawn.rows), elements: Math.max(most.elements, drawn.elements) }
        }
        // Only what can be seen is made: a step costs the same wherever the list is, and no step costs much more than another.
        steps.sort((a, b) => a - b)
        const told = `ms of a step: ${steps[100]!.toFixed(1)} in the middle, ${steps
          .slice(-5)
          .map((ms) => ms.toFixed(0))
          .join(", ")} at most`
        yield* Effect.logInfo(told)
        assert.isBelow(most.rows, 80)
        assert.isBelow(most.elements, 2000)
        assert.isBelow(steps[100]!, 40, told)
        assert.isBelow(steps[198]!, 150, told)
        yield* says(entry(page, keyOf(99_999)), "order-099999")

        yield* browse(() => page.getByText("Text", { exact: true }).click())
        yield* browse(() => page.getByRole("textbox").fill("c976"))
        yield* says(page.locator("output"), "102 of 100,000")
        yield* browse(() => page.getByText("Prefix", { exact: true }).click())
        yield* browse(() => page.getByRole("textbox").fill("order-0123"))
        yield* says(page.locator("output"), "100 of 100,000")
        yield* keepPicture(page, "large")
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("everything is reached by keyboard, and has a name for screen readers", () =>
      Effect.gen(function* () {
        const [first, second] = [yield* TestKafka.uniqueName("keys-a"), yield* TestKafka.uniqueName("keys-b")]
        const writer = yield* KafkaTableWriter.make(topicOf(first))
        yield* writer.setAll(Array.range(10, 99).map((n) => [`k${n}`, n] as const))
        const server = yield* serve([first, second])
        const { complaints, page } = yield* open(yield* Chromium, server.url)
        const chosen = page.getByRole("option", { selected: true })
        const press = (...keys: ReadonlyArray<string>) =>
          Effect.forEach(keys, (key) => browse(() => page.keyboard.press(key)))
        yield* says(fact(page, "Entries"), "90")

        yield* press("ArrowDown", "ArrowDown")
        yield* says(chosen, "k11")
        yield* press("ArrowUp")
        yield* says(chosen, "k10")
        yield* press("End")
        yield* says(chosen, "k99")
        yield* press("PageUp", "Home")
        yield* says(chosen, "k10")
        yield* press("Enter")
        yield* says(page.getByRole("complementary", { name: "Detail" }), "k10")
        assert.strictEqual(
          yield* browse(() => page.getByRole("listbox", { name: "Entries" }).getAttribute("aria-activedescendant")),
          yield* browse(() => chosen.getAttribute("id"))
        )
        assert.deepStrictEqual(
          yield* browse(async () => [
            await chosen.getAttribute("aria-posinset"),
            await chosen.getAttribute("aria-setsize")
          ]),
          ["1", "90"]
        )

        yield* press("/")
        yield* browse(() => page.keyboard.type("k3"))
        yield* says(page.locator("output"), "10 of 90")
        yield* press("ArrowDown")
        yield* says(chosen, "k30")
        yield* press("Escape")
        yield* browse(() => page.locator("[aria-setsize='90']").first().waitFor())
        yield* press("Escape", "]")
        yield* says(page.getByRole("heading", { level: 1 }), second)
        yield* says(page.getByRole("heading", { level: 2 }), "No entries yet")
        yield* press("[")
        yield* says(page.getByRole("heading", { level: 1 }), first)
        yield* press("?")
        yield* browse(() => page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor())
        yield* press("Escape")
        yield* browse(() => page.getByRole("dialog").waitFor({ state: "hidden" }))

        // Nothing that can be operated goes without a name.
        const nameless = yield* browse(() =>
          page.evaluate(() =>
            [...document.querySelectorAll("button, input, [role]:not([role=presentation])")]
              .filter((element) => {
                const label = element.getAttribute("aria-label") ?? element.closest("label")?.textContent
                return (label ?? element.textContent ?? "").trim() === ""
              })
              .map((element) => element.outerHTML.slice(0, 80))
          )
        )
        assert.deepStrictEqual(nameless, [])
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("where the detail covers the list, the focus goes into it, stays there, and comes back", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("focus")
        const writer = yield* KafkaTableWriter.make(topicOf(name))
        yield* writer.setAll(Array.range(10, 30).map((n) => [`k${n}`, n] as const))
        const server = yield* serve([name])
        const { complaints, page } = yield* open(yield* Chromium, server.url, {
          viewport: { width: 390, height: 844 },
          reducedMotion: "reduce"
        })
        const focused = () => browse(() => page.evaluate(() => document.activeElement?.id ?? ""))
        const isFocused = (id: string) => browse(() => page.locator(`#${id}:focus`).waitFor())
        yield* says(fact(page, "Entries"), "21")
        yield* browse(() => entry(page, "k12").click())
        yield* isFocused("detail-title")
        const dialog = page.getByRole("dialog", { name: "Detail" })
        yield* says(dialog.locator(".entry-key"), "k12")
        // Nothing under it is reached, by the keyboard or by a screen reader.
        for (let i = 0; i < 12; i++) {
          yield* browse(() => page.keyboard.press("Tab"))
          const isInside = yield* browse(() =>
            page.evaluate(
              () => document.activeElement === document.body || document.activeElement!.closest(".detail") !== null
            )
          )
          assert.isTrue(isInside, yield* focused())
        }
        assert.strictEqual(yield* browse(() => page.locator("nav[inert], main[inert]").count()), 2)
        yield* browse(() => page.keyboard.press("Escape"))
        yield* browse(() => dialog.waitFor({ state: "hidden" }))
        yield* isFocused("entries")
        // By the keyboard alone.
        yield* browse(() => page.keyboard.press("ArrowDown"))
        yield* browse(() => page.keyboard.press("Enter"))
        yield* says(dialog.locator(".entry-key"), "k13")
        yield* isFocused("detail-title")
        yield* browse(() => page.getByRole("button", { name: "Close the entry" }).click())
        yield* isFocused("entries")
        // Who asks for less motion sees a mark in place of it.
        yield* writer.set("k12", 120)
        yield* browse(() => page.locator(".row.changed").filter({ hasText: "120" }).waitFor())
        assert.deepStrictEqual(
          yield* browse(() => page.evaluate(() => document.getAnimations().map((one) => String(one)))),
          []
        )
        assert.deepStrictEqual(complaints, [])
      }).pipe(Effect.scoped)
    )

    it.effect("it follows the system's light and dark, and fits a telephone", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("looks")
        const writer = yield* KafkaTableWriter.make(topicOf(name))
        yield* writer.setAll(Array.range(1, 60).map((n) => [`eu-${n % 3}/service-${n}`, service(n)] as const))
        const server = yield* serve([name])
        const browser = yield* Chromium
        const brightness = (page: Page) =>
          browse(() =>
            page.evaluate(() => {
              const canvas = document.createElement("canvas").getContext("2d")!
              canvas.fillStyle = getComputedStyle(document.body).backgroundColor
              canvas.fillRect(0, 0, 1, 1)
              const [red = 0, green = 0, blue = 0] = canvas.getImageData(0, 0, 1, 1).data
              return (red + green + blue) / 3
            })
          )
        const telephone = { width: 390, height: 844 }
        const sizes = [{ width: 1440, height: 900 }, { width: 1000, height: 700 }, telephone]
        for (const colorScheme of ["light", "dark"] as const) {
          for (const viewport of sizes) {
            const { complaints, page } = yield* open(browser, server.url, { colorScheme, viewport })
            yield* says(fact(page, "Entries"), "60")
            const bright = yield* brightness(page)
            if (colorScheme === "light") assert.isAbove(bright, 200)
            else assert.isBelow(bright, 60)
            yield* keepPicture(page, `${colorScheme}-${viewport.width}`)
            // Nothing is wider than the window.
            const width = yield* browse(() => page.evaluate(() => document.documentElement.scrollWidth))
            assert.isAtMost(width, viewport.width)
            yield* browse(() => entry(page, "eu-0/service-12").click())
            // Where there is no room beside the list it covers it.
            const isCovered = viewport !== sizes[0]
            const detail = page.getByRole(isCovered ? "dialog" : "complementary", { name: "Detail" })
            yield* says(detail.getByLabel("Value as JSON"), "10.0.0.12")
            yield* says(detail, "That is all that was ever written of it.")
            yield* keepPicture(page, `${colorScheme}-${viewport.width}-detail`)
            yield* browse(() => page.getByRole("button", { name: "Close the entry" }).click())
            if (isCovered) yield* browse(() => detail.waitFor({ state: "hidden" }))
            assert.deepStrictEqual(complaints, [])
          }
        }
      }).pipe(Effect.scoped)
    )
  })
})
