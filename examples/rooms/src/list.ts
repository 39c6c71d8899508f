/** Prints all rooms in which somebody is. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { kafka, Rooms, shown } from "./rooms.ts"

const program = Effect.gen(function* () {
  const { view } = yield* Rooms
  for (const room of view.groups().toSorted()) yield* Console.log(shown(room, view.members(room)))
})

program.pipe(Effect.provide(Layer.provide(Rooms.created, kafka)), NodeRuntime.runMain)
