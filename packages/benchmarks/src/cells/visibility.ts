/** A table and a writer of one topic, and who waits for a write to show in the table. */
import * as KafkaTable from "effect-ktables/KafkaTable"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import { Deferred, Effect, Stream } from "effect"
import { schemaTopic } from "../topics/decoding.ts"
import { openSource, type Source } from "../topics/source.ts"
import { keyOf, paddedService, type Service } from "../topics/values.ts"

/** Few keys, so that the table stays small. */
const keys = 100

export const open = Effect.fnUntraced(function* (source: Source) {
  const { client, topic } = yield* openSource(source)
  const definition = schemaTopic(topic)
  const table = yield* KafkaTable.make(definition, { ensureTopic: false }).pipe(Effect.provideContext(client))
  const writer = yield* KafkaTableWriter.make(definition, { ensureTopic: false }).pipe(Effect.provideContext(client))
  return { table, writer, write: (sequence: number) => writer.set(...entryOf(sequence)) }
})

/** A kilobyte under a key of a small set; `version` tells the writes apart. */
const entryOf = (sequence: number): [string, Service] => [
  keyOf(sequence % keys),
  paddedService(sequence % keys, sequence, 1024)
]

/** Calls back for every change that a subscriber of the table hears, from now on; the fiber dies if it missed some. */
export const onVersion = Effect.fnUntraced(function* (
  table: KafkaTable.KafkaTable<string, Service>,
  seen: (version: number) => void
) {
  const subscribed = Deferred.makeUnsafe<void>()
  const subscriber = yield* table.changeBatches.pipe(
    Stream.runForEach((changes) =>
      Effect.suspend(() => {
        for (const change of changes) {
          if (change._tag === "Snapshot" && change.resync) return Effect.die("the subscriber fell behind")
          if (change._tag === "Snapshot") Deferred.doneUnsafe(subscribed, Effect.void)
          else if (change._tag === "Set") seen(change.value.version)
        }
        return Effect.void
      })
    ),
    Effect.forkScoped
  )
  yield* Deferred.await(subscribed)
  return subscriber
})
