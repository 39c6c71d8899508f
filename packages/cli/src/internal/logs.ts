/**
 * The logs of a topic's partitions, read as they lie there: also what is in no table. Memory holds one answer at a time of each
 * partition that is being read, and time is limited.
 */
import { Clock, Effect, Schedule, type Scope } from "effect"
import { LogRecords } from "effect-ktables"
import {
  type Fetcher,
  type Isolation,
  KafkaClient,
  type PartitionDescription,
  type TopicDescription
} from "effect-ktables/KafkaClient"
import type { KafkaError } from "effect-ktables/KafkaError"
import { type CommandFailed, failed } from "./failure.ts"

/** As brokers are asked while leaders move. */
export const again = {
  while: (error: KafkaError) => error.isRetriable,
  schedule: Schedule.spaced("200 millis"),
  times: 5
}

/** Offsets by partition; undefined where a partition has no leader, or does not say. */
export const offsetsOf = Effect.fnUntraced(function* (
  topic: string,
  described: ReadonlyArray<PartitionDescription>,
  at: "earliest" | "latest",
  isolation: Isolation
): Effect.fn.Return<ReadonlyMap<number, number> | undefined, KafkaError, KafkaClient> {
  const client = yield* KafkaClient
  const leaders = new Map<number, Array<PartitionDescription>>()
  for (const partition of described) {
    if (partition.leader < 0) return undefined
    leaders.set(partition.leader, [...(leaders.get(partition.leader) ?? []), partition])
  }
  const offsets = new Map<number, number>()
  for (const [leader, partitions] of leaders) {
    for (const listed of yield* client.listOffsets(leader, { topic, at, isolation, partitions })) {
      if (listed.errorCode !== 0) return undefined
      offsets.set(listed.partition, listed.offset)
    }
  }
  return offsets
})

/** A part of a partition's log. */
export interface Range {
  readonly partition: PartitionDescription
  readonly from: number
  /** Its end is not read. */
  readonly to: number
}

/** Bytes of one answer, but for a batch that is larger. */
const BYTES = 1024 * 1024

/** Milliseconds between two questions where one failed. */
const PAUSE = 200

/** The protocol's OFFSET_OUT_OF_RANGE. */
const OUT_OF_RANGE = 1

export interface Answer extends LogRecords.Records {
  readonly errorCode: number
  readonly logStart: number
}

/** One answer's records of a partition, from `from` on; fails as the request does. */
export const fetchOnce = (
  { fetch }: Fetcher,
  { topic, topicId }: TopicDescription,
  partition: number,
  from: number,
  isolation: Isolation
): Effect.Effect<Answer, KafkaError> =>
  Effect.gen(function* () {
    const one = { partition, fetchOffset: from, currentLeaderEpoch: -1, lastFetchedEpoch: -1, maxBytes: BYTES }
    const question = { topic, topicId, isolation, maxWait: 500, minBytes: 1, maxBytes: BYTES, rack: undefined }
    const answer = yield* fetch({ ...question, partitions: [one] })
    const fetched = answer.partitions.find((found) => found.partition === partition)
    if (fetched === undefined || fetched.errorCode !== 0) {
      const errorCode = fetched?.errorCode ?? answer.errorCode
      return { records: [], nextOffset: from, problem: undefined, errorCode, logStart: fetched?.logStartOffset ?? -1 }
    }
    const read = LogRecords.read(fetched, { fromOffset: from, isolation })
    return { ...read, errorCode: 0, logStart: fetched.logStartOffset }
  })

/** A batch that cannot be read. */
export interface Unreadable {
  readonly partition: number
  readonly offset: number
  readonly detail: string
}

export interface Read {
  /** Offsets that were passed. */
  readonly offsets: number
  readonly unreadable: ReadonlyArray<Unreadable>
}

/**
 * Reads committed records of some ranges, until a time: `see` is given each record once, those of a partition in their order.
 * Fails when a partition says nothing for as long as `patience` allows.
 */
export const scan = Effect.fnUntraced(function* (
  topic: string,
  ranges: ReadonlyArray<Range>,
  options: { readonly until: number; readonly patience: number },
  see: (partition: number, record: LogRecords.LogRecord) => void
): Effect.fn.Return<Read, CommandFailed | KafkaError, KafkaClient | Scope.Scope> {
  const client = yield* KafkaClient
  const unreadable: Array<Unreadable> = []
  let offsets = 0
  const one = Effect.fnUntraced(function* ({ from, partition: { partition }, to }: Range) {
    let at = from
    let movedAt = yield* Clock.currentTimeMillis
    let source: { readonly described: TopicDescription; readonly fetcher: Fetcher } | undefined
    for (;;) {
      const now = yield* Clock.currentTimeMillis
      if (at >= to || now >= options.until) return
      if (now - movedAt >= options.patience) {
        return yield* failed(
          "unreachable",
          `partition ${partition} of ${topic} was not read for ${Math.round((now - movedAt) / 1000)} s, at ${at} of ${to}; are its brokers up? --timeout gives them longer`
        )
      }
      if (source === undefined) {
        const described = yield* Effect.retry(client.describeTopic(topic), again)
        const leader = described.partitions[partition]?.leader ?? -1
        if (leader < 0) {
          yield* Effect.sleep(PAUSE)
          continue
        }
        source = { described, fetcher: yield* client.openFetcher(leader) }
      }
      const answer = yield* fetchOnce(source.fetcher, source.described, partition, at, "read_committed").pipe(
        Effect.catchIf(
          (error) => error.isRetriable,
          () => Effect.succeed(undefined)
        )
      )
      if (answer === undefined || answer.errorCode !== 0) {
        // What is below the log's start has gone meanwhile.
        if (answer?.errorCode === OUT_OF_RANGE && answer.logStart > at) at = answer.logStart
        else yield* Effect.sleep(PAUSE)
        source = undefined
        continue
      }
      for (const record of answer.records) if (record.offset < to) see(partition, record)
      const next = Math.min(to, answer.nextOffset)
      if (next > at) {
        offsets += next - at
        at = next
        movedAt = yield* Clock.currentTimeMillis
      }
      if (answer.problem === undefined) continue
      unreadable.push({ partition, offset: answer.problem.offset, detail: answer.problem.detail })
      return
    }
  })
  yield* Effect.forEach(ranges, one, { concurrency: 4, discard: true })
  return { offsets, unreadable }
})
