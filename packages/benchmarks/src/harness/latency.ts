/** Latencies in microseconds to a minute, at three digits. */
import { build, type Histogram } from "hdr-histogram-js"

export const histogram = (): Histogram =>
  build({ lowestDiscernibleValue: 1, highestTrackableValue: 60_000_000, numberOfSignificantValueDigits: 3 })

export const record = (into: Histogram, ms: number): void => into.recordValue(Math.max(1, Math.round(ms * 1000)))

export const percentiles = (of: Histogram): { readonly p50: number; readonly p99: number; readonly max: number } => ({
  p50: of.getValueAtPercentile(50) / 1000,
  p99: of.getValueAtPercentile(99) / 1000,
  max: of.maxValue / 1000
})
