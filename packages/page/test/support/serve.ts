/** Serves topics at a port, as a process that a test can kill: `serve.ts PORT TOPIC…`, with brokers in `KAFKA_BROKERS`. */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import * as TableHttp from "@effect-ktables/http/TableHttp"
import * as TableServer from "@effect-ktables/http/TableServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Schema } from "effect"
import { HttpServer } from "effect/http"
import * as NetAddress from "effect/net/NetAddress"
import { KafkaTable, TableTopic } from "effect-ktables"

const [port = "0", ...names] = process.argv.slice(2)

const server = Effect.gen(function* () {
  const tables = yield* Effect.forEach(names, (name) => {
    const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Json })
    return Effect.map(KafkaTable.make(topic, { ensureTopic: { create: true } }), (table) =>
      TableHttp.served(topic, table, { history: (key) => KafkaTable.history(topic, key) })
    )
  })
  return TableServer.layer({ tables, port: Number(port), keepAlive: "1 second" })
})

const told = Layer.effectDiscard(
  Effect.flatMap(HttpServer.HttpServer, ({ address }) =>
    Console.log(`serving at ${NetAddress.formatUrlUnsafe(address)}`)
  )
)

told.pipe(
  Layer.provide(Layer.unwrap(server)),
  Layer.provide(KafkaJsClient.layer({ brokers: (process.env["KAFKA_BROKERS"] ?? "").split(",") })),
  Layer.launch,
  NodeRuntime.runMain
)
