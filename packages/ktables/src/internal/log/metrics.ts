/**
 * What a reader counts: the plain numbers of `stats`, and the `Metric`s beside them, updated once per answer or slice.
 */
import { type Context, Effect, Metric } from "effect"
import type { TableStatus } from "../../TableStatus.ts"
import type { Partition } from "./partition.ts"

const records = Metric.counter("ktables_records_total", { incremental: true, description: "Records read" })
const bytes = Metric.counter("ktables_bytes_total", { incremental: true, description: "Bytes of record batches read" })
const lag = Metric.gauge("ktables_lag", {
  description: "Offsets between what was read of a partition and its high watermark, as its leader last said"
})
const size = Metric.gauge("ktables_size", { description: "Entries in a table" })
const catchUp = Metric.gauge("ktables_catch_up_seconds", { description: "Duration of the last catch-up" })
const errors = Metric.counter("ktables_errors_total", { incremental: true, description: "Failures, by kind" })
const rebuilds = Metric.counter("ktables_rebuilds_total", {
  incremental: true,
  description: "Times a table was built again"
})
const reloads = Metric.counter("ktables_reloads_total", {
  incremental: true,
  description: "Times a load began again, of a partition or of a topic that was not shown yet"
})
const stall = Metric.gauge("ktables_longest_slice_seconds", {
  description: "The longest time a table kept the event loop to itself"
})
const connected = Metric.gauge("ktables_connected", {
  description: "1 while all brokers that a table reads from answer, else 0"
})
const status = Metric.gauge("ktables_status", {
  description: "1 for the status that a table has, 0 for the others"
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
    reloads: number
    longestSlice: number
  }
  readonly read: (length: number) => Effect.Effect<void>
  /** To be called after a partition's high watermark or `readTo` changed. */
  readonly lag: (partition: Partition) => void
  readonly connected: (isConnected: boolean) => void
  readonly status: (tag: TableStatus["_tag"]) => void
  /** The topic has so many partitions: what others were behind by is of no more use. */
  readonly partitions: (count: number) => void
  /** Nothing is read any more, and nothing held. */
  readonly closed: () => void
  readonly failed: (kind: string) => Effect.Effect<void>
  readonly sized: (entries: number) => Effect.Effect<void>
  readonly caughtUp: (seconds: number) => Effect.Effect<void>
  readonly rebuilt: Effect.Effect<void>
  readonly reloaded: () => void
  /** Notes how long a slice took, in milliseconds. */
  readonly slice: (millis: number) => void
}

export const make = (topic: string, context: Context.Context<never>): ReaderMetrics => {
  const of = <Input, State>(metric: Metric.Metric<Input, State>, attributes?: Record<string, string>) =>
    Metric.withAttributes(metric, { topic, ...attributes })
  const recordsOf = of(records)
  const bytesOf = of(bytes)
  const sizeOf = of(size)
  const reloadsOf = of(reloads)
  const stallOf = of(stall)
  const connectedOf = of(connected)
  /** By partition: its metric, and what that says. */
  const lags = new Map<number, { readonly metric: Metric.Metric<number, unknown>; value: number }>()
  const setLag = (partition: number, value: number): void => {
    let known = lags.get(partition)
    if (known === undefined) {
      known = { metric: of(lag, { partition: String(partition) }), value: Number.NaN }
      lags.set(partition, known)
    }
    if (known.value === value) return
    known.value = value
    known.metric.updateUnsafe(value, context)
  }
  const statuses = new Map(
    (["Loading", "CaughtUp", "Degraded", "Rebuilding", "Failed", "Closed"] as const).map((tag) => [
      tag,
      of(status, { status: tag })
    ])
  )
  let current: TableStatus["_tag"] | undefined
  const counts: ReaderMetrics["counts"] = {
    records: 0,
    tombstones: 0,
    keyless: 0,
    keyErrors: 0,
    valueErrors: 0,
    foreign: 0,
    bytes: 0,
    rebuilds: 0,
    reloads: 0,
    longestSlice: 0
  }
  let reported = 0
  return {
    counts,
    read: (length) =>
      Effect.suspend(() => {
        counts.bytes += length
        const fresh = counts.records - reported
        reported = counts.records
        return Effect.all(
          [
            Metric.update(recordsOf, fresh),
            Metric.update(bytesOf, length),
            Metric.update(stallOf, counts.longestSlice / 1000)
          ],
          { discard: true }
        )
      }),
    lag: (partition) => setLag(partition.partition, partition.lag),
    connected: (isConnected) => connectedOf.updateUnsafe(isConnected ? 1 : 0, context),
    status: (tag) => {
      if (tag === current) return
      if (current === undefined) for (const metric of statuses.values()) metric.updateUnsafe(0, context)
      else statuses.get(current)!.updateUnsafe(0, context)
      current = tag
      statuses.get(tag)!.updateUnsafe(1, context)
    },
    partitions: (count) => {
      for (const partition of lags.keys()) if (partition >= count) setLag(partition, 0)
    },
    closed: () => {
      for (const partition of lags.keys()) setLag(partition, 0)
      connectedOf.updateUnsafe(0, context)
      sizeOf.updateUnsafe(0, context)
    },
    failed: (kind) => Metric.update(of(errors, { kind }), 1),
    sized: (entries) => Metric.update(sizeOf, entries),
    caughtUp: (seconds) => Metric.update(of(catchUp), seconds),
    rebuilt: Effect.suspend(() => {
      counts.rebuilds++
      return Metric.update(of(rebuilds), 1)
    }),
    reloaded: () => {
      counts.reloads++
      reloadsOf.updateUnsafe(1, context)
    },
    slice: (millis) => {
      if (millis > counts.longestSlice) counts.longestSlice = millis
    }
  }
}
