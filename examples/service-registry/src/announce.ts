/** `announce NAME HOST PORT`: a service that is in the registry for as long as it runs, however it ends. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { addressOf, HEARTBEAT, kafka, keyOf, ServicesWriter } from "./registry.ts"

const [name = "billing", host = "localhost", port = "8080"] = process.argv.slice(2)
const service = { name, host, port: Number(port) }

const announced = Effect.gen(function* () {
  const writer = yield* ServicesWriter
  // A tombstone is written when the process is asked to end; when it is killed, its heartbeats end.
  const presence = yield* writer.keepAlive(keyOf(service), service, { every: HEARTBEAT })
  yield* Console.log(`announced ${name} at ${addressOf(service)}`)
  // Fails when the registry takes no more heartbeats: better to end than to serve unlisted.
  return yield* presence.failure
})

announced.pipe(Effect.scoped, Effect.provide(ServicesWriter.layer.pipe(Layer.provide(kafka))), NodeRuntime.runMain)
