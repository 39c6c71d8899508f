/**
 * What the cluster says of a session's topic: leaders and partitions are taken over, and a topic that is missing or another
 * ends the session once it is certain.
 */
import type { LogError } from "./logError.ts"
import { Effect, type Scope } from "effect"
import type { KafkaError } from "../../KafkaError.ts"
import { ClusterRefused, NotAuthorized, type ReaderError, TopicDeleted, TopicRecreated } from "../../TableError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import type { SeenTopic, Sighting } from "../topic/topicView.ts"
import type { Elections } from "./elections.ts"
import { isRead } from "./range.ts"
import type { SessionContext } from "./sessionContext.ts"

/** Learns of partitions that were added since the session began; an error ends it. */
export type OnGrown = (previous: number, current: number) => LogError | undefined

export interface Description {
  /** Takes over what the client's view has of the topic, and from now on what anybody sees of it, until the scope closes. */
  readonly follow: Effect.Effect<void, never, Scope.Scope>
  /** Looks, and has parked partitions tried again where that told of the topic; succeeds with whether it did. */
  readonly describe: Effect.Effect<boolean>
  /** As `describe`, by what the view has already. */
  readonly reuse: Effect.Effect<boolean>
  /** How many partitions the topic has, whichever of them are read: it tells where keys belong. */
  readonly partitionCount: () => number
}

export const make = (
  context: SessionContext,
  began: SeenTopic,
  elections: Elections,
  onGrown: OnGrown
): Description => {
  const { admit, disconnect, failUnsafe, metrics, range, topic, unplaced, view, waiters, wakeup } = context
  let partitionCount = 0

  /** What was seen by others changes leaders and partitions; a partition that failed is tried again after its own back-off. */
  const adopt = (seen: SeenTopic, isOwn: boolean): void => {
    const known = partitionCount
    partitionCount = seen.partitions.length
    for (const described of seen.partitions) {
      if (!isRead(range, described.partition)) continue
      const partition = admit(described.partition)
      if (described.leader >= 0) {
        const { leader, leaderEpoch } = partition
        const hasToConfirm = partition.led(described, isOwn)
        const isOther = leader !== partition.leader || leaderEpoch !== partition.leaderEpoch
        if (hasToConfirm && (isOther || !unplaced.has(partition))) elections.elected(partition)
        if (isOther) wakeup.call()
      } else if (partition.leader >= 0 || isOwn) {
        partition.leaderless()
        disconnect(partition, `partition ${partition.partition} has no leader`)
      }
    }
    if (known === 0 || partitionCount <= known) return
    wakeup.call()
    const error = onGrown(known, partitionCount)
    if (error !== undefined) failUnsafe(error)
  }

  /** What ends the session: nothing that passes. */
  const endOf = (error: KafkaError): ReaderError | undefined => {
    if (error._tag === "UnsupportedRequest") return new ClusterRefused({ topic, detail: error.message, cause: error })
    return error._tag === "BrokerError" && error.code === ErrorCode.TOPIC_AUTHORIZATION_FAILED
      ? new NotAuthorized({ topic, operation: "Describe", detail: error.message })
      : undefined
  }

  const take = (seen: SeenTopic, isOwn: boolean): boolean => {
    const change = view.change()
    if (seen.generation === began.generation || change === undefined) {
      adopt(seen, isOwn)
      return true
    }
    failUnsafe(new TopicRecreated({ topic, ...change }))
    return false
  }

  const onSighting = (sighting: Sighting): void => {
    switch (sighting._tag) {
      case "Described":
        if (take(sighting.topic, false)) {
          waiters.confirmTopic(sighting.said.topicId, partitionCount, sighting.topic.saidAt.monotonic)
        }
        return
      case "Absent":
        if (sighting.isCertain) failUnsafe(new TopicDeleted({ topic }))
        break
      case "Failed": {
        const end = endOf(sighting.error)
        if (end !== undefined) failUnsafe(end)
      }
    }
    // Nothing to believe: asked again.
    wakeup.call()
  }

  const reuse = Effect.sync(() => take(view.current() ?? began, true))

  return {
    follow: Effect.suspend(() => {
      if (take(view.current() ?? began, true)) waiters.confirmTopic(began.topicId, partitionCount)
      return view.subscribe(onSighting)
    }),
    describe: Effect.flatMap(view.look, (sighting) => {
      if (sighting._tag === "Described") return reuse
      if ("error" in sighting) metrics.failed(sighting.error._tag)
      return Effect.succeed(false)
    }),
    reuse,
    partitionCount: () => partitionCount
  }
}
