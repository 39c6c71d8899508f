import { assert, describe, layer } from "@effect/vitest"
import { Effect } from "effect"
import { KafkaClient, LogRecords } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"

describe("records of a log", () => {
  layer(MemoryKafka.layer)((it) => {
    it.effect("are read with what no table shows, without those of aborted transactions, from an offset on", () =>
      Effect.gen(function* () {
        const client = yield* KafkaClient.KafkaClient
        const kafka = yield* MemoryKafka.MemoryKafka
        const config = { "cleanup.policy": "delete" }
        yield* client.createTopic({ topic: "t", partitions: 1, replicationFactor: -1, config, timeout: 1000 })
        const aborted = yield* kafka.beginTransaction()
        yield* kafka.append("t", [{ key: "a", value: "1", timestamp: 5 }])
        yield* aborted.append("t", [{ key: "b", value: "2", timestamp: 5 }])
        yield* aborted.abort
        yield* kafka.append("t", [{ key: "c", value: null, timestamp: 5 }])
        yield* kafka.append("t", [{ key: null, value: "3", timestamp: 5 }])
        const { leader } = (yield* client.describeTopic("t")).partitions[0]!
        const read = (fromOffset: number, isolation: KafkaClient.Isolation) =>
          Effect.gen(function* () {
            const { fetch } = yield* client.openFetcher(leader)
            const one = {
              partition: 0,
              fetchOffset: fromOffset,
              currentLeaderEpoch: -1,
              lastFetchedEpoch: -1,
              maxBytes: 1e6
            }
            const question = {
              topic: "t",
              topicId: undefined,
              isolation,
              maxWait: 0,
              minBytes: 1,
              maxBytes: 1e6,
              rack: undefined
            }
            const { partitions } = yield* fetch({ ...question, partitions: [one] })
            return LogRecords.read(partitions[0]!, { fromOffset, isolation })
          }).pipe(Effect.scoped)
        const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString())
        const shown = ({ records }: LogRecords.Records) =>
          records.map(({ key, offset, timestamp, value }) => [offset, timestamp, text(key), text(value)])
        const committed = yield* read(0, "read_committed")
        assert.deepStrictEqual(
          shown(committed).map(([, , key]) => key),
          ["a", "c", null]
        )
        assert.isUndefined(committed.problem)
        const all = yield* read(0, "read_uncommitted")
        assert.deepStrictEqual(
          shown(all).map(([, , key]) => key),
          ["a", "b", "c", null]
        )
        const last = yield* read(committed.nextOffset - 1, "read_committed")
        assert.deepStrictEqual(shown(last), [[committed.nextOffset - 1, 5, null, "3"]])
      })
    )
  })
})
