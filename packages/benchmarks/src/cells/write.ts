/** The table's writer: acknowledged 1 KB records per second with a number of writes in flight. */
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { closedLoopEffect } from "../harness/closedLoop.ts"
import { schemaTopic } from "../topics/decoding.ts"
import { clientName, openSource, type Source } from "../topics/source.ts"
import { keyOf, paddedService } from "../topics/values.ts"

export interface Input {
  readonly source: Source
  readonly inFlight: number
  readonly seconds: number
}

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ inFlight, seconds, source }) {
  const { client, topic } = yield* openSource(source)
  const writer = yield* KafkaTableWriter.make(schemaTopic(topic), { ensureTopic: false }).pipe(
    Effect.provideContext(client)
  )
  const measured = yield* closedLoopEffect({ inFlight, seconds }, (i) =>
    writer.set(keyOf(i % 10_000), paddedService(i % 10_000, i, 1024))
  )
  return [{ metric: "write", client: clientName(source), detail: `${inFlight} in flight`, ...measured }]
})
