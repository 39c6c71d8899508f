/** The contract's promises on offsets, leader epochs and transactions. */
import { assert, type Vitest } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type * as KafkaClientModel from "effect-ktables/KafkaClient"
import { KafkaClient } from "effect-ktables/KafkaClient"
import { ContractAdmin } from "../../ContractAdmin.ts"
import { readBatches } from "../recordBatch.ts"
import {
  awaitStable,
  Code,
  fetchOne,
  fill,
  freshTopic,
  keysOf,
  leaderOf,
  listOffset,
  type TestTopic
} from "./support.ts"

const one = (key: string) => [{ key, value: "v" }]

const stamped = (key: string, timestamp: number) => ({ key, value: "v", timestamp })

const latest = Effect.fnUntraced(function* (topic: TestTopic) {
  return {
    uncommitted: (yield* listOffset(topic, "latest", "read_uncommitted")).offset,
    committed: (yield* listOffset(topic, "latest", "read_committed")).offset
  }
})

const epochEnd = Effect.fnUntraced(function* (topic: TestTopic, leaderEpoch: number, currentLeaderEpoch: number) {
  const client = yield* KafkaClient
  const [end] = yield* client.endOffsetForEpoch(leaderOf(topic), {
    topic: topic.topic,
    partitions: [{ partition: 0, currentLeaderEpoch, leaderEpoch }]
  })
  return end
})

