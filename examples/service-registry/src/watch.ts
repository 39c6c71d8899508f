/** Another process that knows every service that is up, and learns of each change. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, HashMap, Layer, Option, Stream } from "effect"
import { KafkaTable, Table } from "effect-ktables"
import { addressOf, kafka, Services, TTL } from "./registry.ts"

const program = Effect.gen(function* () {
  const entries = yield* KafkaTable.withMetadata(yield* Services)
  const recent = yield* entries.pipe(Table.expire({ ttl: TTL }))
  // Without their timestamps services do not change with each heartbeat.
  const live = yield* recent.pipe(Table.map(({ value }) => value))

  // The first change is a snapshot of what was there at the subscription: nothing falls in between.
  yield* live.changes.pipe(
    Stream.runForEach((change) => {
      switch (change._tag) {
        case "Snapshot": {
          const known = Array.from(HashMap.values(change.entries), (one) => `${one.name} at ${addressOf(one)}`)
          return Console.log(`${known.length} services: ${known.sort().join(", ")}`)
        }
        case "Set":
          return Option.isNone(change.previous)
            ? Console.log(`${change.value.name} came up at ${addressOf(change.value)}`)
            : Effect.void
        case "Deleted":
          return Console.log(`${change.previous.name} is gone from ${addressOf(change.previous)}`)
      }
    })
  )
})

program.pipe(Effect.scoped, Effect.provide(Layer.provide(Services.orNew, kafka)), NodeRuntime.runMain)
