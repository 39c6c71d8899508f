/**
 * Topics on a cluster: their definition is `TableTopic`, which contacts nothing.
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
