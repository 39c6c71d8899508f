/** A topic of one partition whose segments are a second, written and read around every proxy, and its broker's cleaner. */
import assert from "node:assert/strict"
import { Effect, Schedule, Schema } from "effect"
import { KafkaClient, TableTopic } from "effect-ktables"
import { RecordCursor } from "../../../src/internal/records/batchReader.ts"
import { encodeBatch } from "../../../src/internal/records/batchWriter.ts"

export const DAY = String(86_400_000)

export const topicOf = (name: string) => TableTopic.make({ name, key: Schema.String, value: Schema.String })

/** Has partition 0 hold one more batch, as it is given; milliseconds that the broker may take. */
export const append = Effect.fnUntraced(function* (topic: string, batch: Buffer, timeout: number) {
  const client = yield* KafkaClient.KafkaClient
  const { partitions, topicId } = yield* client.describeTopic(topic)
  const [answer] = yield* client.produce(partitions[0]!.leader, {
    topic,
    topicId,
    acks: -1,
    timeout,
    partitions: [{ partition: 0, records: batch }]
  })
  assert.equal(answer?.errorCode, 0)
})

/** Everybody's way to one partition around the proxies: writes that roll segments, and what a broker's own copy holds. */
export const rawLog = Effect.fnUntraced(function* (topic: string) {
  const client = yield* KafkaClient.KafkaClient
  // Two seconds between any two writes, by their timestamps: each one rolls the segment before it.
  let timestamp = Date.now() - 3_600_000
  const describe = client.describeTopic(topic)
  return {
    write: (records: ReadonlyArray<readonly [key: string, value: string | null]>) =>
      Effect.gen(function* () {
        timestamp += 2000
        const batch = encodeBatch(
          records.map(([key, value], offsetDelta) => ({
            offsetDelta,
            timestamp,
            key: Buffer.from(key),
            value: value === null ? null : Buffer.from(JSON.stringify(value))
          }))
        )
        yield* Effect.provideService(append(topic, batch, 10_000), KafkaClient.KafkaClient, client)
      }),
    /** The keys of a broker's copy, in the order of their offsets. */
    keysAt: Effect.fnUntraced(function* (broker: number) {
      const { topicId } = yield* describe
      const fetcher = yield* client.openFetcher(broker)
      const keys: Array<string> = []
      for (let position = 0; ;) {
        const { partitions } = yield* fetcher.fetch({
          topic,
          topicId,
          isolation: "read_committed",
          maxWait: 100,
          minBytes: 1,
          maxBytes: 1 << 25,
          rack: undefined,
          partitions: [
            { partition: 0, fetchOffset: position, currentLeaderEpoch: -1, lastFetchedEpoch: -1, maxBytes: 1 << 25 }
          ]
        })
        const { records } = partitions[0]!
        if (records.length === 0) return keys
        const cursor = new RecordCursor({ records, fromOffset: position, abortedTransactions: undefined })
        while (cursor.next()) {
          keys.push(cursor.buffer.toString("utf8", cursor.keyStart, cursor.keyStart + cursor.keyLength))
        }
        position = cursor.nextOffset
      }
    }, Effect.scoped)
  }
})

/** Writes on until the broker's cleaner has left nothing of a key. */
export const awaitGone = Effect.fnUntraced(function* (
  log: Effect.Success<ReturnType<typeof rawLog>>,
  broker: number,
  key: string
) {
  let n = 0
  yield* Effect.gen(function* () {
    n++
    yield* log.write([["pulse", String(n)]])
    return (yield* log.keysAt(broker)).includes(key)
  }).pipe(
    Effect.repeat({ schedule: Schedule.spaced("200 millis"), while: (isThere) => isThere }),
    Effect.timeout("90 seconds")
  )
})

/** Segments of a second, cleaned at once: a tombstone goes `delete.retention.ms` after it was cleaned first. */
export const COMPACTING = {
  "cleanup.policy": "compact",
  "segment.ms": "1000",
  "min.cleanable.dirty.ratio": "0",
  "delete.retention.ms": "0"
}
