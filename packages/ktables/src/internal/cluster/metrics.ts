/** What connections count, for all tables and writers of a client together. */
import { type Effect, Metric } from "effect"
import { counter } from "../boundMetric.ts"

const throttle = counter(
  "ktables_throttled_seconds_total",
  "Time for which brokers that throttle this client asked it to hold off"
)

/** A broker asked for so many milliseconds by the answer to a request. */
export const throttled = (broker: string, request: string, millis: number): Effect.Effect<void> =>
  Metric.update(Metric.withAttributes(throttle, { broker, request }), millis / 1000)
