/** Writes the value of a key. */
import { Effect } from "effect"
import { keyBytes, valueBytes } from "../given.ts"
import type { Settings } from "../settings.ts"
import { write } from "../writing.ts"

export const run = Effect.fnUntraced(function* (
  settings: Settings,
  input: { readonly topic: string; readonly key: string; readonly value: string }
) {
  const key = yield* keyBytes(settings, input.key)
  const value = yield* valueBytes(settings, input.value)
  yield* write(settings, input.topic, key, value)
})
