/** The entries of a topic, in the order of their keys. */
import { Clock, Effect, Option } from "effect"
import { KafkaTable } from "effect-ktables"
import { byKey, type Entry, foreignNote, keyText, listing } from "../entries.ts"
import { counted, say, writeResults } from "../output.ts"
import { caughtUp } from "../reading.ts"
import { outputOf, type Settings } from "../settings.ts"

interface Input {
  readonly topic: string
  readonly prefix: Option.Option<string>
  readonly limit: Option.Option<number>
  readonly reverse: boolean
}

const select = (entries: Iterable<Entry>, settings: Settings, input: Input): ReadonlyArray<Entry> => {
  const prefix = Option.getOrElse(input.prefix, () => "")
  const chosen = Array.from(entries).filter(({ key }) => prefix === "" || keyText(settings, key).startsWith(prefix))
  chosen.sort(input.reverse ? (a, b) => byKey(b, a) : byKey)
  return Option.isNone(input.limit) ? chosen : chosen.slice(0, input.limit.value)
}

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  const read = yield* caughtUp(input.topic, settings)
  const entries = yield* KafkaTable.withMetadata(read)
  const chosen = select(entries.view.values(), settings, input)
  const output = outputOf(settings)
  yield* writeResults(output, chosen, listing(settings, yield* Clock.currentTimeMillis))
  if (output === "table" && chosen.length < read.view.size) {
    yield* say(`${chosen.length} of ${counted(read.view.size)}`)
  }
  const note = foreignNote(settings, chosen)
  if (note !== undefined) yield* say(`ktables: ${note}`)
})
