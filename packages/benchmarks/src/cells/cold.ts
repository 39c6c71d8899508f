/** Builds tables on an empty compacted topic: the first one of the process, client and connections included, and later ones. */
import * as KafkaTable from "effect-ktables/KafkaTable"
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { remove } from "../topics/provision.ts"
import { schemaTopic } from "../topics/decoding.ts"
import { clientName, openSource, preload, type Source } from "../topics/source.ts"

export interface Input {
  readonly source: Source
  /** `off` makes no admin request, `verify` checks the topic, `create` makes one. */
  readonly ensureTopic: "off" | "verify" | "create"
  /** Tables built after the first. */
  readonly later: number
}

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ ensureTopic, later, source }) {
  yield* preload(source)
  const started = performance.now()
  const { client, topic } = yield* openSource(source)
  const options: KafkaTable.Options = ensureTopic === "off" ? { ensureTopic: false } : {}
  const build = Effect.fnUntraced(function* (number: number) {
    const from = number === 0 ? started : performance.now()
    const name = ensureTopic === "create" ? `${topic}-${process.pid}-${number}` : topic
    if (ensureTopic === "create" && source.client !== "memory") {
      yield* Effect.addFinalizer(() => Effect.promise(() => remove(source.brokers, name)))
    }
    yield* KafkaTable.make(schemaTopic(name), options).pipe(Effect.provideContext(client))
    return {
      metric: "cold",
      client: clientName(source),
      detail: `${number === 0 ? "first" : "later"}, ensureTopic ${ensureTopic}`,
      ms: performance.now() - from
    }
  })
  return yield* Effect.forEach(
    Array.from({ length: later + 1 }, (_, number) => number),
    build
  )
})
