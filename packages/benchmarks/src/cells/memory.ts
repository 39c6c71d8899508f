/** What a caught-up table holds, after garbage collection, above the process with its client and no table. */
import * as KafkaTable from "effect-ktables/KafkaTable"
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { type MemoryUse, memoryUse, mebibytes } from "../harness/memory.ts"
import { type Decode, topicFor } from "../topics/decoding.ts"
import { keyIds, type LogShape } from "../topics/logs.ts"
import { clientName, openSource, type Source } from "../topics/source.ts"
import { keyOf, serviceOf } from "../topics/values.ts"
import { replay } from "./catchUp.ts"

export interface Input {
  readonly source: Source
  readonly topic: string
  readonly log: LogShape
  readonly decode: Decode
}

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ decode, log, source, topic }) {
  const { client, topic: name } = yield* openSource(source)
  const definition = yield* topicFor(name, decode)
  const before = memoryUse()
  const table = yield* KafkaTable.make(definition, replay).pipe(Effect.provideContext(client))
  // What an idle moment frees is not retained: two long polls let go of the last answers.
  yield* Effect.sleep("2500 millis")
  const after = memoryUse()
  const keys = table.view.size
  const perKey = (of: (use: MemoryUse) => number): number => (of(after) - of(before)) / keys
  return [
    {
      metric: "memory",
      client: clientName(source),
      topic,
      decode,
      keys,
      bytesPerKey: perKey(({ heap }) => heap),
      rssBytesPerKey: perKey(({ rss }) => rss),
      dataBytesPerKey: dataBytes(log) / keys,
      heapMiB: mebibytes(after.heap - before.heap),
      rssMiB: mebibytes(after.rss - before.rss)
    }
  ]
})

/** The bytes of the keys and of their last values. */
const dataBytes = (log: LogShape): number => {
  const versions = new Map<number, number>()
  for (const id of keyIds(log)) versions.set(id, (versions.get(id) ?? 0) + 1)
  let bytes = 0
  for (const [id, version] of versions) {
    bytes += keyOf(id).length + Buffer.byteLength(JSON.stringify(serviceOf(id, version)))
  }
  return bytes
}
