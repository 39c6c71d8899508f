/** Keeps a number of operations in flight for some time and counts those that end after the warm-up. */
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

export const closedLoop = async (
  { inFlight, seconds }: ClosedLoop,
  operation: (sequence: number) => Promise<unknown>
): Promise<Throughput> => {
  const measured = histogram()
  const from = performance.now() + (seconds * 1000) / 3
  const until = from + seconds * 1000
  let sequence = 0
  let records = 0
  const lane = async (): Promise<void> => {
    for (let started = performance.now(); started < until;) {
      await operation(sequence++)
      const ended = performance.now()
      if (ended >= from && ended < until) {
        records++
        record(measured, ended - started)
      }
      started = ended
    }
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  const { p50, p99 } = percentiles(measured)
  return { records, rps: records / seconds, p50, p99 }
}
