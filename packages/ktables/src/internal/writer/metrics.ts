/** The `Metric`s of a writer, updated once per batch. */
import { type Context, Metric } from "effect"
import { boundMetric, counter } from "../boundMetric.ts"

const written = counter("ktables_written_records_total", "Records that a broker acknowledged")
const bytes = counter("ktables_written_bytes_total", "Bytes of record batches that a broker acknowledged")
const retries = counter("ktables_write_retries_total", "Attempts to write a batch that have to be repeated")
const errors = counter("ktables_write_errors_total", "Records whose write failed, by kind")

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
  const countWritten = boundMetric(written, context, { topic })
  const countBytes = boundMetric(bytes, context, { topic })
  const setConnected = boundMetric(connected, context, { topic })
  const countRetries = boundMetric(retries, context, { topic })
  return {
    written: (records, size) => {
      countWritten(records)
      countBytes(size)
    },
    retried: () => countRetries(1),
    connected: (is) => setConnected(is ? 1 : 0),
    failed: (kind, records) => boundMetric(errors, context, { topic, kind })(records)
  }
}
