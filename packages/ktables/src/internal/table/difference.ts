/** What has to change in the contents of a table to make others of them, by what was encoded. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Change, Contents } from "./contents.ts"
import { inSlices } from "../slice.ts"

export const difference = Effect.fnUntraced(function* <K, V>(
  from: Contents<K, V>,
  to: Contents<K, V>,
  same: (a: V, b: V) => boolean
): Effect.fn.Return<ReadonlyArray<Change<K, V>>> {
  const changes: Array<Change<K, V>> = []
  const added = to[Symbol.iterator]()
  yield* inSlices(() => {
    const next = added.next()
    if (next.done === true) return false
    const [key, value] = next.value
    const previous = from.find(key)
    if (Option.isNone(previous) || !same(previous.value, value)) changes.push({ _tag: "Set", key, value, previous })
    return true
  })
  const removed = from[Symbol.iterator]()
  yield* inSlices(() => {
    const next = removed.next()
    if (next.done === true) return false
    const [key, value] = next.value
    if (!to.has(key)) changes.push({ _tag: "Deleted", key, previous: value })
    return true
  })
  return changes
})
