/** `watch lobby` prints who is in the lobby, and again whenever somebody comes or goes; of other rooms it learns nothing. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Stream } from "effect"
import { kafka, Rooms, shown } from "./rooms.ts"

const [room = "lobby"] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const people = yield* (yield* Rooms).group(room)
  yield* Stream.runForEach(people.states, (state) => Console.log(shown(room, state)))
})

program.pipe(Effect.scoped, Effect.provide(Layer.provide(Rooms.created, kafka)), NodeRuntime.runMain)
