/** Whether a writer's brokers take its writes, said in one line for all of its partitions when they are lost and when they are back. */
import { type Clock, Effect } from "effect"
import { elapsed, type Moment, momentOf } from "../moment.ts"
import type { WriterMetrics } from "./metrics.ts"

/** Failures of a batch in a row that are no passing election any more. */
const NOTEWORTHY_FAILURES = 4

export class Outage {
  readonly #topic: string
  readonly #clock: Clock.Clock
  readonly #metrics: WriterMetrics
  /** Partitions whose writes wait. */
  readonly #waiting = new Set<number>()
  #since: Moment | undefined

  constructor(topic: string, clock: Clock.Clock, metrics: WriterMetrics) {
    this.#topic = topic
    this.#clock = clock
    this.#metrics = metrics
    metrics.connected(true)
  }

  /** A partition's batch has failed so often in a row, for this reason last. */
  failed(partition: number, failures: number, detail: string): Effect.Effect<void> {
    if (failures < NOTEWORTHY_FAILURES || this.#waiting.has(partition)) return Effect.void
    this.#waiting.add(partition)
    if (this.#since !== undefined) return Effect.void
    this.#since = momentOf(this.#clock)
    this.#metrics.connected(false)
    return Effect.logWarning(
      `${this.#topic}: no broker takes writes for now, they wait and are retried: partition ${partition}: ${detail}`
    )
  }

  /** A broker took a batch of the partition, or there is no such partition any more. */
  written(partition: number): Effect.Effect<void> {
    return this.#since !== undefined && this.#waiting.delete(partition) ? this.#over : Effect.void
  }

  get #over(): Effect.Effect<void> {
    if (this.#waiting.size > 0) return Effect.void
    const seconds = Math.round(elapsed(this.#since!, momentOf(this.#clock)) / 1000)
    this.#since = undefined
    this.#metrics.connected(true)
    return Effect.logInfo(`${this.#topic}: brokers take writes again, after ${seconds} s`)
  }
}
