/** Gathers the survivors of a load, partition by partition, in slices. */
import { Effect } from "effect"
import type { ReaderMetrics } from "../log/metrics.ts"
import type { Consume, Session } from "../log/session.ts"
import type { RecordWalk } from "../records/recordWalk.ts"
import { Survivors } from "../records/survivors.ts"
import { LOAD_SLICE } from "../slice.ts"
import { type Bounded, sumOf } from "./limits.ts"

/** Takes a walk to its end; `check` runs after each slice. */
export const take = Effect.fnUntraced(function* <E>(
  of: Survivors,
  walk: RecordWalk,
  metrics: ReaderMetrics,
  check: Effect.Effect<void, E>
) {
  for (let isOver = false; !isOver;) {
    const from = performance.now()
    isOver = of.take(walk, from + LOAD_SLICE)
    metrics.slice(performance.now() - from)
    yield* check
    if (!isOver) yield* Effect.yieldNow
  }
})

/** As `take`, of records that were not read now: they are counted nowhere. */
export const join = (of: Survivors, walk: RecordWalk, metrics: ReaderMetrics): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { keyless, records, tombstones } = of
    return Effect.map(
      take(of, walk, metrics, Effect.void),
      () => void Object.assign(of, { keyless, records, tombstones })
    )
  })

/** Takes what is read into `survivors`, by partition, until there is more of it than there may be. */
export const gather = (options: {
  readonly bounded: Bounded
  readonly metrics: ReaderMetrics
  readonly keepsHeaders: boolean
  readonly memory: Session["memory"]
  readonly survivors: Map<number, Survivors>
}): Consume => {
  const { bounded, keepsHeaders, memory, metrics, survivors } = options
  const checked = bounded(
    () => sumOf(Array.from(survivors.values(), ({ extent }) => extent)),
    () => false
  )
  return ({ partition }, cursor) =>
    Effect.suspend(() => {
      let of = survivors.get(partition)
      if (of === undefined) survivors.set(partition, (of = new Survivors(partition, memory, keepsHeaders)))
      return take(of, cursor, metrics, checked)
    })
}
