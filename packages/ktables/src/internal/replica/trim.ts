/** Removes entries whose records are no longer in the log, since its start has moved past them. */
import { Effect } from "effect"
import type { LogContents } from "./logContents.ts"
import { inSlices } from "../slice.ts"

/** Removes a partition's entries below `offset`, in slices, each by `commit`; succeeds with how many there were. */
export const trim = Effect.fnUntraced(function* <K, V>(
  contents: LogContents<K, V>,
  partition: number,
  offset: number,
  commit: (slice: () => void) => void
): Effect.fn.Return<number> {
  if (contents.oldest(partition) >= offset) return 0
  const slots = contents.slots()
  let removed = 0
  let oldest = Number.POSITIVE_INFINITY
  const step = (): boolean => {
    const next = slots.next()
    if (next.done === true) return false
    const [key, slot] = next.value
    if (contents.partitionOf(slot) !== partition) return true
    const at = contents.offsetOf(slot)
    if (at >= offset) oldest = Math.min(oldest, at)
    else {
      contents.remove(key)
      removed++
    }
    return true
  }
  yield* inSlices(step, { commit })
  // Where none is left, the next one may lie anywhere from here on.
  contents.noteOldest(partition, oldest === Number.POSITIVE_INFINITY ? offset : oldest)
  return removed
})
