/** A small seeded generator (mulberry32): a schedule of faults is the same for the same seed. */
export interface Random {
  /** In [0, 1). */
  readonly next: () => number
  /** A whole number from `from` up to and with `to`. */
  readonly between: (from: number, to: number) => number
  readonly pick: <A>(of: ReadonlyArray<A>) => A
}

export const makeRandom = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  const between = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1))
  return { next, between, pick: (of) => of[between(0, of.length - 1)]! }
}
