/** Reproducible chance, and how many cases of a property to try. */
import { Cause, Effect } from "effect"

export interface Chance {
  /** In [0, 1). */
  readonly next: () => number
  /** A whole number in [0, n). */
  readonly below: (n: number) => number
  readonly happens: (probability: number) => boolean
  readonly pick: <A>(from: ReadonlyArray<A>) => A
}

/** Mulberry32: small, and good enough for tests. */
export const chance = (seed: number): Chance => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number): number => Math.floor(next() * n)
  return { next, below, happens: (probability) => next() < probability, pick: (from) => from[below(from.length)]! }
}

/**
 * The seeds of a property: `SEED=n` replays one, `SOAK=1` tries `soak` of them (`CASES=n` another number), and a normal
 * run tries `normally`.
 */
export const seedsOf = (normally: number, soak: number): ReadonlyArray<number> => {
  const { CASES, SEED, SOAK } = process.env
  if (SEED !== undefined) return [Number(SEED)]
  const count = CASES !== undefined ? Number(CASES) : SOAK === undefined ? normally : soak
  return Array.from({ length: count }, (_, i) => i + 1)
}

/** How long a property's test may take. */
export const propertyTimeout = process.env["SOAK"] === undefined ? 120_000 : 3_600_000

/** Runs a case per seed; a failure names its seed, what was done, and how to run it again. */
export const forEachSeed = <E, R>(
  seeds: ReadonlyArray<number>,
  run: (seed: number, trace: Array<string>) => Effect.Effect<void, E, R>
): Effect.Effect<void, never, R> =>
  Effect.forEach(
    seeds,
    (seed) =>
      Effect.suspend(() => {
        const trace: Array<string> = []
        return Effect.catchCause(run(seed, trace), (cause) =>
          Effect.die(
            new Error(
              `seed ${seed} (SEED=${seed} runs it again): ${Cause.pretty(cause)}\nafter\n  ${trace.join("\n  ")}`
            )
          )
        )
      }),
    { discard: true }
  )
