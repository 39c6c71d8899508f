/** The `Metric`s of a writer, updated once per batch. */
import { type Context, Metric } from "effect"

const written = Metric.counter("ktables_written_records", {
  incremental: true,
  description: "Records that a broker acknowledged"
})
const bytes = Metric.counter("ktables_written_bytes", {
  incremental: true,
  description: "Bytes of record batches that a broker acknowledged"
})
const retries = Metric.counter("ktables_write_retries", {
  incremental: true,
  description: "Attempts to write a batch that have to be repeated"
})
const errors = Metric.counter("ktables_write_errors", {
  incremental: true,
  description: "Records whose write failed, by kind"
})

export interface WriterMetrics {
  readonly written: (records: number, bytes: number) => void
  readonly retried: () => void
  readonly failed: (kind: string, records: number) => void
}

export const make = (topic: string, context: Context.Context<never>): WriterMetrics => {
  const writtenOf = Metric.withAttributes(written, { topic })
  const bytesOf = Metric.withAttributes(bytes, { topic })
  const retriesOf = Metric.withAttributes(retries, { topic })
  return {
    written: (records, size) => {
      writtenOf.updateUnsafe(records, context)
      bytesOf.updateUnsafe(size, context)
    },
    retried: () => retriesOf.updateUnsafe(1, context),
    failed: (kind, records) => Metric.withAttributes(errors, { topic, kind }).updateUnsafe(records, context)
  }
}
