/** Another process that knows every service, and learns of each change. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, HashMap, Layer, Option, Stream } from "effect"
import { kafka, type ServiceRecord, Services } from "./registry.ts"

const at = ({ host, port }: ServiceRecord) => `${host}:${port}`

const program = Effect.gen(function* () {
  const table = yield* Services
  // The first change is a snapshot of what was there at the subscription: nothing falls in between.
  yield* table.changes.pipe(
    Stream.runForEach((change) => {
      switch (change._tag) {
        case "Snapshot": {
          const known = HashMap.toEntries(change.entries).map(([name, service]) => `${name} at ${at(service)}`)
          return Console.log(`${known.length} services: ${known.sort().join(", ")}`)
        }
        case "Set":
          return Console.log(
            Option.isNone(change.previous)
              ? `${change.key} came up at ${at(change.value)}`
              : `${change.key} moved to ${at(change.value)}`
          )
        case "Deleted":
          return Console.log(`${change.key} is gone from ${at(change.previous)}`)
      }
    })
  )
})

program.pipe(Effect.provide(Layer.provide(Services.orNew, kafka)), NodeRuntime.runMain)
