/** Removes entries whose records are no longer in the log, since its start has moved past them. */
import { Effect } from "effect"
import type { LogContents } from "./logContents.ts"
import { SLICE, STRIDE } from "../slice.ts"

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
  for (let done = false; !done;) {
    const slice = (): void => {
      const started = performance.now()
      for (let n = 1; n % STRIDE !== 0 || performance.now() - started <= SLICE; n++) {
        const next = slots.next()
        if (next.done === true) {
          done = true
          return
        }
        const [key, slot] = next.value
        if (contents.partitionOf(slot) !== partition) continue
        const at = contents.offsetOf(slot)
        if (at >= offset) oldest = Math.min(oldest, at)
        else {
          contents.remove(key)
          removed++
        }
      }
    }
    commit(slice)
    if (!done) yield* Effect.yieldNow
  }
  // Where none is left, the next one may lie anywhere from here on.
  contents.noteOldest(partition, oldest === Number.POSITIVE_INFINITY ? offset : oldest)
  return removed
})
