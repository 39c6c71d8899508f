/** Keeps a number of operations in flight for some time and counts those that end after the warm-up. */
import { Effect } from "effect"
import { histogram, percentiles, record } from "./latency.ts"

export interface ClosedLoop {
  readonly inFlight: number
  /** Measured seconds; a third as long is spent warming up. */
  readonly seconds: number
}

export interface Throughput {
  readonly records: number
  readonly rps: number
  readonly p50: number
  readonly p99: number
}

class Counter {
  sequence = 0
  readonly from: number
  readonly until: number
  private records = 0
  private readonly measured = histogram()
  private readonly seconds: number

  constructor(seconds: number) {
    this.seconds = seconds
    this.from = performance.now() + (seconds * 1000) / 3
    this.until = this.from + seconds * 1000
  }

  count(started: number, ended: number): void {
    if (ended < this.from || ended >= this.until) return
    this.records++
    record(this.measured, ended - started)
  }

  result(): Throughput {
    const { p50, p99 } = percentiles(this.measured)
    return { records: this.records, rps: this.records / this.seconds, p50, p99 }
  }
}

/** For clients that answer with promises. */
export const closedLoop = async (
  { inFlight, seconds }: ClosedLoop,
  operation: (sequence: number) => Promise<unknown>
): Promise<Throughput> => {
  const counter = new Counter(seconds)
  const lane = async (): Promise<void> => {
    for (let started = performance.now(); started < counter.until;) {
      await operation(counter.sequence++)
      const ended = performance.now()
      counter.count(started, ended)
      started = ended
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  return counter.result()
}

/** For effects, each lane a fiber. */
export const closedLoopEffect = Effect.fnUntraced(function* <E, R>(
  { inFlight, seconds }: ClosedLoop,
  operation: (sequence: number) => Effect.Effect<unknown, E, R>
) {
  const counter = new Counter(seconds)
  const lane = Effect.gen(function* () {
    for (let started = performance.now(); started < counter.until;) {
      yield* operation(counter.sequence++)
      const ended = performance.now()
      counter.count(started, ended)
      started = ended
    }
  })
  yield* Effect.all(
    Array.from({ length: inFlight }, () => lane),
    { concurrency: "unbounded", discard: true }
  )
  return counter.result()
})
