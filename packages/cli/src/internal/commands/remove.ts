/** Writes a tombstone, once somebody has said that it is meant. */
import { Effect } from "effect"
import { confirmed } from "../confirmed.ts"
import { plain } from "../formats.ts"
import { keyBytes } from "../given.ts"
import type { Settings } from "../settings.ts"
import { write } from "../writing.ts"

interface Input {
  readonly topic: string
  readonly key: string
  readonly yes: boolean
}

/** What can be known without the cluster is checked before anybody is asked. */
export const check = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  yield* keyBytes(settings, input.key)
  const { key, topic, yes } = input
  if (yes) return
  yield* confirmed(`Delete ${plain(key)} of ${plain(topic)} on ${plain(settings.brokers)}?`, "nothing was deleted")
})

export const run = Effect.fnUntraced(function* (settings: Settings, input: Input) {
  yield* write(settings, input.topic, yield* keyBytes(settings, input.key), null)
})
