/** What it costs to know that a read is fresh: a barrier, idle or beside writers, and waiting for an own write. */
import { Effect, Fiber } from "effect"
import type { Cell } from "../harness/cells.ts"
import { histogram, percentiles, record } from "../harness/latency.ts"
import { clientName, type Source } from "../topics/source.ts"
import { open } from "./visibility.ts"

export interface Input {
  readonly source: Source
  readonly what: "idle barrier" | "barrier beside writers" | "own write" | "own write and awaitOffset"
  readonly warmup: number
  readonly count: number
}

/** Writers beside the barrier. */
const writers = 8

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ count, what, source, warmup }) {
  const { table, write } = yield* open(source)
  let sequence = 0
  const background =
    what === "barrier beside writers"
      ? yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: writers }, () => Effect.forever(Effect.suspend(() => write(sequence++)))),
            { concurrency: "unbounded", discard: true }
          )
        )
      : undefined
  const once =
    what === "own write"
      ? Effect.suspend(() => write(sequence++))
      : what === "own write and awaitOffset"
        ? Effect.suspend(() => Effect.flatMap(write(sequence++), table.awaitOffset))
        : table.barrier()
  const measured = histogram()
  for (let i = 0; i < warmup + count; i++) {
    const started = performance.now()
    yield* once
    if (i >= warmup) record(measured, performance.now() - started)
  }
  if (background !== undefined) yield* Fiber.interrupt(background)
  return [{ metric: "barrier", client: clientName(source), detail: what, ...percentiles(measured) }]
})
