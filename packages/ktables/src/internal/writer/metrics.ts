/** The `Metric`s of a writer, updated once per batch. */
import { type Context, Metric } from "effect"

const written = Metric.counter("ktables_written_records_total", {
  incremental: true,
  description: "Records that a broker acknowledged"
})
const bytes = Metric.counter("ktables_written_bytes_total", {
  incremental: true,
  description: "Bytes of record batches that a broker acknowledged"
})
const retries = Metric.counter("ktables_write_retries_total", {
  incremental: true,
  description: "Attempts to write a batch that have to be repeated"
})
const errors = Metric.counter("ktables_write_errors_total", {
  incremental: true,
  description: "Records whose write failed, by kind"
})

const connected = Metric.gauge("ktables_writer_connected", {
  description: "1 while brokers take a writer's records, 0 while writes wait for one"
})

export interface WriterMetrics {
  readonly written: (records: number, bytes: number) => void
  readonly retried: () => void
  readonly connected: (is: boolean) => void
  readonly failed: (kind: string, records: number) => void
}

export const make = (topic: string, context: Context.Context<never>): WriterMetrics => {
  const writtenOf = Metric.withAttributes(written, { topic })
  const bytesOf = Metric.withAttributes(bytes, { topic })
  const connectedOf = Metric.withAttributes(connected, { topic })
  const retriesOf = Metric.withAttributes(retries, { topic })
  return {
    written: (records, size) => {
      writtenOf.updateUnsafe(records, context)
      bytesOf.updateUnsafe(size, context)
    },
    retried: () => retriesOf.updateUnsafe(1, context),
    connected: (is) => connectedOf.updateUnsafe(is ? 1 : 0, context),
    failed: (kind, records) => Metric.withAttributes(errors, { topic, kind }).updateUnsafe(records, context)
  }
}
