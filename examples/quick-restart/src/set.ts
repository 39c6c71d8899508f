/** `set ada paid`. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { AccountsWriter, kafka } from "./accounts.ts"

const [name = "ada", plan] = process.argv.slice(2)

AccountsWriter.use((writer) => writer.set(name, { plan: plan === "paid" ? "paid" : "free" })).pipe(
  Effect.flatMap(({ offset }) => Console.log(`${name} is written at offset ${offset}`)),
  Effect.provide(Layer.provide(AccountsWriter.layer, kafka)),
  NodeRuntime.runMain
)
