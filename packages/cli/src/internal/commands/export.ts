/** The entries of a topic as lines of a file, in the order of their keys. */
import { Effect } from "effect"
import { KafkaTable } from "effect-ktables"
import { byKey } from "../entries.ts"
import { lineOf } from "../fileLines.ts"
import { sink } from "../files.ts"
import { plain } from "../formats.ts"
import { counted, say } from "../output.ts"
import { caughtUp } from "../reading.ts"
import type { Settings } from "../settings.ts"

export const run = Effect.fnUntraced(function* (
  settings: Settings,
  input: { readonly topic: string; readonly file: string }
) {
  const { write } = yield* sink(input.file)
  const read = yield* caughtUp(input.topic, settings)
  const { view } = yield* KafkaTable.withMetadata(read)
  const entries = Array.from(view.values()).sort(byKey)
  yield* write(
    (function* () {
      for (const entry of entries) yield lineOf(settings, entry)
    })()
  )
  if (input.file !== "-") yield* say(`${counted(entries.length)} of ${input.topic} in ${plain(input.file)}`)
})
