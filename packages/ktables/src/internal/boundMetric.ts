/** Metrics under attributes of their own, updated in plain code: once per answer or batch, where an effect would cost more. */
import { Context, Metric } from "effect"

/** A counter that only rises. */
export const counter = (name: string, description: string): Metric.Counter<number> =>
  Metric.counter(name, { incremental: true, description })

/** Updates a metric of what lives in `context`. The attributes are put together once: with the same object Effect looks its series up by a key that it keeps. */
export const boundMetric = <Input>(
  metric: Metric.Metric<Input, unknown>,
  context: Context.Context<never>,
  attributes: Readonly<Record<string, string>>
): ((input: Input) => void) => {
  const tagged = Context.add(context, Metric.CurrentMetricAttributes, {
    ...Context.get(context, Metric.CurrentMetricAttributes),
    ...attributes
  })
  return (input) => metric.updateUnsafe(input, tagged)
}
