/**
 * What a reader counts: the plain numbers behind `stats`, and the `Metric`s beside them, updated once per answer or slice.
 */
import { Effect, Metric } from "effect"
import type { Partition } from "./partition.ts"

const records = Metric.counter("ktables_records", { incremental: true, description: "Records read" })
const bytes = Metric.counter("ktables_bytes", { incremental: true, description: "Bytes of record batches read" })
const lag = Metric.gauge("ktables_lag", {
  description: "Offsets between a partition's position and its high watermark"
})
const size = Metric.gauge("ktables_size", { description: "Entries in a table" })
const catchUp = Metric.gauge("ktables_catch_up_seconds", { description: "Duration of the last catch-up" })
const errors = Metric.counter("ktables_errors", { incremental: true, description: "Failures, by kind" })
const rebuilds = Metric.counter("ktables_rebuilds", { incremental: true, description: "Times a table was built anew" })
const stall = Metric.gauge("ktables_longest_slice_ms", {
  description: "The longest time a table kept the event loop to itself"
})

export interface ReaderMetrics {
  /** Counts since the table was built; mutable, read by `stats`. */
  readonly counts: {
    records: number
    tombstones: number
    keyless: number
    keyErrors: number
    valueErrors: number
    foreign: number
    bytes: number
    rebuilds: number
    longestSlice: number
  }
  readonly read: (partition: Partition, length: number) => Effect.Effect<void>
  readonly failed: (kind: string) => Effect.Effect<void>
  readonly sized: (entries: number) => Effect.Effect<void>
  readonly caughtUp: (seconds: number) => Effect.Effect<void>
  readonly rebuilt: Effect.Effect<void>
  /** Notes how long a slice took, in milliseconds. */
  readonly slice: (millis: number) => void
}

export const make = (topic: string): ReaderMetrics => {
  const of = <Input, State>(metric: Metric.Metric<Input, State>, attributes?: Record<string, string>) =>
    Metric.withAttributes(metric, { topic, ...attributes })
  const recordsOf = of(records)
  const bytesOf = of(bytes)
  const sizeOf = of(size)
  const stallOf = of(stall)
  const lags = new Map<number, Metric.Metric<number, unknown>>()
  const counts: ReaderMetrics["counts"] = {
    records: 0,
    tombstones: 0,
    keyless: 0,
    keyErrors: 0,
    valueErrors: 0,
    foreign: 0,
    bytes: 0,
    rebuilds: 0,
    longestSlice: 0
  }
  let reported = 0
  return {
    counts,
    read: (partition, length) =>
      Effect.suspend(() => {
        counts.bytes += length
        let lagOf = lags.get(partition.partition)
        if (lagOf === undefined) {
          lagOf = of(lag, { partition: String(partition.partition) })
          lags.set(partition.partition, lagOf)
        }
        const fresh = counts.records - reported
        reported = counts.records
        return Effect.all(
          [
            Metric.update(recordsOf, fresh),
            Metric.update(bytesOf, length),
            Metric.update(lagOf, Math.max(0, partition.highWatermark - partition.position)),
            Metric.update(stallOf, counts.longestSlice)
          ],
          { discard: true }
        )
      }),
    failed: (kind) => Metric.update(of(errors, { kind }), 1),
    sized: (entries) => Metric.update(sizeOf, entries),
    caughtUp: (seconds) => Metric.update(of(catchUp), seconds),
    rebuilt: Effect.suspend(() => {
      counts.rebuilds++
      return Metric.update(of(rebuilds), 1)
    }),
    slice: (millis) => {
      if (millis > counts.longestSlice) counts.longestSlice = millis
    }
  }
}