export const offsets = (it: Vitest.MethodsNonLive<KafkaClient | ContractAdmin>): void => {
  it.effect("the ends of a log are listed with the epoch they lie in", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      assert.deepStrictEqual(yield* latest(topic), { uncommitted: 0, committed: 0 })
      yield* fill(topic, [one("a"), [...one("b"), ...one("c")]])
      assert.deepStrictEqual(yield* listOffset(topic, "earliest"), {
        partition: 0,
        errorCode: 0,
        offset: 0,
        leaderEpoch: 0
      })
      assert.deepStrictEqual(yield* listOffset(topic, "latest"), {
        partition: 0,
        errorCode: 0,
        offset: 3,
        leaderEpoch: 0
      })
    })
  )

  it.effect("the first record of a time is listed, among those that a reader may see", () =>
    Effect.gen(function* () {
      const admin = yield* ContractAdmin
      const topic = yield* freshTopic()
      const since = (time: number, isolation?: KafkaClientModel.Isolation) =>
        Effect.map(listOffset(topic, time, isolation), ({ errorCode, leaderEpoch, offset }) => [
          errorCode,
          offset,
          leaderEpoch
        ])
      assert.deepStrictEqual(yield* since(0), [0, -1, -1])
      // Times go back, within a batch and between two.
      yield* fill(topic, [[stamped("a", 3000), stamped("b", 1000)], [stamped("c", 2000)], [stamped("d", 5000)]])
      assert.deepStrictEqual(yield* since(0), [0, 0, 0])
      assert.deepStrictEqual(yield* since(1000), [0, 0, 0])
      assert.deepStrictEqual(yield* since(3000), [0, 0, 0])
      assert.deepStrictEqual(yield* since(3001), [0, 3, 0])
      assert.deepStrictEqual(yield* since(5000), [0, 3, 0])
      assert.deepStrictEqual(yield* since(5001), [0, -1, -1])
      const transaction = yield* admin.beginTransaction
      yield* transaction.append(topic.topic, 0, [stamped("t", 7000)])
      assert.deepStrictEqual(yield* since(6000), [0, -1, -1])
      assert.deepStrictEqual(yield* since(6000, "read_uncommitted"), [0, 4, 0])
      yield* transaction.abort
      yield* awaitStable(topic, 6)
      assert.deepStrictEqual(yield* since(6000), [0, 4, 0])
      // The marker of the transaction is stamped, too.
      assert.deepStrictEqual(yield* since(7001), [0, 5, 0])
    })
  )

  it.effect("offsets of a partition or topic that is not there are refused", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const topic = yield* freshTopic()
      const ask = (name: string, partition: number) =>
        Effect.map(
          client.listOffsets(leaderOf(topic), {
            topic: name,
            at: "latest",
            isolation: "read_committed",
            partitions: [{ partition, leaderEpoch: -1 }]
          }),
          ([listed]) => [listed?.errorCode, listed?.offset]
        )
      assert.deepStrictEqual(yield* ask(topic.topic, 1), [Code.UNKNOWN_TOPIC_OR_PARTITION, -1])
      assert.deepStrictEqual(yield* ask("no-such-topic", 0), [Code.UNKNOWN_TOPIC_OR_PARTITION, -1])
    })
  )

  it.effect("a leader epoch from the future is unknown to every request", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a")])
      const listed = yield* listOffset(topic, "latest", "read_committed", { leaderEpoch: 1 })
      assert.strictEqual(listed.errorCode, Code.UNKNOWN_LEADER_EPOCH)
      const fetched = yield* fetchOne(topic, 0, { currentLeaderEpoch: 1, maxWait: 20_000 })
      assert.strictEqual(fetched.errorCode, Code.UNKNOWN_LEADER_EPOCH)
      assert.strictEqual((yield* epochEnd(topic, 0, 1))?.errorCode, Code.UNKNOWN_LEADER_EPOCH)
      assert.strictEqual((yield* fetchOne(topic, 0, { currentLeaderEpoch: 0 })).errorCode, 0)
    })
  )

  it.effect("the current epoch ends at the log's end, and an unknown one nowhere", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a"), one("b")])
      assert.deepStrictEqual(yield* epochEnd(topic, 0, 0), {
        partition: 0,
        errorCode: 0,
        leaderEpoch: 0,
        endOffset: 2
      })
      assert.deepStrictEqual(yield* epochEnd(topic, 5, -1), {
        partition: 0,
        errorCode: 0,
        leaderEpoch: -1,
        endOffset: -1
      })
    })
  )

  it.effect("a reader that is ahead of the log in the log's own epoch is told where they part", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a"), one("b")])
      const ahead = yield* fetchOne(topic, 7, { currentLeaderEpoch: 0, lastFetchedEpoch: 0, maxWait: 20_000 })
      assert.strictEqual(ahead.errorCode, 0)
      assert.deepStrictEqual(ahead.diverging, { epoch: 0, endOffset: 2 })
      assert.strictEqual(ahead.records.length, 0)
      const within = yield* fetchOne(topic, 1, { currentLeaderEpoch: 0, lastFetchedEpoch: 0 })
      assert.isUndefined(within.diverging)
      assert.deepStrictEqual(keysOf(within.records), ["b"])
      const unknown = yield* fetchOne(topic, 1, { currentLeaderEpoch: 0, lastFetchedEpoch: 3, maxWait: 20_000 })
      assert.strictEqual(unknown.errorCode, Code.OFFSET_OUT_OF_RANGE)
    })
  )

  it.effect("an open transaction holds the last stable offset back, and its commit lets it go", () =>
    Effect.gen(function* () {
      const admin = yield* ContractAdmin
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a")])
      const transaction = yield* admin.beginTransaction
      yield* transaction.append(topic.topic, 0, [...one("t1"), ...one("t2")])
      yield* fill(topic, [one("b")])
      assert.deepStrictEqual(yield* latest(topic), { uncommitted: 4, committed: 1 })
      const committed = yield* fetchOne(topic, 0)
      assert.deepStrictEqual(keysOf(committed.records), ["a"])
      assert.strictEqual(committed.highWatermark, 4)
      assert.strictEqual(committed.lastStableOffset, 1)
      assert.strictEqual((yield* fetchOne(topic, 1)).records.length, 0)
      const uncommitted = yield* fetchOne(topic, 0, { isolation: "read_uncommitted" })
      assert.deepStrictEqual(keysOf(uncommitted.records), ["a", "t1", "t2", "b"])
      yield* transaction.commit
      yield* awaitStable(topic, 5)
      const after = yield* fetchOne(topic, 0)
      assert.deepStrictEqual(keysOf(after.records), ["a", "t1", "t2", "b"])
      assert.deepStrictEqual(after.abortedTransactions, [])
      assert.deepStrictEqual(
        readBatches(after.records).map(({ isControl, isTransactional, lastOffset }) => ({
          isControl,
          isTransactional,
          lastOffset
        })),
        [
          { isControl: false, isTransactional: false, lastOffset: 0 },
          { isControl: false, isTransactional: true, lastOffset: 2 },
          { isControl: false, isTransactional: false, lastOffset: 3 },
          { isControl: true, isTransactional: true, lastOffset: 4 }
        ]
      )
    })
  )

  it.effect("a long poll of committed records wakes when a transaction is committed", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const admin = yield* ContractAdmin
      const topic = yield* freshTopic()
      const transaction = yield* admin.beginTransaction
      yield* transaction.append(topic.topic, 0, one("t"))
      const poll = yield* Effect.forkChild(fetchOne(topic, 0, { maxWait: 20_000 }), { startImmediately: true })
      yield* client.describeTopic(topic.topic)
      assert.isUndefined(poll.pollUnsafe())
      yield* transaction.commit
      assert.deepStrictEqual(keysOf((yield* Fiber.join(poll)).records), ["t"])
    })
  )

  it.effect("an aborted transaction is listed with its producer and first offset, to committed readers alone", () =>
    Effect.gen(function* () {
      const admin = yield* ContractAdmin
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a")])
      const transaction = yield* admin.beginTransaction
      yield* transaction.append(topic.topic, 0, one("t1"))
      yield* fill(topic, [one("b")])
      yield* transaction.append(topic.topic, 0, one("t2"))
      yield* transaction.abort
      yield* awaitStable(topic, 5)
      const fetched = yield* fetchOne(topic, 0)
      const [, aborted] = readBatches(fetched.records)
      const listed = [{ producerId: aborted!.producerId, firstOffset: 1 }]
      assert.deepStrictEqual(fetched.abortedTransactions, listed)
      assert.deepStrictEqual(keysOf(fetched.records), ["a", "t1", "b", "t2"])
      assert.deepStrictEqual((yield* fetchOne(topic, 3)).abortedTransactions, listed)
      assert.deepStrictEqual((yield* fetchOne(topic, 4)).abortedTransactions, listed)
      const uncommitted = yield* fetchOne(topic, 0, { isolation: "read_uncommitted" })
      assert.deepStrictEqual(uncommitted.abortedTransactions, [])
      yield* fill(topic, [one("c")])
      assert.deepStrictEqual((yield* fetchOne(topic, 5)).abortedTransactions, [])
    })
  )

  it.effect("the oldest of several open transactions holds the last stable offset, whichever ends first", () =>
    Effect.gen(function* () {
      const admin = yield* ContractAdmin
      const topic = yield* freshTopic()
      const first = yield* admin.beginTransaction
      const second = yield* admin.beginTransaction
      yield* first.append(topic.topic, 0, one("first"))
      yield* second.append(topic.topic, 0, one("second"))
      yield* first.append(topic.topic, 0, one("first"))
      yield* second.abort
      // The marker is the fourth record, and nothing is stable before the first transaction is.
      const seen = yield* Effect.repeat(fetchOne(topic, 0, { isolation: "read_uncommitted" }), {
        until: ({ highWatermark }) => highWatermark === 4,
        times: 1_000
      })
      assert.strictEqual(seen.highWatermark, 4)
      assert.deepStrictEqual(yield* latest(topic), { uncommitted: 4, committed: 0 })
      yield* first.commit
      yield* awaitStable(topic, 5)
      const fetched = yield* fetchOne(topic, 0)
      assert.deepStrictEqual(
        fetched.abortedTransactions.map(({ firstOffset }) => firstOffset),
        [1]
      )
      assert.deepStrictEqual(keysOf(fetched.records), ["first", "second", "first"])
    })
  )

  it.effect("deleting records below an open transaction leaves the last stable offset where it is", () =>
    Effect.gen(function* () {
      const admin = yield* ContractAdmin
      const topic = yield* freshTopic({ config: { "cleanup.policy": "delete" } })
      yield* fill(topic, [one("a"), one("b")])
      const transaction = yield* admin.beginTransaction
      yield* transaction.append(topic.topic, 0, one("t"))
      yield* admin.deleteRecords(topic.topic, 0, 1)
      assert.deepStrictEqual(yield* latest(topic), { uncommitted: 3, committed: 2 })
      yield* transaction.abort
      yield* awaitStable(topic, 4)
      const fetched = yield* fetchOne(topic, 1)
      assert.deepStrictEqual(keysOf(fetched.records), ["b", "t"])
      assert.deepStrictEqual(
        fetched.abortedTransactions.map(({ firstOffset }) => firstOffset),
        [2]
      )
    })
  )
}
