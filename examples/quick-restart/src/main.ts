/** Says what its start has read, of the topic or from the checkpoint, and from then on each save. Stop it, and start it again. */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Option, Schedule, Stream } from "effect"
import type { KafkaTable } from "effect-ktables"
import { Accounts, kafka } from "./accounts.ts"

const started = ({ checkpoint, partitions, stats }: KafkaTable.Health): ReadonlyArray<string> => {
  const { discarded, resumed } = Option.getOrThrow(checkpoint)
  return [
    ...discarded.map(({ partition, reason }) => {
      const what = Option.match(partition, {
        onNone: () => "the checkpoint",
        onSome: (one) => `partition ${one} of it`
      })
      return `${what} is not used: ${reason}`
    }),
    `${stats.entries} accounts: ${resumed.length} of ${partitions.length} partitions from the checkpoint, ${stats.records} records read`
  ]
}

/** What `health.checkpoint` says of its saves: not to be awaited by whoever reads the table. */
const saves = (table: KafkaTable.Any) =>
  Stream.fromEffectSchedule(table.health, Schedule.spaced("200 millis")).pipe(
    Stream.map(({ checkpoint }) => {
      const { bytes, problem, savedAt } = Option.getOrThrow(checkpoint)
      if (Option.isSome(problem)) return `not saved: ${problem.value}`
      return Option.match(savedAt, { onNone: () => "not saved yet", onSome: () => `saved, ${bytes} bytes` })
    }),
    Stream.changes,
    Stream.runForEach((line) => Console.log(line))
  )

const program = Effect.gen(function* () {
  const table = yield* Accounts
  yield* Effect.forEach(started(yield* table.health), (line) => Console.log(line))
  yield* saves(table)
})

program.pipe(Effect.provide(Layer.provide(Accounts.kept, kafka)), NodeRuntime.runMain)
