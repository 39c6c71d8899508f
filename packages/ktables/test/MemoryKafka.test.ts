import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as KafkaClient from "effect-ktables/KafkaClient"
import { ConnectionFailed } from "effect-ktables/KafkaError"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { ErrorCode } from "../src/internal/protocol/errorCodes.ts"
import { encodeBatch } from "../src/internal/records/batchWriter.ts"
import { dataOf, fetchFrom, fetchRequest, tableOf, type Text, texts } from "./memory/support.ts"

const one = (key: string, value: string | null = "v") => [{ key, value }]

const produceRequest = (topic: string, records: Uint8Array): KafkaClient.ProduceRequest => ({
  topic,
  topicId: undefined,
  acks: -1,
  timeout: 1_000,
  partitions: [{ partition: 0, records }]
})

const batchOf = (key: string, producer: KafkaClient.ProducerIdentity, baseSequence: number) =>
  encodeBatch([{ offsetDelta: 0, timestamp: 0, key: Buffer.from(key), value: null }], { ...producer, baseSequence })

describe("MemoryKafka", () => {
  it.effect("each build of the layer is a cluster of its own", () =>
    Effect.gen(function* () {
      const build = Effect.map(Layer.build(Layer.fresh(MemoryKafka.layer)), (context) =>
        Context.get(context, MemoryKafka.MemoryKafka)
      )
      const first = yield* build
      const second = yield* build
      yield* first.createTopic("t")
      yield* second.createTopic("t")
      assert.notStrictEqual(yield* first.clusterId, yield* second.clusterId)
    })
  )

  it.effect("a closed cluster fails requests instead of letting them hang", () =>
    Effect.gen(function* () {
      const client = yield* Effect.scoped(
        Effect.map(Layer.build(MemoryKafka.layer), (context) => Context.get(context, KafkaClient.KafkaClient))
      )
      assert.strictEqual((yield* Effect.flip(client.describeTopic("t")))._tag, "ConnectionFailed")
    })
  )

  describe("time", () => {
    it.effect("a long poll lasts as long as the clock says, and leaves nothing behind", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const fetcher = yield* client.openFetcher(1)
        const poll = yield* Effect.forkChild(fetcher.fetch(fetchRequest("t", 0, { maxWait: 5_000 })))
        yield* TestClock.adjust(4_999)
        assert.isUndefined(poll.pollUnsafe())
        assert.strictEqual(yield* kafka.held, 1)
        yield* TestClock.adjust(1)
        assert.strictEqual((yield* Fiber.join(poll)).partitions[0]!.records.length, 0)
        assert.strictEqual(yield* kafka.held, 0)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("a woken or interrupted long poll leaves nothing behind", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const fetcher = yield* client.openFetcher(1)
        const start = () =>
          Effect.forkChild(fetcher.fetch(fetchRequest("t", 0, { maxWait: 5_000 })), { startImmediately: true })
        const interrupted = yield* start()
        const woken = yield* start()
        assert.strictEqual(yield* kafka.held, 2)
        yield* Fiber.interrupt(interrupted)
        assert.strictEqual(yield* kafka.held, 1)
        yield* kafka.append("t", one("a"))
        assert.deepStrictEqual(dataOf(yield* Fiber.join(woken)), [[0, "a", "v"]])
        assert.strictEqual(yield* kafka.held, 0)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("records are stamped by the clock, and all alike where the topic does it", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("created")
        yield* kafka.createTopic("appended", { config: { "message.timestamp.type": "LogAppendTime" } })
        yield* TestClock.setTime(1_234)
        for (const topic of ["created", "appended"]) {
          yield* kafka.append(topic, [
            { key: "a", value: "1" },
            { key: "b", value: "2", timestamp: 7 }
          ])
        }
        const stamps = (topic: string) => Effect.map(kafka.log(topic), (log) => log.map(({ timestamp }) => timestamp))
        assert.deepStrictEqual(yield* stamps("created"), [1_234, 7])
        assert.deepStrictEqual(yield* stamps("appended"), [1_234, 1_234])
      }).pipe(Effect.provide(MemoryKafka.layer))
    )
  })

  describe("faults", () => {
    it.effect("an error code for one partition leaves the others alone, as often as was said", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t", { partitions: 2 })
        for (const partition of [0, 1]) yield* kafka.append("t", one("a"), { partition })
        yield* kafka.fail({ request: "fetch", topic: "t", partition: 1 }, ErrorCode.NOT_LEADER_OR_FOLLOWER, {
          times: 2
        })
        const fetcher = yield* client.openFetcher(1)
        const codes = Effect.map(
          fetcher.fetch({
            ...fetchRequest("t", 0, { maxWait: 1_000 }),
            partitions: [0, 1].flatMap((partition) => fetchRequest("t", 0, { partition }).partitions)
          }),
          ({ partitions }) => partitions.map(({ errorCode, records }) => [errorCode, records.length > 0])
        )
        const failing = [
          [0, true],
          [ErrorCode.NOT_LEADER_OR_FOLLOWER, false]
        ]
        assert.deepStrictEqual(yield* codes, failing)
        assert.deepStrictEqual(yield* codes, failing)
        assert.deepStrictEqual(yield* codes, [
          [0, true],
          [0, true]
        ])
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("an error code fails the calls that are about no partition", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        yield* kafka.fail({ request: "describeTopic" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        yield* kafka.fail({ request: "initProducerId" }, ErrorCode.CLUSTER_AUTHORIZATION_FAILED, { times: Infinity })
        const refused = yield* Effect.flip(client.describeTopic("t"))
        assert.include(refused.message, "Metadata on memory-1:9092 answered TOPIC_AUTHORIZATION_FAILED for t")
        yield* client.describeTopic("t")
        for (let i = 0; i < 3; i++) assert.isTrue(Exit.isFailure(yield* Effect.exit(client.initProducerId)))
        yield* kafka.clearFailures
        yield* client.initProducerId
        assert.deepStrictEqual(
          [...(yield* kafka.requests)],
          [
            ["describeTopic", 2],
            ["initProducerId", 4]
          ]
        )
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("a lost answer leaves the record in the log, and the batch sent again is known", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const producer = yield* client.initProducerId
        const lost = new ConnectionFailed({ broker: "memory-1:9092", request: "Produce", detail: "cut" })
        yield* kafka.fail({ request: "produce" }, lost, { carriedOut: true })
        const send = client.produce(1, produceRequest("t", batchOf("a", producer, 0)))
        assert.strictEqual(yield* Effect.flip(send), lost)
        assert.strictEqual((yield* kafka.log("t")).length, 1)
        assert.deepStrictEqual(
          (yield* send).map(({ baseOffset, errorCode }) => ({ baseOffset, errorCode })),
          [{ baseOffset: 0, errorCode: 0 }]
        )
        assert.strictEqual((yield* kafka.log("t")).length, 1)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("a broker that is cut off fails what is outstanding and what comes, the others serve on", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t", { partitions: 2 })
        const fetcher = yield* client.openFetcher(1)
        const poll = yield* Effect.forkChild(Effect.flip(fetcher.fetch(fetchRequest("t", 0, { maxWait: 5_000 }))), {
          startImmediately: true
        })
        yield* kafka.disconnect(1)
        assert.strictEqual((yield* Fiber.join(poll))._tag, "ConnectionFailed")
        assert.strictEqual((yield* Effect.flip(fetcher.fetch(fetchRequest("t", 0))))._tag, "ConnectionFailed")
        const { partitions } = yield* client.describeTopic("t")
        assert.deepStrictEqual(
          partitions.map(({ leader }) => leader),
          [1, 2]
        )
        const other = yield* client.openFetcher(2)
        assert.strictEqual((yield* other.fetch(fetchRequest("t", 0, { partition: 1 }))).partitions[0]!.errorCode, 0)
        yield* kafka.disconnect()
        assert.strictEqual((yield* Effect.flip(client.describeTopic("t")))._tag, "ConnectionFailed")
        yield* kafka.reconnect()
        assert.strictEqual((yield* fetcher.fetch(fetchRequest("t", 0))).partitions[0]!.errorCode, 0)
      }).pipe(Effect.provide(MemoryKafka.layerWith({ brokers: 2 })))
    )

    it.effect("a frozen broker holds answers back until it goes on, or the client gives up", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const fetcher = yield* client.openFetcher(1)
        const poll = yield* Effect.forkChild(fetcher.fetch(fetchRequest("t", 0, { maxWait: 60_000 })), {
          startImmediately: true
        })
        yield* kafka.pause()
        yield* kafka.append("t", one("a"))
        yield* TestClock.adjust(1_000)
        assert.isUndefined(poll.pollUnsafe())
        yield* kafka.resume()
        assert.deepStrictEqual(dataOf(yield* Fiber.join(poll)), [[0, "a", "v"]])
        yield* kafka.pause()
        const given = yield* Effect.forkChild(Effect.flip(client.describeTopic("t")), { startImmediately: true })
        yield* TestClock.adjust(2_000)
        assert.strictEqual((yield* Fiber.join(given))._tag, "RequestTimedOut")
        assert.strictEqual(yield* kafka.held, 0)
      }).pipe(Effect.provide(MemoryKafka.layerWith({ requestTimeout: "2 seconds" })))
    )
  })

  describe("quotas", () => {
    const big = (key: string, size: number) => [{ key, value: "v".repeat(size) }]

    it.effect(
      "a fetch over the quota brings nothing but a throttle time, for which its connection is left unread",
      () =>
        Effect.gen(function* () {
          const kafka = yield* MemoryKafka.MemoryKafka
          const client = yield* KafkaClient.KafkaClient
          yield* kafka.createTopic("t", { partitions: 2 })
          for (const key of ["a", "b"]) yield* kafka.append("t", big(key, 6_000))
          yield* kafka.setQuotas({ consumer_byte_rate: 1_000 })
          const fetcher = yield* client.openFetcher(1)
          const first = yield* fetcher.fetch(fetchRequest("t", 0, { maxBytes: 6_100 }))
          assert.strictEqual(first.throttle, 0, "ten seconds' worth may come at once")
          assert.deepStrictEqual(
            dataOf(first).map(([offset]) => offset),
            [0]
          )
          const next = fetchRequest("t", 1)
          const over = yield* fetcher.fetch(next)
          assert.deepStrictEqual(over.partitions, [])
          assert.isAbove(over.throttle, 2_000)
          assert.isBelow(over.throttle, 2_500)

          const again = yield* Effect.forkChild(fetcher.fetch(next), { startImmediately: true })
          assert.strictEqual(yield* kafka.held, 1)
          const other = yield* client.openFetcher(1)
          assert.strictEqual((yield* other.fetch(fetchRequest("t", 0, { partition: 1 }))).partitions.length, 1)
          yield* client.listOffsets(1, {
            topic: "t",
            at: "latest",
            isolation: "read_committed",
            partitions: [{ partition: 0, leaderEpoch: -1 }]
          })
          yield* TestClock.adjust(over.throttle - 1)
          assert.isUndefined(again.pollUnsafe())
          yield* TestClock.adjust(1)
          assert.isDefined(again.pollUnsafe(), "it was read then, and perhaps throttled again")
          let answer = yield* Fiber.join(again)
          for (let waits = 0; answer.throttle > 0 && waits < 20; waits++) {
            assert.deepStrictEqual(answer.partitions, [])
            yield* TestClock.adjust(answer.throttle)
            answer = yield* fetcher.fetch(next)
          }
          assert.deepStrictEqual(
            dataOf(answer).map(([offset]) => offset),
            [1]
          )
          assert.strictEqual(yield* kafka.held, 0)
        }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("a produce over the quota is carried out and answered, and the next one on the connection waits", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const producer = yield* client.initProducerId
        const bytes = batchOf("x".repeat(1_000), producer, 0)
        yield* kafka.setQuotas({ producer_byte_rate: bytes.length / 20 })
        const [produced] = yield* client.produce(1, produceRequest("t", bytes))
        assert.deepInclude(produced, { errorCode: 0, baseOffset: 0 })
        const next = yield* Effect.forkChild(client.produce(1, produceRequest("t", batchOf("b", producer, 1))), {
          startImmediately: true
        })
        const fetcher = yield* client.openFetcher(1)
        assert.strictEqual((yield* fetcher.fetch(fetchRequest("t", 0))).throttle, 0, "another connection")
        yield* TestClock.adjust(9_999)
        assert.strictEqual((yield* kafka.log("t")).length, 1)
        yield* TestClock.adjust(1)
        yield* Fiber.join(next)
        assert.strictEqual((yield* kafka.log("t")).length, 2)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("a quota on requests throttles all of them, for a second at most, and is taken away", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const fetcher = yield* client.openFetcher(1)
        yield* fetcher.fetch(fetchRequest("t", 0))
        yield* client.describeTopic("t")
        yield* kafka.setQuotas({ request_percentage: 0.01 })
        yield* client.describeTopic("t")
        yield* client.describeTopic("t")
        const held = yield* Effect.forkChild(client.describeTopic("t"), { startImmediately: true })
        const { partitions, throttle } = yield* fetcher.fetch(fetchRequest("t", 0))
        assert.deepStrictEqual({ partitions, throttle }, { partitions: [], throttle: 1_000 })
        yield* TestClock.adjust(999)
        assert.isUndefined(held.pollUnsafe())
        yield* TestClock.adjust(1)
        assert.isDefined(held.pollUnsafe())
        yield* kafka.setQuotas({})
        assert.strictEqual((yield* fetcher.fetch(fetchRequest("t", 0))).throttle, 0)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect(
      "under a quota on requests refusals count, a new connection waits, and what gets no answer does not count",
      () =>
        Effect.gen(function* () {
          const kafka = yield* MemoryKafka.MemoryKafka
          const client = yield* KafkaClient.KafkaClient
          yield* kafka.createTopic("t")
          yield* client.describeTopic("t")
          const unanswered = client.produce(1, {
            ...produceRequest("t", batchOf("a", { producerId: -1n, producerEpoch: -1 }, -1)),
            acks: 0
          })
          yield* unanswered
          yield* kafka.setQuotas({ request_percentage: 0.0001 })
          yield* Effect.flip(client.describeTopic("no-such-topic"))
          const held = yield* Effect.forkChild(client.describeTopic("t"), { startImmediately: true })
          const fetcher = yield* client.openFetcher(1)
          const fetch = yield* Effect.forkChild(fetcher.fetch(fetchRequest("t", 0)), { startImmediately: true })
          yield* unanswered
          yield* unanswered
          assert.strictEqual((yield* kafka.log("t")).length, 3)
          yield* TestClock.adjust(999)
          assert.isUndefined(held.pollUnsafe())
          assert.isUndefined(fetch.pollUnsafe())
          yield* TestClock.adjust(1)
          yield* Fiber.join(held)
          assert.deepStrictEqual((yield* Fiber.join(fetch)).partitions, [])
        }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("a connection that is left unread breaks as any other, and the next one is read", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const { producerEpoch, producerId } = yield* client.initProducerId
        yield* kafka.setQuotas({ producer_byte_rate: 1 })
        const produce = (sequence: number) =>
          client.produce(1, produceRequest("t", batchOf("a", { producerId, producerEpoch }, sequence)))
        yield* produce(0)
        const next = yield* Effect.forkChild(Effect.flip(produce(1)), { startImmediately: true })
        assert.isUndefined(next.pollUnsafe())
        yield* kafka.disconnect()
        assert.strictEqual((yield* Fiber.join(next))._tag, "ConnectionFailed")
        yield* kafka.reconnect()
        assert.strictEqual((yield* produce(1))[0]!.errorCode, 0)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )
  })

  describe("leaders", () => {
    it.effect(
      "a moved leader fences the old epoch and names the new broker, and the old one answers fetches as a follower",
      () =>
        Effect.gen(function* () {
          const kafka = yield* MemoryKafka.MemoryKafka
          const client = yield* KafkaClient.KafkaClient
          yield* kafka.createTopic("t")
          yield* kafka.append("t", one("a"))
          const old = yield* client.openFetcher(1)
          const poll = yield* Effect.forkChild(
            old.fetch(fetchRequest("t", 1, { maxWait: 5_000, currentLeaderEpoch: 0 })),
            {
              startImmediately: true
            }
          )
          yield* kafka.moveLeader("t", 0, 2)
          const refused = (yield* Fiber.join(poll)).partitions[0]!
          assert.strictEqual(refused.errorCode, ErrorCode.FENCED_LEADER_EPOCH)
          assert.deepStrictEqual(refused.currentLeader, { id: 2, epoch: 1 })
          const follower = yield* old.fetch(fetchRequest("t", 0, { currentLeaderEpoch: 1 }))
          assert.deepStrictEqual(dataOf(follower), [[0, "a", "v"]])
          const [listed] = yield* client.listOffsets(1, {
            topic: "t",
            at: "latest",
            isolation: "read_committed",
            partitions: [{ partition: 0, leaderEpoch: 1 }]
          })
          assert.strictEqual(listed!.errorCode, ErrorCode.NOT_LEADER_OR_FOLLOWER)
          const fetcher = yield* client.openFetcher(2)
          const fenced = yield* fetcher.fetch(fetchRequest("t", 1, { currentLeaderEpoch: 0 }))
          assert.strictEqual(fenced.partitions[0]!.errorCode, ErrorCode.FENCED_LEADER_EPOCH)
          const known = yield* fetcher.fetch(fetchRequest("t", 0, { currentLeaderEpoch: 1 }))
          assert.deepStrictEqual(dataOf(known), [[0, "a", "v"]])
          yield* kafka.moveLeader("t", 0, undefined)
          const [partition] = (yield* client.describeTopic("t")).partitions
          assert.deepStrictEqual(partition, {
            partition: 0,
            errorCode: ErrorCode.LEADER_NOT_AVAILABLE,
            leader: -1,
            leaderEpoch: 2
          })
        }).pipe(Effect.provide(MemoryKafka.layerWith({ brokers: 2 })))
    )

    it.effect("a log that was truncated and has grown past a reader diverges where the reader's epoch ends", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        for (const key of ["a", "b", "c"]) yield* kafka.append("t", one(key))
        yield* kafka.truncate("t", 0, 1)
        for (const key of ["x", "y", "z"]) yield* kafka.append("t", one(key))
        assert.deepStrictEqual(texts(yield* kafka.log("t")), [
          [0, "a", "v"],
          [1, "x", "v"],
          [2, "y", "v"],
          [3, "z", "v"]
        ])
        const fetcher = yield* client.openFetcher(1)
        const fetched = yield* fetcher.fetch(fetchRequest("t", 3, { currentLeaderEpoch: 1, lastFetchedEpoch: 0 }))
        assert.deepStrictEqual(fetched.partitions[0]!.diverging, { epoch: 0, endOffset: 1 })
        const ends = yield* client.endOffsetForEpoch(1, {
          topic: "t",
          partitions: [
            { partition: 0, currentLeaderEpoch: 1, leaderEpoch: 0 },
            { partition: 0, currentLeaderEpoch: 1, leaderEpoch: 1 }
          ]
        })
        assert.deepStrictEqual(
          ends.map(({ endOffset, leaderEpoch }) => [leaderEpoch, endOffset]),
          [
            [0, 1],
            [1, 4]
          ]
        )
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("a truncated transaction is open no more, and a truncated sequence is new again", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const producer = yield* client.initProducerId
        const send = (sequence: number) =>
          Effect.map(client.produce(1, produceRequest("t", batchOf("a", producer, sequence))), ([answer]) => [
            answer!.errorCode,
            answer!.baseOffset
          ])
        assert.deepStrictEqual(yield* send(0), [0, 0])
        assert.deepStrictEqual(yield* send(1), [0, 1])
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.append("t", one("t"))
        assert.strictEqual((yield* fetchFrom("t", 0, "read_committed")).lastStableOffset, 2)
        yield* kafka.truncate("t", 0, 1)
        assert.strictEqual((yield* fetchFrom("t", 0, "read_committed")).lastStableOffset, 1)
        assert.deepStrictEqual(yield* send(1), [0, 1])
      }).pipe(Effect.provide(MemoryKafka.layer))
    )
  })

  describe("transactions", () => {
    it.effect("the log says of each record how its transaction ended", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t")
        const first = yield* kafka.beginTransaction()
        const second = yield* kafka.beginTransaction()
        yield* first.append("t", one("aborted"))
        yield* second.append("t", one("committed"))
        yield* kafka.append("t", one("plain"))
        yield* first.abort
        yield* second.commit
        const again = yield* kafka.beginTransaction({ producer: first.producer })
        yield* again.append("t", one("open"))
        const log = yield* kafka.log("t")
        assert.deepStrictEqual(
          log.map(({ offset, sequence, state }) => [offset, sequence, state]),
          [
            [0, 0, "aborted"],
            [1, 0, "committed"],
            [2, -1, "plain"],
            [5, 1, "open"]
          ]
        )
        for (const record of log) assert.strictEqual(String(record.key), record.state)
        const late = yield* Effect.flip(first.append("t", one("late")))
        assert.strictEqual(late.code, ErrorCode.INVALID_TXN_STATE)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("a partition that was only enlisted gets a marker, and no entry among the aborted", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t")
        yield* kafka.append("t", one("a"))
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.enlist("t", 0)
        yield* transaction.abort
        const fetched = yield* fetchFrom("t", 0, "read_committed")
        assert.strictEqual(fetched.highWatermark, 2)
        assert.deepStrictEqual(fetched.abortedTransactions, [])
        assert.deepStrictEqual(texts(yield* kafka.log("t")), [[0, "a", "v"]])
      }).pipe(Effect.provide(MemoryKafka.layer))
    )
  })

  describe("compaction", () => {
    it.effect("keeps the last record of each key at its offset, and tombstones until told otherwise", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t")
        yield* kafka.append("t", [...one("a", "1"), ...one("b", "1"), ...one("a", "2")])
        yield* kafka.append("t", one("b", null))
        yield* kafka.append("t", [{ key: null, value: "keyless" }])
        yield* kafka.append("t", one("c", ""))
        yield* kafka.compact("t")
        assert.deepStrictEqual(texts(yield* kafka.log("t")), [
          [2, "a", "2"],
          [3, "b", null],
          [5, "c", ""]
        ])
        yield* kafka.compact("t", { dropTombstones: true })
        assert.deepStrictEqual(texts(yield* kafka.log("t")), [
          [2, "a", "2"],
          [5, "c", ""]
        ])
        const fetched = yield* fetchFrom("t", 0, "read_committed")
        assert.strictEqual(fetched.highWatermark, 6)
        assert.strictEqual(fetched.logStartOffset, 0)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("takes aborted records at once, their marker a round later, and stops below an open transaction", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t")
        yield* kafka.append("t", one("a", "1"))
        const aborted = yield* kafka.beginTransaction()
        yield* aborted.append("t", one("a", "aborted"))
        yield* aborted.append("t", one("b", "aborted"))
        yield* aborted.abort
        yield* kafka.append("t", one("c", "1"))
        const open = yield* kafka.beginTransaction()
        yield* open.append("t", one("c", "open"))
        yield* kafka.append("t", one("c", "2"))
        const batches = Effect.map(fetchFrom("t", 0, "read_uncommitted"), ({ batches: all }) =>
          all.map(({ baseOffset, count }) => [baseOffset, count])
        )
        yield* kafka.compact("t", { dropTombstones: true })
        assert.deepStrictEqual(texts(yield* kafka.log("t")), [
          [0, "a", "1"],
          [4, "c", "1"],
          [5, "c", "open"],
          [6, "c", "2"]
        ])
        // The last batch of the aborted producer stays, empty, and so does the marker behind it.
        assert.deepStrictEqual(yield* batches, [
          [0, 1],
          [2, 0],
          [3, 1],
          [4, 1],
          [5, 1],
          [6, 1]
        ])
        assert.strictEqual((yield* fetchFrom("t", 0, "read_committed")).abortedTransactions.length, 1)
        // The producer goes on: its older batch is its last no more, and then nothing holds the marker.
        const next = yield* kafka.beginTransaction({ producer: aborted.producer })
        yield* open.commit
        yield* next.append("t", one("d", "1"))
        yield* next.commit
        yield* kafka.compact("t", { dropTombstones: true })
        yield* kafka.compact("t", { dropTombstones: true })
        assert.deepStrictEqual(texts(yield* kafka.log("t")), [
          [0, "a", "1"],
          [6, "c", "2"],
          [8, "d", "1"]
        ])
        assert.deepStrictEqual((yield* fetchFrom("t", 0, "read_committed")).abortedTransactions, [])
        assert.notInclude(
          (yield* batches).map(([baseOffset]) => baseOffset),
          3
        )
      }).pipe(Effect.provide(MemoryKafka.layer))
    )

    it.effect("keeps an idempotent producer's last batch, and so its sequence, even when it is empty", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        const client = yield* KafkaClient.KafkaClient
        yield* kafka.createTopic("t")
        const producer = yield* client.initProducerId
        const send = (sequence: number) =>
          Effect.map(
            client.produce(1, produceRequest("t", batchOf("a", producer, sequence))),
            ([answer]) => answer!.baseOffset
          )
        yield* send(0)
        yield* send(1)
        yield* kafka.append("t", one("a", "newer"))
        yield* kafka.compact("t")
        const { batches } = yield* fetchFrom("t", 0, "read_committed")
        assert.deepStrictEqual(
          batches.map(({ baseOffset, count, lastOffset }) => [baseOffset, lastOffset, count]),
          [
            [1, 1, 0],
            [2, 2, 1]
          ]
        )
        assert.strictEqual(yield* send(1), 1)
        assert.strictEqual(yield* send(2), 3)
      }).pipe(Effect.provide(MemoryKafka.layer))
    )
  })

  describe("replicas", () => {
    const brokers = (options: MemoryKafka.Options) => Layer.fresh(MemoryKafka.layerWith(options))

    const readFrom = Effect.fnUntraced(function* (broker: number, rack?: string, position = 0) {
      const client = yield* KafkaClient.KafkaClient
      const fetcher = yield* client.openFetcher(broker)
      const answer = yield* fetcher.fetch({ ...fetchRequest("t", position), rack })
      return { ...answer.partitions[0]!, data: dataOf(answer) }
    }, Effect.scoped)

    it.effect("one broker compacts its copy, and whoever is elected or fetched from shows its own", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t")
        yield* kafka.append("t", [...one("a", "1"), ...one("b", "1")])
        yield* kafka.append("t", one("a", null))
        yield* kafka.append("t", one("c", "1"))
        yield* kafka.compact("t", { broker: 2, dropTombstones: true })
        const whole: ReadonlyArray<Text> = [
          [0, "a", "1"],
          [1, "b", "1"],
          [2, "a", null],
          [3, "c", "1"]
        ]
        const compacted: ReadonlyArray<Text> = [
          [1, "b", "1"],
          [3, "c", "1"]
        ]
        assert.deepStrictEqual(texts(yield* kafka.log("t")), whole)
        assert.deepStrictEqual(texts(yield* kafka.log("t", { broker: 2 })), compacted)
        assert.deepStrictEqual((yield* readFrom(1)).data, whole)
        assert.deepStrictEqual((yield* readFrom(2)).data, compacted)
        yield* kafka.moveLeader("t", 0, 2)
        assert.deepStrictEqual(texts(yield* kafka.log("t")), compacted)
        yield* kafka.append("t", one("d", "1"))
        assert.deepStrictEqual(texts(yield* kafka.log("t", { broker: 1 })), [...whole, [4, "d", "1"]])
        assert.deepStrictEqual((yield* readFrom(2)).data, [...compacted, [4, "d", "1"]])
      }).pipe(Effect.provide(brokers({ brokers: 2 })))
    )

    it.effect("a leader names the follower of a reader's rack, which answers from its own copy", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t")
        yield* kafka.append("t", one("a", "1"))
        yield* kafka.append("t", one("a", "2"))
        yield* kafka.compact("t", { broker: 2 })
        const named = yield* readFrom(1, "east")
        assert.deepStrictEqual([named.preferredReadReplica, named.data], [2, []])
        assert.strictEqual(named.highWatermark, 2)
        const near = yield* readFrom(2, "east")
        assert.deepStrictEqual([near.preferredReadReplica, near.data], [-1, [[1, "a", "2"]]])
        const elsewhere = yield* readFrom(1, "south")
        assert.deepStrictEqual([elsewhere.preferredReadReplica, elsewhere.data.length], [-1, 2])
      }).pipe(Effect.provide(brokers({ brokers: 2, racks: ["west", "east"] })))
    )

    it.effect("a tombstone stays for delete.retention.ms after a copy's first compaction that saw it", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t", { config: { "delete.retention.ms": "1000" } })
        yield* kafka.append("t", one("a", "1"))
        yield* kafka.append("t", one("a", null))
        yield* kafka.append("t", one("b", "1"))
        const hasTombstone = (broker: number) =>
          Effect.map(kafka.log("t", { broker }), (log) => log.some(({ value }) => value === null))
        // Time before the first compaction does not count.
        yield* TestClock.adjust("1 hour")
        yield* kafka.compact("t", { broker: 1 })
        yield* TestClock.adjust("999 millis")
        yield* kafka.compact("t", { broker: 1 })
        assert.isTrue(yield* hasTombstone(1))
        yield* TestClock.adjust("1 millis")
        yield* kafka.compact("t")
        assert.isFalse(yield* hasTombstone(1))
        assert.isTrue(yield* hasTombstone(2))
        yield* TestClock.adjust("1 second")
        yield* kafka.compact("t")
        assert.isFalse(yield* hasTombstone(2))
        const { batches } = yield* fetchFrom("t", 0, "read_committed")
        assert.deepStrictEqual(
          batches.map(({ baseOffset }) => baseOffset),
          [2]
        )
      }).pipe(Effect.provide(brokers({ brokers: 2 })))
    )

    it.effect("what lies in the segment that is written to is not compacted, and is in no older record's way", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t")
        yield* kafka.append("t", one("a", "1"))
        yield* kafka.append("t", one("a", "2"))
        yield* kafka.append("t", one("a", "3"))
        yield* kafka.compact("t", { below: 2 })
        assert.deepStrictEqual(texts(yield* kafka.log("t")), [
          [1, "a", "2"],
          [2, "a", "3"]
        ])
      }).pipe(Effect.provide(brokers({})))
    )

    it.effect("truncation and DeleteRecords reach every copy, however it was compacted", () =>
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* kafka.createTopic("t")
        for (const key of ["a", "a", "b", "c", "d"]) yield* kafka.append("t", one(key, "1"))
        yield* kafka.compact("t", { broker: 2 })
        yield* kafka.deleteRecords("t", 0, 2)
        yield* kafka.truncate("t", 0, 4)
        for (const broker of [1, 2]) {
          assert.deepStrictEqual(texts(yield* kafka.log("t", { broker })), [
            [2, "b", "1"],
            [3, "c", "1"]
          ])
        }
        assert.strictEqual((yield* readFrom(1, undefined, 2)).logStartOffset, 2)
        assert.strictEqual(yield* kafka.append("t", one("e")), 4)
      }).pipe(Effect.provide(brokers({ brokers: 2 })))
    )
  })

  it.effect("a recreated topic has another id and an empty log, and a deleted one is gone", () =>
    Effect.gen(function* () {
      const kafka = yield* MemoryKafka.MemoryKafka
      const client = yield* KafkaClient.KafkaClient
      const before = yield* kafka.createTopic("t", { partitions: 3 })
      yield* kafka.append("t", one("a"))
      const fetcher = yield* client.openFetcher(1)
      const poll = yield* Effect.forkChild(
        fetcher.fetch({ ...fetchRequest("t", 1, { maxWait: 5_000 }), topicId: before }),
        { startImmediately: true }
      )
      const after = yield* kafka.recreateTopic("t")
      assert.notStrictEqual(after, before)
      assert.strictEqual((yield* Fiber.join(poll)).partitions[0]!.errorCode, ErrorCode.UNKNOWN_TOPIC_ID)
      assert.strictEqual((yield* client.describeTopic("t")).partitions.length, 1)
      assert.deepStrictEqual(yield* kafka.log("t"), [])
      yield* kafka.deleteTopic("t")
      const gone = yield* Effect.flip(kafka.append("t", one("a")))
      assert.strictEqual(gone.code, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    }).pipe(Effect.provide(MemoryKafka.layer))
  )

  it.effect("a damaged batch can be put into the log as it is", () =>
    Effect.gen(function* () {
      const kafka = yield* MemoryKafka.MemoryKafka
      yield* kafka.createTopic("t")
      const batch = batchOf("a", { producerId: -1n, producerEpoch: -1 }, -1)
      batch[batch.length - 1]! ^= 0xff
      assert.strictEqual(yield* kafka.appendBatch("t", batch), 0)
      const { records } = yield* fetchFrom("t", 0, "read_committed")
      assert.isTrue(records.subarray(16).equals(batch.subarray(16)))
    }).pipe(Effect.provide(MemoryKafka.layer))
  )

  it.effect("what tables see of a log is what was committed, compacted or not", () =>
    Effect.gen(function* () {
      const kafka = yield* MemoryKafka.MemoryKafka
      yield* kafka.createTopic("t")
      yield* kafka.append("t", [...one("a", "1"), ...one("b", "1")])
      const transaction = yield* kafka.beginTransaction()
      yield* transaction.append("t", one("a", "2"))
      yield* kafka.append("t", one("b", null))
      yield* transaction.commit
      assert.deepStrictEqual([...tableOf(yield* kafka.log("t"))], [["a", "2"]])
      yield* kafka.compact("t", { dropTombstones: true })
      assert.deepStrictEqual([...tableOf(yield* kafka.log("t"))], [["a", "2"]])
    }).pipe(Effect.provide(MemoryKafka.layer))
  )
})
