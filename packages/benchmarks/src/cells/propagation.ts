/** How long after its sending an acknowledged 1 KB write shows in a table, as a subscriber of the table learns of it. */
import { Deferred, Effect, Fiber } from "effect"
import type { Cell } from "../harness/cells.ts"
import { histogram, percentiles, record } from "../harness/latency.ts"
import { clientName, type Source } from "../topics/source.ts"
import { onVersion, open } from "./visibility.ts"

export type Input =
  | {
      readonly source: Source
      /** The next write leaves when the one before is acknowledged and visible. */
      readonly loop: "closed"
      readonly warmup: number
      readonly count: number
    }
  | {
      readonly source: Source
      /** Writes leave at their times, whatever became of those before, and are timed from then on. */
      readonly loop: "open"
      readonly perSecond: number
      readonly seconds: number
    }

export const cell: Cell<Input> = Effect.fnUntraced(function* (input) {
  const measured = histogram()
  yield* input.loop === "closed" ? closed(input, measured) : openLoop(input, measured)
  return [
    {
      metric: "propagation",
      client: clientName(input.source),
      detail: input.loop === "closed" ? "closed loop" : `open loop, ${input.perSecond}/s`,
      ...percentiles(measured)
    }
  ]
})

const closed = Effect.fnUntraced(function* (
  { count, source, warmup }: Input & { readonly loop: "closed" },
  measured: ReturnType<typeof histogram>
) {
  const { table, write } = yield* open(source)
  let current: { readonly version: number; readonly visible: Deferred.Deferred<void> } | undefined
  const subscriber = yield* onVersion(table, (version) => {
    if (current?.version === version) Deferred.doneUnsafe(current.visible, Effect.void)
  })
  for (let i = 0; i < warmup + count; i++) {
    const visible = Deferred.makeUnsafe<void>()
    const version = process.pid * 1_000_000 + i
    current = { version, visible }
    const started = performance.now()
    yield* write(version)
    yield* Effect.raceFirst(Deferred.await(visible), Fiber.join(subscriber))
    if (i >= warmup) record(measured, performance.now() - started)
  }
})

const openLoop = Effect.fnUntraced(function* (
  { perSecond, seconds, source }: Input & { readonly loop: "open" },
  measured: ReturnType<typeof histogram>
) {
  const { table, write } = yield* open(source)
  const warmup = Math.round((perSecond * seconds) / 3)
  const total = warmup + Math.round(perSecond * seconds)
  const base = process.pid * 1_000_000
  const intended = new Float64Array(total)
  const all = Deferred.makeUnsafe<void>()
  let seen = 0
  const subscriber = yield* onVersion(table, (version) => {
    const i = version - base
    if (i < 0 || i >= total) return
    if (i >= warmup) record(measured, performance.now() - intended[i]!)
    if (++seen === total) Deferred.doneUnsafe(all, Effect.void)
  })
  const start = performance.now() + 10
  const writes: Array<Fiber.Fiber<unknown, unknown>> = []
  for (let i = 0; i < total; i++) {
    intended[i] = start + (i * 1000) / perSecond
    const early = intended[i]! - performance.now()
    if (early > 0) yield* Effect.sleep(early)
    writes.push(yield* Effect.forkChild(write(base + i), { startImmediately: true }))
  }
  yield* Fiber.joinAll(writes)
  yield* Effect.raceFirst(Deferred.await(all), Fiber.join(subscriber))
})
