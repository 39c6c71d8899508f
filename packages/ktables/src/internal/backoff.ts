/** Waits between attempts: exponential, capped and jittered, so that many clients do not come back in step. */
import { Effect, Random } from "effect"

const FIRST = 20
const LONGEST = 1000

/** Whole milliseconds before attempt `failures + 1`, for a random number in [0, 1): between half of the step and the whole of it. */
export const backoffMillis = (failures: number, random: number): number =>
  Math.ceil(Math.min(LONGEST, FIRST * 2 ** Math.min(failures - 1, 10)) * (0.5 + random / 2))

/** Waits after the `failures`-th failure in a row. */
export const backoff = (failures: number): Effect.Effect<void> =>
  Effect.flatMap(Random.next, (random) => Effect.sleep(backoffMillis(failures, random)))
