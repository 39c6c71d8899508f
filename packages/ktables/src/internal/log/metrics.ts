/**
 * What a reader counts: the plain numbers of `stats`, and the `Metric`s beside them, updated once per answer or slice.
 */
import { type Context, Metric } from "effect"
import type { TableStatus } from "../../TableStatus.ts"
import { boundMetric, counter } from "../boundMetric.ts"
import type { Partition } from "./partition.ts"

const records = counter("ktables_records_total", "Records read")
const bytes = counter("ktables_bytes_total", "Bytes of record batches read")
const lag = Metric.gauge("ktables_lag", {
  description: "Offsets between what was read of a partition and its high watermark, as its leader last said"
})
const size = Metric.gauge("ktables_size", { description: "Entries in a table" })
const catchUp = Metric.gauge("ktables_catch_up_seconds", { description: "Duration of the last catch-up" })
const errors = counter("ktables_errors_total", "Failures, by kind")
const rebuilds = counter("ktables_rebuilds_total", "Times a table was built again")
const reloads = counter(
  "ktables_reloads_total",
  "Times a load began again, of a partition or of a topic that was not shown yet"
)
const stall = Metric.gauge("ktables_longest_slice_seconds", {
  description: "The longest time a table kept the event loop to itself"
})
const saves = counter("ktables_checkpoint_saves_total", "Times a table's checkpoint was saved")
const saved = Metric.gauge("ktables_checkpoint_bytes", { description: "Bytes of a table's checkpoint" })
const discards = counter(
  "ktables_checkpoint_discards_total",
  "Checkpoints of a partition, or of a whole topic, that could not be used"
)
const connected = Metric.gauge("ktables_connected", {
  description: "1 while all brokers that a table reads from answer, else 0"
})
const status = Metric.gauge("ktables_status", {
  description: "1 for the status that a table has, 0 for the others"
})

export type ReaderMetrics = ReturnType<typeof make>

export const make = (topic: string, context: Context.Context<never>) => {
  const bound = <Input>(metric: Metric.Metric<Input, unknown>, attributes?: Record<string, string>) =>
    boundMetric(metric, context, { topic, ...attributes })
  const countRecords = bound(records)
  const countBytes = bound(bytes)
  const setSize = bound(size)
  const countRebuilds = bound(rebuilds)
  const countReloads = bound(reloads)
  const setStall = bound(stall)
  const setConnected = bound(connected)
  /** By partition: sets its metric, and what that says. */
  const lags = new Map<number, { readonly set: (lag: number) => void; value: number }>()
  const setLag = (partition: number, value: number): void => {
    let known = lags.get(partition)
    if (known === undefined) {
      known = { set: bound(lag, { partition: String(partition) }), value: Number.NaN }
      lags.set(partition, known)
    }
    if (known.value === value) return
    known.value = value
    known.set(value)
  }
  const statuses = new Map(
    (["Loading", "CaughtUp", "Degraded", "Rebuilding", "Failed", "Closed"] as const).map((tag) => [
      tag,
      bound(status, { status: tag })
    ])
  )
  let current: TableStatus["_tag"] | undefined
  const counts = {
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
    /** Counts since the table was built; mutable, read by `stats`. */
    counts,
    read: (length: number) => {
      counts.bytes += length
      countBytes(length)
      countRecords(counts.records - reported)
      reported = counts.records
      setStall(counts.longestSlice / 1000)
    },
    /** To be called after a partition's high watermark or `readTo` changed. */
    lag: (partition: Partition) => setLag(partition.partition, partition.lag),
    connected: (isConnected: boolean) => setConnected(isConnected ? 1 : 0),
    status: (tag: TableStatus["_tag"]) => {
      if (tag === current) return
      if (current === undefined) for (const set of statuses.values()) set(0)
      else statuses.get(current)!(0)
      current = tag
      statuses.get(tag)!(1)
    },
    /** The topic has so many partitions: what others were behind by is of no more use. */
    partitions: (count: number) => {
      for (const partition of lags.keys()) if (partition >= count) setLag(partition, 0)
    },
    /** Nothing is read any more, and nothing held. */
    closed: () => {
      for (const partition of lags.keys()) setLag(partition, 0)
      setConnected(0)
      setSize(0)
    },
    /** A checkpoint was saved, which has so many bytes now. */
    saved: (bytes: number) => {
      bound(saves)(1)
      bound(saved)(bytes)
    },
    /** A checkpoint could not be used. */
    discarded: () => bound(discards)(1),
    failed: (kind: string) => bound(errors, { kind })(1),
    sized: setSize,
    caughtUp: (seconds: number) => bound(catchUp)(seconds),
    rebuilt: () => {
      counts.rebuilds++
      countRebuilds(1)
    },
    reloaded: () => {
      counts.reloads++
      countReloads(1)
    },
    /** Notes how long a slice took, in milliseconds. */
    slice: (millis: number) => {
      if (millis > counts.longestSlice) counts.longestSlice = millis
    }
  }
}
