/**
 * Whether a table's brokers answer: one view over all of its partitions and every generation of its reader, which says in the
 * log when brokers were lost and found again.
 */
import { type Clock, Effect, Exit, Latch, Option } from "effect"
import type { KafkaError } from "../../KafkaError.ts"
import { type Moment, momentOf, monotonicMillis } from "../moment.ts"
import type { ReaderMetrics } from "./metrics.ts"
import type { Partition } from "./partition.ts"

/** Milliseconds between two lines about lost brokers. */
const INTERVAL = 10_000

/** The last error of a table, whether it was got over or not. */
export interface LastError {
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly detail: string
}

const description = "description"

/** Whether it says that no broker answered: any answer, a refusal too, comes from one that is there. */
const isUnanswered = ({ _tag }: KafkaError): boolean =>
  _tag === "ConnectionFailed" || _tag === "RequestTimedOut" || _tag === "BrokersUnreachable"

export class Connectivity {
  readonly #topic: string
  readonly #clock: Clock.Clock
  readonly #metrics: ReaderMetrics
  /** Who waits for an answer: partitions, and `description` while the topic is looked for between two readings of it. */
  readonly #away = new Set<Partition | typeof description>()
  readonly #changed = Latch.makeUnsafe(false)
  /** Undefined while all brokers answer. */
  #since: Moment | undefined
  #lastError: LastError | undefined

  constructor(topic: string, clock: Clock.Clock, metrics: ReaderMetrics) {
    this.#topic = topic
    this.#clock = clock
    this.#metrics = metrics
  }

  get disconnectedSince(): Option.Option<number> {
    return Option.fromUndefinedOr(this.#since?.wall)
  }

  get lastError(): Option.Option<LastError> {
    return Option.fromUndefinedOr(this.#lastError)
  }

  noteError(detail: string): void {
    this.#lastError = { at: this.#clock.currentTimeMillisUnsafe(), detail }
  }

  /** The leader of a partition does not answer, or there is none. */
  lost(partition: Partition, detail: string): void {
    partition.disconnected(this.#clock.currentTimeMillisUnsafe(), detail)
    this.#lose(partition, detail)
  }

  /** A broker has answered for a partition. */
  found(partition: Partition): void {
    partition.connected()
    this.#find(partition)
  }

  /** Asks for a description of the topic while no partition is there whose fetches would tell whether brokers answer. */
  readonly watching = <A>(ask: Effect.Effect<A, KafkaError>): Effect.Effect<A, KafkaError> =>
    Effect.onExit(ask, (exit) =>
      Effect.sync(() => {
        const error = Option.getOrUndefined(Exit.findErrorOption(exit))
        if (error !== undefined && isUnanswered(error)) this.#lose(description, error.message)
        else if (Exit.isSuccess(exit) || error !== undefined) this.#find(description)
      })
    )

  #lose(who: Partition | typeof description, detail: string): void {
    this.noteError(detail)
    this.#away.add(who)
    if (this.#since !== undefined) return
    this.#since = momentOf(this.#clock)
    this.#metrics.connected(false)
    this.#changed.openUnsafe()
  }

  #find(who: Partition | typeof description): void {
    this.#away.delete(who)
    if (this.#since === undefined || this.#away.size > 0) return
    this.#since = undefined
    this.#metrics.connected(true)
    this.#changed.openUnsafe()
  }

  /** A generation has ended: its partitions will never be answered for. */
  forget(): void {
    this.#away.clear()
  }

  /** Says what changed, for ever: losses once per interval at most, and what was lost is said to be found. */
  get report(): Effect.Effect<never> {
    const changed = Effect.andThen(
      this.#changed.await,
      Effect.sync(() => this.#changed.closeUnsafe())
    )
    let said: number | undefined
    let next = Number.NEGATIVE_INFINITY
    return Effect.forever(
      Effect.suspend(() => {
        const since = this.#since
        const now = monotonicMillis(this.#clock)
        if (since !== undefined && said === undefined) {
          if (now < next) return Effect.raceFirst(Effect.sleep(next - now), changed)
          said = since.monotonic
          next = now + INTERVAL
          return Effect.logWarning(
            `${this.#topic}: disconnected: ${this.#lastError?.detail}; the table serves what it has, and reads on when brokers answer`
          )
        }
        if (since === undefined && said !== undefined) {
          const seconds = ((now - said) / 1000).toFixed(1)
          said = undefined
          return Effect.logInfo(`${this.#topic}: connected again after ${seconds} s`)
        }
        return changed
      })
    )
  }
}
