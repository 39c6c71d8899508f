/** Fetches and reads of the embedded Kafka, as the tests of it and of what stands on it need them. */
import { Effect } from "effect"
import * as KafkaClient from "effect-ktables/KafkaClient"
import type { LoggedRecord } from "effect-ktables/MemoryKafka"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"
import { storedBatch } from "../../src/internal/memory/storedBatch.ts"

export type Text = readonly [offset: number, key: string | null, value: string | null]

const textOf = (bytes: Buffer | null): string | null => (bytes === null ? null : bytes.toString("latin1"))

export const texts = (log: ReadonlyArray<LoggedRecord>): ReadonlyArray<Text> =>
  log.map(({ key, offset, value }) => [offset, textOf(key), textOf(value)])

/** What a table of these records holds: of each key the last value that was committed, unless that is a tombstone. */
export const tableOf = (log: ReadonlyArray<LoggedRecord>): ReadonlyMap<string, string> => {
  const table = new Map<string, string>()
  for (const { key, state, value } of log) {
    if (key === null || state === "aborted" || state === "open") continue
    if (value === null) table.delete(key.toString("latin1"))
    else table.set(key.toString("latin1"), value.toString("latin1"))
  }
  return table
}

export const fetchRequest = (
  topic: string,
  fetchOffset: number,
  options: {
    readonly partition?: number
    readonly isolation?: KafkaClient.Isolation
    readonly maxWait?: number
    readonly maxBytes?: number
    readonly currentLeaderEpoch?: number
    readonly lastFetchedEpoch?: number
  } = {}
): KafkaClient.FetchRequest => ({
  topic,
  topicId: undefined,
  isolation: options.isolation ?? "read_committed",
  maxWait: options.maxWait ?? 0,
  minBytes: 1,
  maxBytes: options.maxBytes ?? 1_000_000,
  rack: undefined,
  partitions: [
    {
      partition: options.partition ?? 0,
      fetchOffset,
      currentLeaderEpoch: options.currentLeaderEpoch ?? -1,
      lastFetchedEpoch: options.lastFetchedEpoch ?? -1,
      maxBytes: options.maxBytes ?? 1_000_000
    }
  ]
})

/** The data of an answer's first partition, as the engine's cursor walks it. */
export const dataOf = (
  answer: KafkaClient.FetchAnswer,
  fromOffset = 0,
  isolation: KafkaClient.Isolation = "read_committed"
): ReadonlyArray<Text> => {
  const { abortedTransactions, records } = answer.partitions[0]!
  const cursor = new RecordCursor({
    records,
    fromOffset,
    abortedTransactions: isolation === "read_committed" ? abortedTransactions : undefined
  })
  const seen: Array<Text> = []
  while (cursor.next()) {
    const { buffer, keyLength, keyStart, offset, valueLength, valueStart } = cursor
    const text = (start: number, length: number) =>
      length < 0 ? null : buffer.toString("latin1", start, start + length)
    seen.push([offset, text(keyStart, keyLength), text(valueStart, valueLength)])
  }
  if (cursor.problem !== undefined) throw new Error(JSON.stringify(cursor.problem))
  return seen
}

/** One fetch of partition 0 from broker 1, with the headers of its batches. */
export const fetchFrom = Effect.fnUntraced(function* (
  topic: string,
  fetchOffset: number,
  isolation: KafkaClient.Isolation
) {
  const client = yield* KafkaClient.KafkaClient
  const fetcher = yield* client.openFetcher(1)
  const answer = yield* fetcher.fetch(fetchRequest(topic, fetchOffset, { isolation }))
  const partition = answer.partitions[0]!
  const batches: Array<ReturnType<typeof storedBatch>> = []
  for (let at = 0; at < partition.records.length;) {
    const end = at + partition.records.readInt32BE(at + 8) + 12
    batches.push(storedBatch(partition.records.subarray(at, end)))
    at = end
  }
  return { ...partition, batches }
}, Effect.scoped)
