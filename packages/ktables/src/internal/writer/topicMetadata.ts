/** What a writer knows of its topic: leaders, partitions and id, brought up to date after errors and by age. */
import { monotonic } from "../moment.ts"
import { Effect, Result, Semaphore } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import { TopicNotFound, type WriteError } from "../../TableError.ts"
import { differs } from "../differs.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import * as Sightings from "../topic/sightings.ts"
import { authenticationRefused, isNotAuthorized, notAuthorized } from "../topic/refusal.ts"

/** A deleted topic is told from metadata that lags by being absent this often, over this many milliseconds. */
const ABSENCES = 3
const ABSENT_FOR = 5000

/** A topic as it was described. */
export interface Home {
  readonly description: KafkaClient.TopicDescription
  /**
   * Rises when the name turns out to be another topic's, or the address another cluster's: a producer id is the writer's
   * own within a generation only.
   */
  readonly generation: number
}

export interface TopicMetadata {
  readonly home: () => Home
  readonly current: () => KafkaClient.TopicDescription
  /** Grows with each refresh, failed ones included. */
  readonly version: () => number
  /** The broker id, -1 without a leader, undefined when the topic has no such partition. */
  readonly leaderOf: (partition: number) => number | undefined
  /** What the last refresh said that retrying does not cure. */
  readonly refusal: () => WriteError | undefined
  /** Whether a description that somebody else got tells of a topic that is not written to as it should be. */
  readonly isOutdatedBy: (seen: KafkaClient.TopicDescription) => boolean
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
  let home: Home = { description: initial, generation: 0 }
  /** The newest that are known: a description without them makes nothing another. */
  let { clusterId, topicId } = initial
  let version = 0
  let refusal: WriteError | undefined
  let absences = 0
  let absentSince = 0

  const adopt = Effect.fnUntraced(function* (next: KafkaClient.TopicDescription) {
    const { description, generation } = home
    const isAnotherCluster = differs(clusterId, next.clusterId)
    const isAnother = isAnotherCluster || differs(topicId, next.topicId)
    // Partitions are never taken away: a broker that does not know them all yet must not send keys back to where they were.
    const isStale = !isAnother && topicId !== undefined && next.partitions.length < description.partitions.length
    if (isStale) return
    home = { description: next, generation: isAnother ? generation + 1 : generation }
    if (isAnother) {
      const what = isAnotherCluster
        ? `another cluster answers (${clusterId} became ${next.clusterId})`
        : `it is another topic than before (${topicId} became ${next.topicId})`
      yield* Effect.logWarning(`${topic}: ${what}; writes go to the new one`)
    }
    clusterId = next.clusterId ?? clusterId
    topicId = next.topicId ?? topicId
    Sightings.report(client, next)
    yield* onChange(next)
  })

  const fetch = Effect.gen(function* () {
    const result = yield* Effect.result(client.describeTopic(topic))
    const now = yield* monotonic
    version++
    refusal = undefined
    if (Result.isSuccess(result)) {
      absences = 0
      return yield* adopt(result.success)
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
    home: () => home,
    current: () => home.description,
    version: () => version,
    leaderOf: (partition) => home.description.partitions[partition]?.leader,
    refusal: () => refusal,
    isOutdatedBy: (seen) =>
      differs(clusterId, seen.clusterId) ||
      differs(topicId, seen.topicId) ||
      seen.partitions.length > home.description.partitions.length,
    refresh: (seen) => one.withPermit(Effect.suspend(() => (version > seen ? Effect.void : fetch)))
  }
}
