/** What a writer knows of its topic: leaders, partitions and id, brought up to date after errors and by age. */
import { Clock, Effect, Result, Semaphore } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { TopicNotFound, type WriteError } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { authenticationRefused, isNotAuthorized, notAuthorized } from "../topic/refusal.ts"

/** A deleted topic is told from metadata that lags by being absent this often, over this many milliseconds. */
const ABSENCES = 3
const ABSENT_FOR = 5000

export interface TopicMetadata {
  readonly current: () => KafkaClient.TopicDescription
  /** Grows with each refresh, failed ones included. */
  readonly version: () => number
  /** The broker id, -1 without a leader, undefined when the topic has no such partition. */
  readonly leaderOf: (partition: number) => number | undefined
  /** What the last refresh said that retrying does not cure. */
  readonly refusal: () => WriteError | undefined
  /** Refreshes unless that happened since version `seen`; many callers share one request. */
  readonly refresh: (seen: number) => Effect.Effect<void>
}

export const make = (
  client: KafkaClient.Service,
  initial: KafkaClient.TopicDescription,
  onChange: (next: KafkaClient.TopicDescription) => Effect.Effect<void>
): TopicMetadata => {
  const { topic } = initial
  const one = Semaphore.makeUnsafe(1)
  let current = initial
  let version = 0
  let refusal: WriteError | undefined
  let absences = 0
  let absentSince = 0

  const fetch = Effect.gen(function* () {
    const result = yield* Effect.result(client.describeTopic(topic))
    const now = yield* Clock.currentTimeMillis
    version++
    refusal = undefined
    if (Result.isSuccess(result)) {
      absences = 0
      const was = current.topicId
      // Partitions are never taken away: a broker that does not know them all yet must not send keys back to where they were.
      const isStale =
        was !== undefined &&
        was === result.success.topicId &&
        result.success.partitions.length < current.partitions.length
      if (isStale) return
      current = result.success
      if (was !== undefined && current.topicId !== undefined && was !== current.topicId) {
        yield* Effect.logWarning(
          `${topic} is another topic than before (${was} became ${current.topicId}); writes go to the new one`
        )
      }
      return yield* onChange(current)
    }
    const error = result.failure
    if (error._tag === "BrokerError" && error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) {
      if (absences++ === 0) absentSince = now
      if (absences >= ABSENCES && now - absentSince >= ABSENT_FOR) refusal = new TopicNotFound({ topic })
    } else if (error._tag === "BrokerError" && isNotAuthorized(error.code)) {
      refusal = notAuthorized(topic, "Describe", error)
    } else if (error._tag === "AuthenticationFailed") {
      refusal = authenticationRefused(topic, error)
    }
    yield* Effect.logDebug(`${topic}: its metadata could not be refreshed: ${error.message}`)
  })

  return {
    current: () => current,
    version: () => version,
    leaderOf: (partition) => current.partitions[partition]?.leader,
    refusal: () => refusal,
    refresh: (seen) => one.withPermit(Effect.suspend(() => (version > seen ? Effect.void : fetch)))
  }
}
