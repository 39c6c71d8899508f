/** How long a topic keeps tombstones (`delete.retention.ms`), as far as it is known. */

/** Milliseconds that stand for a retention that may not be read, where no option gives it. */
export const ASSUMED = 60_000
/** Milliseconds: a shorter retention is followed as if it were this long, since nobody asks often enough for it. */
export const SHORTEST = 5000

export class Retention {
  readonly #fallback: number
  #observed: number | undefined
  #isRefused = false

  /** @param given milliseconds, by an option; undefined where there is none */
  constructor(given: number | undefined) {
    this.#fallback = Math.max(SHORTEST, given ?? ASSUMED)
  }

  /** As the topic said last; undefined before it did. */
  get observed(): number | undefined {
    return this.#observed
  }
  get isRefused(): boolean {
    return this.#isRefused
  }
  /** What stands for a retention that was never observed: infinite as long as there may still be an answer. */
  get assumed(): number {
    return this.#isRefused ? this.#fallback : Number.POSITIVE_INFINITY
  }
  /** Milliseconds to reckon with. */
  get effective(): number {
    return Math.max(SHORTEST, Math.min(this.#observed ?? Number.POSITIVE_INFINITY, this.assumed))
  }
  /** Milliseconds that may pass between two looks at where a log ends: several of them fit into the retention. */
  get patience(): number {
    return this.effective / 4
  }

  observe(millis: number): void {
    this.#observed = millis
    this.#isRefused = false
  }
  /** The topic does not say any more: what it said last counts as long as it is the shorter time. */
  refuse(): void {
    this.#isRefused = true
  }
}
