/** A writer's side of the view of its topic: whom to write to, and when not to. */
import type { Effect } from "effect"
import { TopicNotFound, type WriteError } from "../../TableError.ts"
import { authenticationRefused, isNotAuthorized, notAuthorized } from "../topic/refusal.ts"
import type { SeenTopic, TopicView } from "../topic/topicView.ts"

export interface TopicAccess {
  readonly current: () => SeenTopic
  /** The broker id, -1 without a leader, undefined when the topic has no such partition. */
  readonly leaderOf: (partition: number) => number | undefined
  /** What the last look said that retrying does not cure. */
  readonly refusal: () => WriteError | undefined
  /** Why it is not certain which topic, or which cluster, answers: nothing is sent or acknowledged meanwhile. */
  readonly doubt: () => string | undefined
  /** Waits until it is certain. */
  readonly settled: Effect.Effect<void>
  /** Grows with each look, failed ones included. */
  readonly version: () => number
  /** Looks unless that happened since version `seen`; many callers share one request. */
  readonly refresh: (seen: number) => Effect.Effect<void>
}

export const make = (view: TopicView, initial: SeenTopic): TopicAccess => {
  const { topic } = view
  const current = (): SeenTopic => view.current() ?? initial
  return {
    current,
    leaderOf: (partition) => current().partitions[partition]?.leader,
    refusal: () => {
      const latest = view.latest()
      if (latest?._tag === "Absent") return latest.isCertain ? new TopicNotFound({ topic }) : undefined
      if (latest?._tag !== "Failed") return undefined
      const { error } = latest
      if (error._tag === "AuthenticationFailed") return authenticationRefused(topic, error)
      return error._tag === "BrokerError" && isNotAuthorized(error.code)
        ? notAuthorized(topic, "Describe", error)
        : undefined
    },
    doubt: () => {
      const doubt = view.doubt()
      return doubt === undefined
        ? undefined
        : `it is not certain which topic answers: a broker said ${doubt.current}, it was ${doubt.previous}`
    },
    settled: view.settled,
    version: view.version,
    refresh: view.refresh
  }
}
