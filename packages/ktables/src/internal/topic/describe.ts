/** Describes a topic for what starts on it, through elections, metadata that lags and brokers that come late. */
import { monotonic } from "../moment.ts"
import { type Duration, Effect, identity, Result } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import { type AuthenticationRefused, type ClusterRefused, type NotAuthorized, TopicNotFound } from "../../TableError.ts"
import type { Unreachable } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { backoff } from "../backoff.ts"
import { refused } from "./refusal.ts"
import * as StartRetry from "./startRetry.ts"
import * as TopicView from "./topicView.ts"

/** Brokers learn of a topic one after another, so its absence has to be repeated to be believed. */
const REPETITIONS = 3

/** Milliseconds that a topic just created may stay unknown to the brokers asked. */
const CREATION_LAG = 5000

/** Milliseconds to wait for partitions without a leader; then whoever starts waits for each of them on its own. */
const ELECTION = 2000

/** Looks on while a description is asked for. */
export type Watch = <A>(ask: Effect.Effect<A, KafkaError>) => Effect.Effect<A, KafkaError>

const isUnknown = (error: { readonly code: number }): boolean => error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

const hasLeaders = (description: KafkaClient.TopicDescription): boolean =>
  description.partitions.length > 0 && description.partitions.every((p) => p.leader >= 0)

export const describeWith = Effect.fnUntraced(function* (
  retry: StartRetry.StartRetry,
  justCreated: boolean,
  watch: Watch = identity
): Effect.fn.Return<
  TopicView.SeenTopic,
  TopicNotFound | NotAuthorized | Unreachable | AuthenticationRefused | ClusterRefused
> {
  const { topic, view } = retry
  let absences = 0
  let absentSince = 0
  let leaderless = 0
  let leaderlessSince = 0
  while (true) {
    const result = yield* Effect.result(retry.until(watch(view.describe), isUnknown))
    const now = yield* monotonic
    if (Result.isSuccess(result)) {
      const description = result.success
      if (leaderless === 0) leaderlessSince = now
      if (hasLeaders(description) || now - leaderlessSince >= ELECTION) return description
      yield* backoff(++leaderless)
      continue
    }
    const error = result.failure
    if (error._tag !== "BrokerError" && error._tag !== "UnsupportedRequest") return yield* error
    if (error._tag === "UnsupportedRequest" || !isUnknown(error)) return yield* refused(topic, "Describe", error)
    if (absences === 0) absentSince = now
    absences++
    if (absences >= REPETITIONS && (!justCreated || now - absentSince >= CREATION_LAG)) {
      return yield* new TopicNotFound({ topic })
    }
    yield* backoff(absences)
  }
})

/** Describes the topic, retrying what passes by itself until `startTimeout`. */
export const describeWithin = (
  client: KafkaClient.Service,
  topic: string,
  startTimeout: Duration.Input,
  options?: {
    /** The topic was created a moment ago: its absence is a lag of the metadata for some seconds. Default: false. */
    readonly justCreated?: boolean | undefined
    /** Sees every attempt and what became of it. */
    readonly watch?: Watch | undefined
  }
): Effect.Effect<
  TopicView.SeenTopic,
  TopicNotFound | NotAuthorized | Unreachable | AuthenticationRefused | ClusterRefused
> =>
  TopicView.acquire(client, topic).pipe(
    Effect.flatMap((view) => StartRetry.make(view, startTimeout)),
    Effect.flatMap((retry) => describeWith(retry, options?.justCreated === true, options?.watch)),
    Effect.scoped
  )
