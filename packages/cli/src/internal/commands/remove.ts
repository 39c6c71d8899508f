/** Writes a tombstone, once somebody has said that it is meant. */
import { Effect } from "effect"
import * as Prompt from "effect/cli/Prompt"
import { TerminalCapabilities } from "effect/cli/TerminalCapabilities"
import { failed } from "../failure.ts"
import { plain } from "../formats.ts"
import { keyBytes } from "../given.ts"
import type { Settings } from "../settings.ts"
import { write } from "../writing.ts"

interface Input {
  readonly topic: string
  readonly key: string
  readonly yes: boolean
}

/** Asks a person; where there is none, nothing is done. */
const confirmed = Effect.fnUntraced(function* (settings: Settings, { key, topic }: Input) {
  const { canPrompt } = yield* TerminalCapabilities
  if (!canPrompt) {
    return yield* failed(
      "unconfirmed",
      "nothing was deleted, since there is no terminal to ask on; say --yes to delete"
    )
  }
  const message = `Delete ${plain(key)} of ${plain(topic)} on ${plain(settings.brokers)}?`
  if (yield* Prompt.run(Prompt.Confirm({ message }))) return
  return yield* failed("unconfirmed", "nothing was deleted")
})

/** What can be known without the cluster is checked before anybody is asked. */
export const check = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  yield* keyBytes(settings, input.key)
  if (!input.yes) yield* confirmed(settings, input)
})

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  yield* write(settings, input.topic, yield* keyBytes(settings, input.key), null)
})
