/** A worker that leaves in order: out of the table first, so that nobody sends it more, then its running job, then itself. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { present } from "./present.ts"
import { kafka, WorkersWriter } from "./workers.ts"

const [id = "worker-1"] = process.argv.slice(2)

const runningJobs = Effect.acquireRelease(Console.log("ready for jobs"), () => Console.log("the last job is done"))

const program = Effect.gen(function* () {
  const writer = yield* WorkersWriter
  yield* runningJobs
  yield* Effect.addFinalizer(() => Console.log(`${id} is out of the table`))
  yield* present(writer, id, { kinds: ["resize", "thumbnail"] })
  yield* Console.log(`${id} is in the table`)
  return yield* Effect.never
})

program.pipe(Effect.scoped, Effect.provide(Layer.provide(WorkersWriter.impatient, kafka)), NodeRuntime.runMain)
