/**
 * What the cluster says of a session's topic: leaders and partitions are taken over, and a topic that is missing or another
 * ends the session once it is certain.
 */
import { Effect } from "effect"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import { ClusterRefused, NotAuthorized, type TableError, TopicDeleted, TopicRecreated } from "../../TableError.ts"
import { differs } from "../differs.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import type { Moment } from "../moment.ts"
import type { Elections } from "./elections.ts"
import type { SessionContext } from "./sessionContext.ts"

/** How often, and for how many milliseconds, a topic must be missing before it counts as deleted. */
const ABSENCES = 3
const ABSENT_FOR = 3000

/** Hears of partitions that were added since the session began; an error ends it. */
export type OnGrown = (previous: number, current: number) => TableError | undefined

export interface Description {
  /** Takes over leaders and partitions, as of when that was asked for; what the description does not tell is asked for again. */
  readonly adopt: (description: KafkaClient.TopicDescription, sent: Moment) => void
  /** Asks for a description, and adopts it where it is of the same topic; succeeds with whether it was. */
  readonly describe: Effect.Effect<boolean, TableError>
  /** How many partitions the topic has, whichever of them are read. */
  readonly partitionCount: () => number
  /** How many descriptions in a row told nothing that can be believed. */
  readonly failures: () => number
}

export const make = (context: SessionContext, elections: Elections, onGrown: OnGrown): Description => {
  const {
    admit,
    client,
    disconnect,
    failUnsafe,
    waiters,
    identity,
    metrics,
    moment,
    now,
    park,
    partitions,
    wakeup,
    topic,
    unplaced
  } = context
  let partitionCount = 0
  let failures = 0
  let absences = 0
  let absentSince = 0
  /** What was described last instead of the topic. */
  let suspected: string | undefined

  const adopt = (description: KafkaClient.TopicDescription, sent: Moment): void => {
    const known = partitionCount
    partitionCount = Math.max(known, description.partitions.length)
    for (const described of description.partitions) {
      const partition = admit(described.partition)
      if (partition.isOutdated(described)) {
        if (partition.parked) park(partition)
        continue
      }
      if (described.leader < 0) {
        partition.leaderless()
        disconnect(partition, `partition ${partition.partition} has no leader`)
        continue
      }
      const isElected = partition.led(described, sent)
      const isUnconfirmed = partition.confirmedEpoch !== partition.leaderEpoch && !unplaced.has(partition)
      if (isElected || isUnconfirmed) elections.elected(partition)
    }
    for (const partition of partitions.values()) {
      if (partition.partition >= description.partitions.length && partition.parked) park(partition)
    }
    const grown = known > 0 && partitionCount > known ? onGrown(known, partitionCount) : undefined
    if (grown !== undefined) failUnsafe(grown)
  }

  /** Nothing to believe: asked again. */
  const disbelieve = (): false => {
    failures++
    wakeup.call()
    return false
  }

  const onFailed = Effect.fnUntraced(function* (error: KafkaError): Effect.fn.Return<false, TableError> {
    yield* metrics.failed(error._tag)
    if (error._tag === "BrokerError") {
      if (error.code === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION || error.code === ErrorCode.UNKNOWN_TOPIC_ID) {
        if (absences++ === 0) absentSince = now()
        if (absences >= ABSENCES && now() - absentSince >= ABSENT_FOR) return yield* new TopicDeleted({ topic })
      } else if (error.code === ErrorCode.TOPIC_AUTHORIZATION_FAILED) {
        return yield* new NotAuthorized({ topic, operation: "Describe", detail: error.message })
      }
    } else if (error._tag === "UnsupportedRequest") {
      return yield* new ClusterRefused({ topic, detail: error.message, cause: error })
    }
    return disbelieve()
  })

  /** What tells that the description is not of the topic that the session follows. */
  const differenceOf = (
    description: KafkaClient.TopicDescription
  ): { readonly previous: string; readonly current: string } | undefined => {
    if (differs(identity.clusterId, description.clusterId)) {
      return { previous: `cluster ${identity.clusterId}`, current: `cluster ${description.clusterId}` }
    }
    if (differs(identity.topicId, description.topicId)) {
      return { previous: `${identity.topicId}`, current: `${description.topicId}` }
    }
    // Partitions are never taken away, so where the id is the same this is a broker that lags.
    const isSameTopic = identity.topicId !== undefined && identity.topicId === description.topicId
    return !isSameTopic && description.partitions.length < partitionCount
      ? { previous: `${partitionCount} partitions`, current: `${description.partitions.length} partitions` }
      : undefined
  }

  return {
    adopt,
    describe: Effect.gen(function* () {
      const sent = moment()
      const described = yield* Effect.result(client.describeTopic(topic))
      if (described._tag === "Failure") return yield* onFailed(described.failure)
      absences = 0
      const description = described.success
      const another = differenceOf(description)
      if (another !== undefined) {
        // A broker that lags tells of the past: what is to be believed has to be said twice in a row.
        if (suspected === another.current) return yield* new TopicRecreated({ topic, ...another })
        suspected = another.current
        return disbelieve()
      }
      suspected = undefined
      failures = 0
      waiters.confirmTopic(description.topicId, sent.monotonic)
      adopt(description, sent)
      return true
    }),
    partitionCount: () => partitionCount,
    failures: () => failures
  }
}
