/**
 * Topics on a cluster: their definition is `TableTopic`, which contacts nothing.
 *
 * **Example** (Ensure a topic at deploy time)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { KafkaTopic, TableTopic } from "effect-ktables"
 *
 * const prices = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.Finite })
 *
 * export const deploy = KafkaTopic.ensure(prices, { onPolicyMismatch: "fail" })
 * ```
 *
 * @since 0.1.0
 */
export {
  type EnsureOptions,
  EnsureOutcome,
  ensureTopic as ensure,
  type EnsureTopicError,
  type OnPolicyMismatch
} from "./internal/topic/ensureTopic.ts"
