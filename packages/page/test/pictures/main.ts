/**
 * Makes the pictures of the README: the page in Chromium, and `ktables watch` on a pseudo-terminal, both of one topic on a real
 * Kafka whose services are changed for a minute: `pnpm pictures`.
 */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { TestKafka } from "@effect-ktables/testing"
import * as TableHttp from "@effect-ktables/http/TableHttp"
import * as TableServer from "@effect-ktables/http/TableServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Context, Effect, Layer, Schedule, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, Table, TableTopic } from "effect-ktables"
import { HttpServer } from "effect/http"
import * as NetAddress from "effect/net/NetAddress"
import { writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { start } from "../../../cli/test/support/ktables.ts"
import { launch, open } from "../support/chromium.ts"
import { pictureOf } from "./terminal.ts"

const folder = fileURLToPath(new URL("../../../../docs/images/", import.meta.url))

interface Service {
  readonly version: string
  readonly healthy: boolean
  readonly host: string
}

const topicOf = (name: string) =>
  TableTopic.make({
    name,
    key: Schema.String,
    value: Schema.Struct({
      version: Schema.String,
      healthy: Schema.Boolean,
      host: Schema.String
    })
  })

const names = [
  "accounts",
  "billing",
  "catalog",
  "checkout",
  "identity",
  "ledger",
  "mailer",
  "orders",
  "pricing",
  "search"
]
const regions = ["eu-west", "us-east", "ap-south"]

const keys = regions.flatMap((region) => names.map((name) => `${region}/${name}`))

const first = (i: number): Service => ({
  version: `2.${(i * 7) % 13}.0`,
  healthy: true,
  host: `10.${Math.floor(i / 10) + 4}.0.${(i % 10) + 11}:8080`
})

/** The same choices in every run. */
const randomOf = (seed: number) => {
  let state = seed
  return (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return Math.floor((state / 0x80000000) * below)
  }
}

const shown = "eu-west/billing"

const program = Effect.gen(function* () {
  const { brokers } = yield* TestKafka.TestKafka
  const topic = topicOf("services")
  const writer = yield* KafkaTableWriter.make(topic)
  const services = new Map(keys.map((key, i) => [key, first(i)]))
  const by = (who: string) => ({ headers: [{ key: "by", value: who }] })
  yield* Effect.forEach(services, ([key, service]) => writer.set(key, service, by("terraform")), { discard: true })
  const table = yield* KafkaTable.make(topic)
  const unhealthy = yield* table.pipe(Table.filter(({ healthy }) => !healthy))
  const server = yield* Layer.build(
    TableServer.layer({
      tables: [
        TableHttp.served(topic, table, { history: (key) => KafkaTable.history(topic, key) }),
        TableHttp.served(topicOf("unhealthy"), unhealthy)
      ],
      port: 0
    })
  )
  const url = NetAddress.formatUrlUnsafe(Context.get(server, HttpServer.HttpServer).address)
  const browser = yield* launch
  const looks = yield* Effect.forEach(["light", "dark"] as const, (colorScheme) =>
    Effect.map(
      open(browser, `${url}/#table=services&key=${encodeURIComponent(shown)}`, {
        colorScheme,
        viewport: { width: 1280, height: 760 }
      }),
      ({ page }) => ({ colorScheme, page })
    )
  )

  const random = randomOf(7)
  const change = (key: string, isToggled = random(4) === 0) =>
    Effect.suspend(() => {
      const now = services.get(key)!
      const [major, minor, patch] = now.version.split(".").map(Number)
      const next = isToggled
        ? { ...now, healthy: !now.healthy }
        : { ...now, version: `${major}.${minor}.${patch! + 1}` }
      services.set(key, next)
      return writer.set(key, next, by(isToggled ? "health-check" : "deploy"))
    })
  const others = keys.filter((key) => key !== shown)
  const burst = Effect.suspend(() =>
    Effect.forEach(
      Array.from({ length: random(4) }, () => others[random(others.length)]!),
      (key) => change(key),
      { discard: true }
    )
  )
  yield* Effect.forkScoped(Effect.repeat(burst, Schedule.spaced("700 millis")))
  // Down and up again.
  yield* Effect.forkScoped(Effect.repeat(change(shown, true), { schedule: Schedule.spaced("25 seconds"), times: 1 }))
  const terminal = yield* start(["watch", "services", "--brokers", brokers.join(",")], {
    terminal: true,
    env: { TERM: "xterm-256color" }
  })
  yield* terminal.until((stdout) => stdout.includes("billing"))
  // The chart is of the last minute.
  yield* Effect.sleep("62 seconds")
  const release = { ...services.get(shown)!, version: "3.0.0", healthy: true }
  yield* writer.set(shown, release, by("deploy"))
  yield* terminal.until((stdout) => stdout.includes("3.0.0"))
  yield* Effect.forEach(looks, ({ colorScheme, page }) =>
    Effect.promise(async () => {
      await page.locator(".difference").filter({ hasText: "3.0.0" }).waitFor()
      await page.screenshot({ path: `${folder}page-${colorScheme}.png` })
    })
  )
  for (const [name, svg] of pictureOf(terminal.stdout(), "ktables watch services")) {
    writeFileSync(`${folder}terminal-${name}.svg`, svg)
  }
}).pipe(Effect.scoped)

program.pipe(
  Effect.provide(
    Layer.unwrap(Effect.map(TestKafka.TestKafka, ({ brokers }) => KafkaJsClient.layer({ brokers: [...brokers] }))).pipe(
      Layer.provideMerge(TestKafka.layer)
    )
  ),
  NodeRuntime.runMain
)
