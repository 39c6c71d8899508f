/** The contract's promises on fetches: what comes, how much of it, and when. */
import { assert, type Vitest } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Scope } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import { ContractAdmin } from "../../ContractAdmin.ts"
import { encodeBatch, readBatches } from "../recordBatch.ts"
import {
  awaitTopic,
  Code,
  createAgain,
  fetchOne,
  fetchRequest,
  fill,
  freshTopic,
  keysOf,
  leaderOf,
  listOffset,
  newProducer,
  onePartition,
  produce,
  tellsTopicsById,
  text
} from "./support.ts"

const one = (key: string, value: string | null = "v") => [{ key, value }]

export const fetching = (it: Vitest.MethodsNonLive<KafkaClient | ContractAdmin>): void => {
  it.effect("a long poll wakes when a record is appended", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const topic = yield* freshTopic()
      const fetcher = yield* client.openFetcher(leaderOf(topic))
      const poll = yield* Effect.forkChild(fetcher.fetch(fetchRequest(topic, 0, { maxWait: 20_000 })), {
        startImmediately: true
      })
      // A round trip later the poll waits at the broker.
      yield* client.describeTopic(topic.topic)
      assert.isUndefined(poll.pollUnsafe())
      const [took, answer] = yield* Effect.timed(Effect.andThen(produce(topic, one("a")), Fiber.join(poll)))
      assert.deepStrictEqual(keysOf(onePartition(answer).records), ["a"])
      assert.isBelow(Duration.toMillis(took), 10_000)
    })
  )

  it.effect("a long poll ends after its wait with an empty answer", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const [took, fetched] = yield* Effect.timed(fetchOne(topic, 0, { maxWait: 400 }))
      assert.strictEqual(fetched.errorCode, 0)
      assert.strictEqual(fetched.records.length, 0)
      assert.strictEqual(fetched.highWatermark, 0)
      assert.strictEqual(fetched.lastStableOffset, 0)
      assert.isAtLeast(Duration.toMillis(took), 395)
      assert.isBelow(Duration.toMillis(took), 10_000)
    })
  )

  it.effect("a fetch waits for its minimum of bytes, then takes what there is", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a")])
      const [took, fetched] = yield* Effect.timed(fetchOne(topic, 0, { maxWait: 400, minBytes: 1_000 }))
      assert.deepStrictEqual(keysOf(fetched.records), ["a"])
      assert.isAtLeast(Duration.toMillis(took), 395)
      yield* fill(topic, [one("b", text(1_000))])
      const [sooner] = yield* Effect.timed(fetchOne(topic, 0, { maxWait: 20_000, minBytes: 1_000 }))
      assert.isBelow(Duration.toMillis(sooner), 10_000)
    })
  )

  it.effect("the first batch comes whole even when it is larger than every limit", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      yield* fill(topic, [one("large", text(5_000)), one("next")])
      const fetched = yield* fetchOne(topic, 0, { maxBytes: 1, partitionMaxBytes: 1 })
      assert.deepStrictEqual(keysOf(fetched.records), ["large"])
      const batches = readBatches(fetched.records)
      assert.strictEqual(batches.length, 1)
      assert.strictEqual(fetched.highWatermark, 2)
    })
  )

  it.effect("an answer keeps to the partition's limit, and its last batch may be cut short", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const batch = encodeBatch(one("k", text(500)))
      yield* fill(topic, [one("k", text(500)), one("k", text(500)), one("k", text(500))])
      const limit = batch.length * 2 + 100
      const fetched = yield* fetchOne(topic, 0, { partitionMaxBytes: limit })
      assert.strictEqual(fetched.records.length, limit)
      assert.strictEqual(readBatches(fetched.records).length, 2)
    })
  )

  it.effect("the limit of the whole answer is spent in the order of the partitions asked for", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const topic = yield* freshTopic({ partitions: 2 })
      const records = one("k", text(500))
      for (const partition of [0, 1]) assert.strictEqual((yield* produce(topic, records, { partition })).errorCode, 0)
      if (leaderOf(topic, 0) !== leaderOf(topic, 1)) return
      const fetcher = yield* client.openFetcher(leaderOf(topic))
      const ask = (order: ReadonlyArray<number>, maxBytes: number) =>
        Effect.map(
          fetcher.fetch({
            ...fetchRequest(topic, 0, { maxBytes }),
            partitions: order.flatMap((partition) => fetchRequest(topic, 0, { partition }).partitions)
          }),
          ({ partitions }) =>
            [...partitions]
              .sort((a, b) => a.partition - b.partition)
              .map(({ errorCode, records: bytes }) => [errorCode, readBatches(bytes).length, bytes.length > 0])
        )
      assert.deepStrictEqual(yield* ask([0, 1], 10_000_000), [
        [0, 1, true],
        [0, 1, true]
      ])
      assert.deepStrictEqual(yield* ask([0, 1], 1), [
        [0, 1, true],
        [0, 0, false]
      ])
      assert.deepStrictEqual(yield* ask([1, 0], 1), [
        [0, 0, false],
        [0, 1, true]
      ])
    })
  )

  it.effect("a fetch from the middle of a batch gets the batch whole", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a"), [...one("b"), ...one("c"), ...one("d")], one("e")])
      const fetched = yield* fetchOne(topic, 2)
      assert.deepStrictEqual(keysOf(fetched.records), ["b", "c", "d", "e"])
    })
  )

  it.effect("a fetch at the log's end is empty, one beyond it is out of range", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a")])
      const atEnd = yield* fetchOne(topic, 1)
      assert.strictEqual(atEnd.errorCode, 0)
      assert.strictEqual(atEnd.records.length, 0)
      const beyond = yield* fetchOne(topic, 2, { maxWait: 20_000 })
      assert.strictEqual(beyond.errorCode, Code.OFFSET_OUT_OF_RANGE)
      assert.strictEqual(beyond.highWatermark, -1)
      assert.strictEqual(beyond.lastStableOffset, -1)
      assert.strictEqual(beyond.records.length, 0)
    })
  )

  it.effect("deleted records are out of range, and the log starts behind them", () =>
    Effect.gen(function* () {
      const admin = yield* ContractAdmin
      const topic = yield* freshTopic({ config: { "cleanup.policy": "delete" } })
      yield* fill(topic, [one("a"), [...one("b"), ...one("c")], one("d")])
      yield* admin.deleteRecords(topic.topic, 0, 2)
      assert.strictEqual((yield* fetchOne(topic, 1)).errorCode, Code.OFFSET_OUT_OF_RANGE)
      const fetched = yield* fetchOne(topic, 2)
      assert.strictEqual(fetched.logStartOffset, 2)
      assert.deepStrictEqual(keysOf(fetched.records), ["b", "c", "d"])
      assert.strictEqual((yield* listOffset(topic, "earliest")).offset, 2)
      assert.strictEqual((yield* listOffset(topic, "latest")).offset, 4)
      assert.strictEqual((yield* produce(topic, one("e"))).logStartOffset, 2)
      yield* admin.deleteRecords(topic.topic, 0, -1)
      const emptied = yield* fetchOne(topic, 5)
      assert.strictEqual(emptied.records.length, 0)
      assert.strictEqual(emptied.logStartOffset, 5)
      assert.strictEqual(emptied.highWatermark, 5)
    })
  )

  it.effect("a partition, a topic and a topic id that are not there are refused", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const topic = yield* freshTopic()
      const fetcher = yield* client.openFetcher(leaderOf(topic))
      const fetch = (where: Pick<typeof topic, "topic" | "topicId">, partition: number, maxWait = 20_000) =>
        fetcher.fetch(fetchRequest(where, 0, { partition, maxWait }))
      const ask = (...where: Parameters<typeof fetch>) =>
        Effect.map(fetch(...where), (answer) => onePartition(answer).errorCode)
      const missing = yield* fetch(topic, 1)
      assert.strictEqual(onePartition(missing).errorCode, Code.UNKNOWN_TOPIC_OR_PARTITION)
      assert.strictEqual(yield* ask({ topic: "no-such-topic", topicId: undefined }, 0), Code.UNKNOWN_TOPIC_OR_PARTITION)
      // By name the topic is there, and has no records.
      const [refusal, maxWait] = tellsTopicsById(missing) ? [Code.UNKNOWN_TOPIC_ID, 20_000] : [0, 0]
      const otherId = "0123456789abcdef".repeat(2)
      assert.strictEqual(yield* ask({ topic: topic.topic, topicId: otherId }, 0, maxWait), refusal)
      assert.strictEqual(yield* ask({ topic: topic.topic, topicId: undefined }, 0, 0), 0)
    })
  )

  it.effect("a recreated topic is not taken for the one before it", () =>
    Effect.gen(function* () {
      const admin = yield* ContractAdmin
      const before = yield* freshTopic()
      yield* fill(before, [one("old")])
      yield* admin.deleteTopic(before.topic)
      yield* createAgain(before.topic)
      const after = yield* awaitTopic(before.topic, 1)
      yield* fill(after, [one("new"), one("new")])
      const client = yield* KafkaClient
      const fetcher = yield* client.openFetcher(leaderOf(after))
      const answer = yield* fetcher.fetch(fetchRequest(before, 1, { maxWait: 20_000 }))
      const { errorCode, records } = onePartition(answer)
      if (tellsTopicsById(answer)) assert.strictEqual(errorCode, Code.UNKNOWN_TOPIC_ID)
      // The name is all that was asked for: the new topic's records come, and its id has to be found in the metadata.
      else assert.deepStrictEqual([errorCode, keysOf(records)], [0, ["new"]])
      assert.deepStrictEqual(keysOf((yield* fetchOne(after, 0)).records), ["new", "new"])
    })
  )

  it.effect("a long poll delays neither another fetcher nor any other request", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const quiet = yield* freshTopic()
      const busy = yield* freshTopic()
      const broker = leaderOf(quiet)
      const waiting = yield* client.openFetcher(broker)
      const poll = yield* Effect.forkChild(waiting.fetch(fetchRequest(quiet, 0, { maxWait: 20_000 })), {
        startImmediately: true
      })
      yield* fill(busy, [one("a")])
      const polls = yield* Effect.forEach([0, 1], () => fetchOne(busy, 0), { concurrency: 2 })
      for (const { records } of polls) assert.deepStrictEqual(keysOf(records), ["a"])
      yield* client.describeTopic(busy.topic)
      yield* client.describeConfig(busy.topic)
      yield* newProducer
      yield* listOffset(busy, "latest")
      assert.isUndefined(poll.pollUnsafe())
      yield* Fiber.interrupt(poll)
    })
  )

  it.effect("an interrupted long poll ends at once, and its answer is not taken for a later one", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const topic = yield* freshTopic()
      yield* fill(topic, [one("a")])
      const fetcher = yield* client.openFetcher(leaderOf(topic))
      const poll = yield* Effect.forkChild(fetcher.fetch(fetchRequest(topic, 1, { maxWait: 20_000 })), {
        startImmediately: true
      })
      yield* client.describeTopic(topic.topic)
      const [took] = yield* Effect.timed(Fiber.interrupt(poll))
      assert.isBelow(Duration.toMillis(took), 5_000)
      const next = yield* Effect.forkChild(fetcher.fetch(fetchRequest(topic, 0)), { startImmediately: true })
      // A broker answers one connection's requests in turn: this ends the poll that nobody waits for any more.
      yield* fill(topic, [one("b")])
      assert.deepStrictEqual(keysOf(onePartition(yield* Fiber.join(next)).records).slice(0, 1), ["a"])
    })
  )

  it.effect("closing a fetcher fails its long poll without waiting for it", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const topic = yield* freshTopic()
      const scope = yield* Scope.make()
      const fetcher = yield* Scope.provide(client.openFetcher(leaderOf(topic)), scope)
      const poll = yield* Effect.forkChild(Effect.flip(fetcher.fetch(fetchRequest(topic, 0, { maxWait: 20_000 }))), {
        startImmediately: true
      })
      yield* client.describeTopic(topic.topic)
      const [took, error] = yield* Effect.timed(Effect.andThen(Scope.close(scope, Exit.void), Fiber.join(poll)))
      assert.strictEqual(error._tag, "ConnectionFailed")
      assert.isBelow(Duration.toMillis(took), 5_000)
    })
  )
}
