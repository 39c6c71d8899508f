/** Runs once per deployment, as a principal that may create topics. Running it again changes nothing. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect } from "effect"
import { KafkaTopic } from "effect-ktables"
import { kafka, settings } from "./settings.ts"

KafkaTopic.ensure(settings, { onPolicyMismatch: "fail" }).pipe(
  Effect.flatMap(({ _tag }) => Console.log(`${settings.name}: ${_tag}`)),
  Effect.provide(kafka),
  NodeRuntime.runMain
)
