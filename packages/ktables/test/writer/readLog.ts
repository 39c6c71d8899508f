/** What a topic's log holds, read without tables. */
import { Effect } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"
import type { Logged } from "./exactlyOnce.ts"

/** Every record of the topic, read without the library's tables. */
export const readLog = Effect.fnUntraced(function* (topic: string) {
  const client = yield* KafkaClient
  const description = yield* client.describeTopic(topic)
  const logged: Array<Logged> = []
  for (const { leader, partition } of description.partitions) {
    const request = { topic, at: "latest", isolation: "read_uncommitted" } as const
    const [end] = yield* client.listOffsets(leader, { ...request, partitions: [{ partition, leaderEpoch: -1 }] })
    const fetcher = yield* client.openFetcher(leader)
    for (let fetchOffset = 0; fetchOffset < end!.offset;) {
      const answer = yield* fetcher.fetch({
        topic,
        topicId: description.topicId,
        isolation: "read_uncommitted",
        maxWait: 500,
        minBytes: 1,
        maxBytes: 10_000_000,
        rack: undefined,
        partitions: [{ partition, fetchOffset, currentLeaderEpoch: -1, lastFetchedEpoch: -1, maxBytes: 10_000_000 }]
      })
      const { records } = answer.partitions[0]!
      const cursor = new RecordCursor({ records, fromOffset: fetchOffset, abortedTransactions: undefined })
      while (cursor.next()) {
        const text = (start: number, length: number) => cursor.buffer.toString("utf8", start, start + length)
        logged.push({
          partition,
          offset: cursor.offset,
          key: text(cursor.keyStart, cursor.keyLength),
          value: Number(text(cursor.valueStart, cursor.valueLength))
        })
      }
      fetchOffset = cursor.nextOffset
    }
  }
  return logged
}, Effect.scoped)
