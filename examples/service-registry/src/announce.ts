/** `announce NAME HOST PORT`: a service that is in the registry for as long as it runs. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { kafka, ServiceRecord, ServicesWriter } from "./registry.ts"

const [name = "billing", host = "localhost", port = "8080"] = process.argv.slice(2)

// No heartbeats: the record stands until the tombstone, which is written however the process is asked to end.
const announced = Effect.acquireRelease(
  Effect.gen(function* () {
    const writer = yield* ServicesWriter
    yield* writer.set(name, new ServiceRecord({ host, port: Number(port) }))
    yield* Console.log(`announced ${name} at ${host}:${port}`)
    return writer
  }),
  (writer) =>
    writer.delete(name).pipe(
      Effect.andThen(Console.log(`withdrew ${name}`)),
      Effect.catch((error) => Effect.logError(`${name} is still announced: ${error.message}`))
    )
)

Layer.effectDiscard(announced).pipe(
  Layer.provide(ServicesWriter.layer),
  Layer.provide(kafka),
  Layer.launch,
  NodeRuntime.runMain
)
