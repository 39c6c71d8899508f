/** `start remote|collection|atoms`: a server of one table, and the page that shows it by that program. */
import * as TableHttp from "@effect-ktables/http/TableHttp"
import * as TableServer from "@effect-ktables/http/TableServer"
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Config, Console, Effect, Layer } from "effect"
import { HttpServer, HttpServerResponse } from "effect/http"
import * as NetAddress from "effect/net/NetAddress"
import { KafkaTable, KafkaTableWriter } from "effect-ktables"
import { build } from "esbuild"
import { stockOf } from "./stock.ts"

const [program = "remote"] = process.argv.slice(2)

/** The program and all that it imports as one script: any bundler will do. */
const bundled = Effect.promise(async () => {
  const { outputFiles } = await build({
    entryPoints: [`${import.meta.dirname}/${program}.ts`],
    bundle: true,
    minify: true,
    write: false,
    platform: "browser",
    format: "esm",
    // The sources of this workspace. Programs elsewhere have the built packages, and leave this out.
    conditions: ["source"]
  })
  return outputFiles[0]!.text.replaceAll("</script", "<\\/script")
})

const server = Effect.gen(function* () {
  const topic = stockOf(yield* Config.String("TOPIC").pipe(Config.withDefault("example.stock")))
  const table = yield* KafkaTable.make(topic, { ensureTopic: { create: true } })
  const writer = yield* KafkaTableWriter.make(topic)
  const script = yield* bundled
  return TableServer.layer({
    tables: [TableHttp.served(topic, table, { name: "stock", writer })],
    port: yield* Config.Int("PORT").pipe(Config.withDefault(4180)),
    page: HttpServerResponse.text(
      `<!doctype html><title>stock</title><output></output><ul></ul><script type="module">${script}</script>`,
      { contentType: "text/html; charset=utf-8" }
    )
  })
})

const told = Layer.effectDiscard(
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Console.log(`${program} at ${NetAddress.formatUrlUnsafe(address)}`)
  )
)

const kafka = KafkaJsClient.layerConfig({
  brokers: Config.String("KAFKA_BROKERS").pipe(Config.withDefault("localhost:9092"))
})

told.pipe(Layer.provide(Layer.unwrap(server)), Layer.provide(kafka), Layer.launch, NodeRuntime.runMain)
