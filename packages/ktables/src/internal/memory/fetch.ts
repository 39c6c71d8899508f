/** Answers a Fetch request as a leader does (https://kafka.apache.org/protocol.html#The_Messages_Fetch). */
import type { FetchAnswer, FetchedPartition, FetchRequest } from "../../KafkaClient.ts"
import { ErrorCode } from "../protocol/errorCodes.ts"
import type { Cluster, Topic } from "./cluster.ts"

/** An answer, and whether a broker would hold it back for more bytes. */
export interface Attempt {
  readonly answer: FetchAnswer
  readonly isEnough: boolean
}

const noRecords = Buffer.alloc(0)

const errored = (partition: number, errorCode: number): FetchedPartition => ({
  partition,
  errorCode,
  highWatermark: -1,
  lastStableOffset: -1,
  logStartOffset: -1,
  diverging: undefined,
  currentLeader: undefined,
  preferredReadReplica: -1,
  abortedTransactions: [],
  records: noRecords
})

export const attemptFetch = (
  cluster: Cluster,
  broker: number,
  request: FetchRequest,
  failing: ReadonlyMap<number, number>
): Attempt => {
  const topic = cluster.find(request)
  let bytes = 0
  let isUrgent = false
  const partitions = request.partitions.map((wanted) => {
    const failure = failing.get(wanted.partition)
    const result =
      failure === undefined
        ? fetchPartition(cluster, topic, broker, request, wanted, request.maxBytes - bytes, bytes === 0)
        : errored(wanted.partition, failure)
    bytes += result.records.length
    isUrgent ||= result.errorCode !== 0 || result.diverging !== undefined
    return result
  })
  return {
    answer: { throttle: 0, errorCode: 0, partitions, version: 17 },
    isEnough: isUrgent || bytes >= request.minBytes
  }
}

const fetchPartition = (
  cluster: Cluster,
  topic: Topic | undefined,
  broker: number,
  request: FetchRequest,
  wanted: FetchRequest["partitions"][number],
  bytesLeft: number,
  isFirst: boolean
): FetchedPartition => {
  const { fetchOffset, lastFetchedEpoch, partition } = wanted
  if (topic === undefined && request.topicId !== undefined) return errored(partition, ErrorCode.UNKNOWN_TOPIC_ID)
  const log = cluster.read(topic, partition, broker, wanted.currentLeaderEpoch)
  if (typeof log === "number") {
    const known = topic?.partitions[partition]
    const isElsewhere = log === ErrorCode.NOT_LEADER_OR_FOLLOWER || log === ErrorCode.FENCED_LEADER_EPOCH
    return {
      ...errored(partition, log),
      currentLeader:
        isElsewhere && known !== undefined && known.leader >= 0
          ? { id: known.leader, epoch: known.leaderEpoch }
          : undefined
    }
  }
  const empty: FetchedPartition = {
    ...errored(partition, 0),
    highWatermark: log.endOffset,
    lastStableOffset: log.lastStableOffset,
    logStartOffset: log.startOffset
  }
  const replica = log.replicas.get(broker)!
  if (lastFetchedEpoch >= 0) {
    const end = replica.endOfEpoch(lastFetchedEpoch, log.endOffset)
    if (end.epoch < 0) return errored(partition, ErrorCode.OFFSET_OUT_OF_RANGE)
    if (end.epoch < lastFetchedEpoch || end.endOffset < fetchOffset) return { ...empty, diverging: end }
  }
  if (fetchOffset < log.startOffset || fetchOffset > log.endOffset) {
    return errored(partition, ErrorCode.OFFSET_OUT_OF_RANGE)
  }
  const nearer = cluster.nearerReplica(log, broker, request.rack)
  if (nearer !== undefined) return { ...empty, preferredReadReplica: nearer }
  const { size, slices } = replica.read({
    from: fetchOffset,
    to: log.endFor(request.isolation),
    maxBytes: Math.max(0, Math.min(bytesLeft, wanted.maxBytes)),
    wholeFirst: isFirst
  })
  return {
    ...empty,
    abortedTransactions: request.isolation === "read_committed" ? replica.abortedFrom(fetchOffset) : [],
    records: size === 0 ? noRecords : Buffer.concat(slices, size)
  }
}
