/** `compare STAGING PRODUCTION`: what differs between the flags of two topics, now and whenever that changes. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, HashMap, Layer, Stream } from "effect"
import { KafkaTable, Table } from "effect-ktables"
import { flagsOf, kafka } from "./flags.ts"

const [staging = "example.flags.staging", production = "example.flags"] = process.argv.slice(2)

class Staging extends KafkaTable.Service<Staging>()("feature-flags/Staging", flagsOf(staging)) {}
class Production extends KafkaTable.Service<Production>()("feature-flags/Production", flagsOf(production)) {}

/** A table that is made of others is a service as they are. */
class Differences extends Table.Service<Differences>()(
  "feature-flags/Differences",
  Effect.gen(function* () {
    return yield* Table.diff(yield* Staging, yield* Production)
  })
) {}

type Flag = { readonly enabled: boolean }

const stateOf = ({ enabled }: Flag): string => (enabled ? "on" : "off")

const line = ([name, difference]: readonly [string, Table.Difference<Flag>]): string => {
  switch (difference._tag) {
    case "Added":
      return `${name} is in ${production} only`
    case "Removed":
      return `${name} is in ${staging} only`
    case "Changed":
      return `${name} is ${stateOf(difference.from)} in ${staging} and ${stateOf(difference.to)} in ${production}`
  }
}

const program = Effect.gen(function* () {
  const differences = yield* Differences
  yield* Stream.runForEach(differences.states, (all) =>
    Console.log(HashMap.isEmpty(all) ? "no difference" : Array.from(all, line).sort().join(", "))
  )
})

program.pipe(
  Effect.provide(Differences.layer.pipe(Layer.provide([Staging.layer, Production.layer]), Layer.provide(kafka))),
  NodeRuntime.runMain
)
