/** Pairs of two characters; texts of one of each have one hash, since Effect's has no secret. From the last to the first. */
const interchangeable: ReadonlyArray<readonly [string, string]> = (() => {
  const pairs: Array<readonly [string, string]> = []
  let hash = 5381
  while (pairs.length < 13) {
    const found = new Map<number, string>()
    search: for (let last = 33; last < 127; last++) {
      for (let first = 33; first < 127; first++) {
        const next = ((((hash * 33) ^ last) * 33) ^ first) | 0
        const two = String.fromCharCode(first, last)
        const known = found.get(next)
        if (known === undefined) found.set(next, two)
        else {
          pairs.push([known, two])
          hash = next
          break search
        }
      }
    }
  }
  return pairs
})()
/** The `n`th of 8,192 texts whose `Hash.string` is the same. */
export const collidingText = (n: number): string =>
  interchangeable.reduceRight((text, pair, bit) => text + pair[(n >> bit) % 2]!, "")
