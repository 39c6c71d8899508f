/** The logs that are replayed: which key each record updates, in the order of the log. Deterministic. */

export interface LogShape {
  /** `unique`: every key once. `rounds`: all keys in order, again and again. `zipf`: few keys get most of the updates. */
  readonly distribution: "unique" | "rounds" | "zipf"
  readonly records: number
  readonly keys: number
}

/** Named by its content, so that a topic of the same name can be reused. */
export const nameOf = ({ distribution, records, keys }: LogShape): string => `${distribution}-${records}-${keys}`

/** mulberry32: 32 bits of state are enough to draw ranks, and the sequence is the same everywhere. */
const random = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Ids drawn with probability 1/rank; ranks are shuffled over the ids, so popular keys lie in all partitions. */
const zipf = (records: number, keys: number): Int32Array => {
  const next = random(42)
  const cumulative = new Float64Array(keys)
  let sum = 0
  for (let rank = 0; rank < keys; rank++) cumulative[rank] = sum += 1 / (rank + 1)
  const idOfRank = Int32Array.from({ length: keys }, (_, id) => id)
  for (let i = keys - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1))
    const kept = idOfRank[i]!
    idOfRank[i] = idOfRank[j]!
    idOfRank[j] = kept
  }
  return Int32Array.from({ length: records }, () => {
    const drawn = next() * sum
    let low = 0
    let high = keys - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (cumulative[middle]! < drawn) low = middle + 1
      else high = middle
    }
    return idOfRank[low]!
  })
}

/** The key id of every record of the log. */
export const keyIds = ({ distribution, records, keys }: LogShape): Int32Array =>
  distribution === "zipf" ? zipf(records, keys) : Int32Array.from({ length: records }, (_, i) => i % keys)

export const distinct = (ids: Int32Array): number => new Set(ids).size
