/** `set NAME on|off|none`: changes a flag for every server at once. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { FlagsWriter, kafka } from "./flags.ts"

const [name = "new-greeting", state = "on"] = process.argv.slice(2)

const program = Effect.gen(function* () {
  const writer = yield* FlagsWriter
  const ack = yield* state === "none" ? writer.delete(name) : writer.set(name, { enabled: state === "on" })
  yield* Console.log(`${name} is ${state} as of offset ${ack.offset}`)
})

program.pipe(Effect.provide(Layer.provide(FlagsWriter.layer, kafka)), NodeRuntime.runMain)
