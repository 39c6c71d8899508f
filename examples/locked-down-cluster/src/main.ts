/** Runs as a principal that may read the topic, and nothing else. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { kafka, Settings } from "./settings.ts"

const program = Effect.gen(function* () {
  const table = yield* Settings
  yield* Console.log(`${yield* table.size} settings`)
  return yield* table.failure
})

program.pipe(
  Effect.provide(Layer.provide(Settings.readOnly, kafka)),
  // The start fails with a type for each reason, so that a program can tell a missing deployment step from an outage.
  Effect.tapError((error) =>
    error._tag === "TopicNotFound"
      ? Console.error(`${error.topic} is missing: has deploy.ts run?`)
      : Console.error(error.message)
  ),
  NodeRuntime.runMain({ disableErrorReporting: true })
)
