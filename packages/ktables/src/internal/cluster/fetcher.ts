/**
 * Fetches over a connection of its own, or where many fetch from the broker together with others, and tells of truncation on
 * every broker alike: from Fetch 12 brokers compare the position with their log themselves, older ones are asked where the epoch
 * of the last consumed batch ended (KIP-320).
 */
import { Effect } from "effect"
import type { EpochEndOffset, FetchAnswer, FetchedPartition, Fetcher, FetchRequest } from "../../KafkaClient.ts"
import type { KafkaError } from "../../KafkaError.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import { fetch, fetchByNameVersion } from "../protocol/messages/fetch.ts"
import { offsetForLeaderEpoch } from "../protocol/messages/offsetForLeaderEpoch.ts"
import type { BrokerConnection } from "./brokerConnection.ts"
import type { ConnectionSlot } from "./connectionSlot.ts"
import { Asker, type SharedFetches } from "./sharedFetches.ts"

// The first version that carries the last fetched epoch.
const comparesPositions = 12

export const makeFetcher = (slot: ConnectionSlot, shared: SharedFetches): Fetcher => {
  const comparePositions = makePositionCheck()
  const asker = new Asker()
  /** Its own connection, once it has used one and until it shares. */
  let own: BrokerConnection | undefined
  return {
    fetch: Effect.fnUntraced(function* (request: FetchRequest) {
      if (request.shares === true && shared.areMany()) {
        const answer = yield* shared.fetch(asker, request)
        if (answer !== undefined) {
          if (own !== undefined) yield* own.close
          own = undefined
          return answer
        }
      }
      const connection = (own = yield* slot)
      const maxVersion = request.topicId === undefined ? fetchByNameVersion : undefined
      const options = { brokerWait: request.maxWait, maxVersion, allocate: request.allocate }
      const version = yield* connection.versionOf(fetch, maxVersion)
      if (version >= comparesPositions) return yield* connection.call(fetch, request, options)

      const stopped = yield* comparePositions(connection, request)
      if (stopped.size === 0) return yield* connection.call(fetch, request, options)
      const partitions = request.partitions.filter(({ partition }) => !stopped.has(partition))
      const answer: FetchAnswer =
        partitions.length === 0
          ? { throttle: 0, errorCode: ErrorCode.NONE, partitions: [], version }
          : yield* connection.call(fetch, { ...request, partitions }, { ...options, brokerWait: 0 })
      return { ...answer, partitions: [...answer.partitions, ...stopped.values()] }
    })
  }
}

/**
 * Finds the partitions that must not be fetched from where the request says. A position is compared once per leader epoch
 * and connection, since a log is only ever truncated by a change of either.
 */
const makePositionCheck = () => {
  let comparedOn: BrokerConnection | undefined
  const compared = new Map<number, number>()
  return Effect.fnUntraced(function* (
    connection: BrokerConnection,
    request: FetchRequest
  ): Effect.fn.Return<ReadonlyMap<number, FetchedPartition>, KafkaError> {
    if (comparedOn !== connection) compared.clear()
    comparedOn = connection
    const positions = new Map(
      request.partitions
        .filter(
          ({ currentLeaderEpoch, lastFetchedEpoch, partition }) =>
            lastFetchedEpoch >= 0 && compared.get(partition) !== currentLeaderEpoch
        )
        .map((position) => [position.partition, position])
    )
    if (positions.size === 0) return new Map()
    const { partitions } = yield* connection.call(offsetForLeaderEpoch, {
      topic: request.topic,
      partitions: [...positions.values()].map(({ currentLeaderEpoch, lastFetchedEpoch, partition }) => ({
        partition,
        currentLeaderEpoch,
        leaderEpoch: lastFetchedEpoch
      }))
    })
    const stopped = new Map<number, FetchedPartition>()
    for (const end of partitions) {
      const position = positions.get(end.partition)
      const stop = position === undefined ? undefined : stopAt(position, end)
      if (stop !== undefined) stopped.set(end.partition, stop)
      else if (position !== undefined) compared.set(end.partition, position.currentLeaderEpoch)
    }
    return stopped
  })
}

/** What a broker with Fetch 12 answers in place of records, if it does. */
const stopAt = (position: FetchRequest["partitions"][number], end: EpochEndOffset): FetchedPartition | undefined => {
  if (end.errorCode !== ErrorCode.NONE) return withoutRecords(end.partition, end.errorCode, undefined)
  if (end.endOffset < 0 || end.leaderEpoch < 0) {
    return withoutRecords(end.partition, ErrorCode.OFFSET_OUT_OF_RANGE, undefined)
  }
  return end.leaderEpoch < position.lastFetchedEpoch || end.endOffset < position.fetchOffset
    ? withoutRecords(end.partition, ErrorCode.NONE, { epoch: end.leaderEpoch, endOffset: end.endOffset })
    : undefined
}

const withoutRecords = (
  partition: number,
  errorCode: number,
  diverging: FetchedPartition["diverging"]
): FetchedPartition => ({
  partition,
  errorCode,
  highWatermark: -1,
  lastStableOffset: -1,
  logStartOffset: -1,
  diverging,
  currentLeader: undefined,
  preferredReadReplica: -1,
  abortedTransactions: [],
  records: Buffer.alloc(0)
})
