/** `join lobby ada curious`: ada is in the lobby for as long as this runs. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { kafka, Rooms, RoomsWriter, shown } from "./rooms.ts"

const [room = "lobby", name = "ada", mood = "curious"] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const table = yield* Rooms
  const writer = yield* RoomsWriter
  // No look at who is there: nobody else writes this key.
  const ack = yield* Effect.acquireRelease(writer.set(room, name, { mood }), () =>
    Effect.catch(writer.delete(room, name), (error) => Effect.logError(`${name} is still in ${room}: ${error.message}`))
  )
  yield* table.awaitOffset(ack)
  yield* Console.log(`in ${shown(room, yield* table.members(room))}`)
  return yield* Effect.never
})

program.pipe(
  Effect.scoped,
  Effect.provide(Layer.provide(Layer.mergeAll(Rooms.created, RoomsWriter.impatient), kafka)),
  NodeRuntime.runMain
)
