/** Builds a table on an existing topic: from asking for it until it is complete, connections included. */
import * as KafkaTable from "effect-ktables/KafkaTable"
import { Effect, Option } from "effect"
import type { Cell } from "../harness/cells.ts"
import { rssMiB } from "../harness/memory.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import { type Decode, topicFor } from "../topics/decoding.ts"
import { clientName, openSource, type Source } from "../topics/source.ts"

export interface Input {
  readonly source: Source
  /** How the report calls the topic. */
  readonly topic: string
  /** What the table has to hold, where it is known. */
  readonly keys: number | undefined
  readonly decode: Decode
}

/** Long enough for any replay that is worth measuring. */
export const replay: KafkaTable.Options = {
  ensureTopic: false,
  catchUp: { mode: "await", timeout: "10 minutes", onTimeout: "fail" }
}

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ decode, keys, source, topic }) {
  const { client, topic: name } = yield* openSource(source)
  const definition = yield* topicFor(name, decode)
  const measure = Effect.fnUntraced(function* (detail: string) {
    const elapsed = stopwatch()
    const table = yield* KafkaTable.make(definition, replay).pipe(Effect.provideContext(client))
    const { cpuMs, loopMs, ms } = elapsed()
    const { stats } = yield* table.health
    if (keys !== undefined && stats.entries !== keys) {
      return yield* Effect.die(`${topic} holds ${keys} keys, the table ${stats.entries}`)
    }
    const records = Option.match(stats.catchUp, { onNone: () => stats.records, onSome: ({ replayed }) => replayed })
    return {
      metric: "catchup",
      client: clientName(source),
      topic,
      decode,
      detail,
      ms,
      cpuMs,
      loopMs,
      records,
      rps: (records / ms) * 1000,
      keys: stats.entries,
      rssMiB: rssMiB()
    }
  }, Effect.scoped)
  const fresh = yield* measure("fresh process")
  // A long-lived process, and what a warm virtual machine is compared with.
  yield* measure("warm-up")
  return [fresh, yield* measure("warm")]
})
