/** What has to change in the contents of a table to make others of them, by what was encoded. */
import { Effect, Option } from "effect"
import type { Change, Contents } from "./contents.ts"
import { SLICE, STRIDE } from "../slice.ts"

export const difference = Effect.fnUntraced(function* <K, V>(
  from: Contents<K, V>,
  to: Contents<K, V>,
  same: (a: V, b: V) => boolean
): Effect.fn.Return<ReadonlyArray<Change<K, V>>> {
  const changes: Array<Change<K, V>> = []
  let deadline = performance.now() + SLICE
  let n = 0
  for (const [key, value] of to) {
    const previous = from.find(key)
    if (Option.isNone(previous) || !same(previous.value, value)) changes.push({ _tag: "Set", key, value, previous })
    if (++n % STRIDE === 0 && performance.now() > deadline) {
      yield* Effect.yieldNow
      deadline = performance.now() + SLICE
    }
  }
  for (const [key, value] of from) {
    if (!to.has(key)) changes.push({ _tag: "Deleted", key, previous: value })
    if (++n % STRIDE === 0 && performance.now() > deadline) {
      yield* Effect.yieldNow
      deadline = performance.now() + SLICE
    }
  }
  return changes
})
