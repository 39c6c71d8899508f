/** How long a topic keeps tombstones (`delete.retention.ms`), as far as it is known. */
import type { TopicSettings } from "../topic/topicSettings.ts"

/** Milliseconds that stand for a retention that may not be read, where no option gives it. */
export const ASSUMED = 60_000
/** Milliseconds: a shorter retention is followed as if it were this long, since nobody asks often enough for it. */
export const SHORTEST = 5000

export class Retention {
  readonly #fallback: number
  readonly #settings: TopicSettings

  /** @param given milliseconds, by an option; undefined where there is none */
  constructor(settings: TopicSettings, given: number | undefined) {
    this.#settings = settings
    this.#fallback = Math.max(SHORTEST, given ?? ASSUMED)
  }

  /** As the topic said last, which counts as long as it is the shorter time where it does not say any more; undefined before. */
  get observed(): number | undefined {
    return this.#settings.retention()
  }
  /** Whether it was observed, or will not be. */
  get isKnown(): boolean {
    return this.observed !== undefined || this.#settings.refusal() !== undefined
  }
  /** What stands for a retention that was never observed: infinite as long as there may still be an answer. */
  get assumed(): number {
    return this.#settings.refusal() !== undefined ? this.#fallback : Number.POSITIVE_INFINITY
  }
  /** Milliseconds to reckon with. */
  get effective(): number {
    return Math.max(SHORTEST, Math.min(this.observed ?? Number.POSITIVE_INFINITY, this.assumed))
  }
  /** Milliseconds that may pass between two looks at where a log ends: several of them fit into the retention. */
  get patience(): number {
    return this.effective / 4
  }
}
