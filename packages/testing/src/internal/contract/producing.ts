/** The contract's promises on produced batches and on the sequences of idempotent producers. */
import { assert, type Vitest } from "@effect/vitest"
import { Effect } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import type { ContractAdmin } from "../../ContractAdmin.ts"
import { compressions, encodeBatch, readBatches } from "../recordBatch.ts"
import {
  Code,
  dataRecords,
  eventually,
  fetchOne,
  freshTopic,
  leaderOf,
  listOffset,
  newProducer,
  produce,
  produceBytes,
  text
} from "./support.ts"

const one = [{ key: "k", value: "v" }]

export const producing = (it: Vitest.MethodsNonLive<KafkaClient | ContractAdmin>): void => {
  it.effect("records come back at the offsets they were given, byte for byte", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const records = [
        { key: "a", value: "1", timestamp: 1_700_000_000_000, headers: [] },
        { key: "a", value: null, timestamp: 1_600_000_000_000, headers: [{ key: "h", value: null }] },
        { key: "", value: "", timestamp: 1_700_000_000_001, headers: [{ key: "", value: "ü" }] },
        { key: null, value: text(300), timestamp: 1_700_000_000_002, headers: [] }
      ]
      const first = yield* produce(topic, records.slice(0, 3))
      const second = yield* produce(topic, records.slice(3), { acks: 1 })
      assert.deepStrictEqual(
        [first, second].map(({ baseOffset, errorCode }) => ({ baseOffset, errorCode })),
        [
          { baseOffset: 0, errorCode: 0 },
          { baseOffset: 3, errorCode: 0 }
        ]
      )
      assert.strictEqual(first.logAppendTime, -1)
      assert.strictEqual(first.logStartOffset, 0)
      const fetched = yield* fetchOne(topic, 0)
      assert.deepStrictEqual(
        dataRecords(fetched.records),
        records.map((record, offset) => ({ offset, ...record }))
      )
      assert.strictEqual(fetched.errorCode, 0)
      assert.strictEqual(fetched.highWatermark, 4)
      assert.strictEqual(fetched.lastStableOffset, 4)
      assert.strictEqual(fetched.logStartOffset, 0)
      assert.strictEqual(fetched.preferredReadReplica, -1)
      assert.isUndefined(fetched.diverging)
      assert.deepStrictEqual(
        readBatches(fetched.records).map(({ baseOffset, lastOffset, leaderEpoch, producerId }) => ({
          baseOffset,
          lastOffset,
          leaderEpoch,
          producerId
        })),
        [
          { baseOffset: 0, lastOffset: 2, leaderEpoch: 0, producerId: -1n },
          { baseOffset: 3, lastOffset: 3, leaderEpoch: 0, producerId: -1n }
        ]
      )
    })
  )

  for (const compression of compressions) {
    it.effect(`a batch with compression ${compression} is taken and comes back as it was`, () =>
      Effect.gen(function* () {
        const topic = yield* freshTopic({ config: { "cleanup.policy": "compact" } })
        const records = Array.from({ length: 50 }, (_, i) => ({ key: `key-${i}`, value: text(i) }))
        const bytes = encodeBatch(records, { compression })
        assert.strictEqual((yield* produceBytes(topic, bytes)).errorCode, 0)
        const fetched = yield* fetchOne(topic, 0)
        assert.isTrue(fetched.records.subarray(16).equals(bytes.subarray(16)))
        assert.strictEqual(fetched.highWatermark, 50)
      })
    )
  }

  it.effect("a producer id is given out with the cluster that it is of", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const { topic } = yield* freshTopic()
      const { clusterId } = yield* client.describeTopic(topic)
      const granted = yield* newProducer
      assert.isDefined(clusterId)
      assert.strictEqual(granted.clusterId, clusterId)
    })
  )

  it.effect("acks 0 gives no offset, and the record arrives", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const answer = yield* produce(topic, one, { acks: 0 })
      assert.strictEqual(answer.errorCode, 0)
      assert.strictEqual(answer.baseOffset, -1)
      yield* eventually(listOffset(topic, "latest"), ({ offset }) => offset === 1)
    })
  )

  it.effect("a topic that stamps its records says when, to producer and reader", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic({ config: { "message.timestamp.type": "LogAppendTime" } })
      const answer = yield* produce(topic, [{ key: "k", value: "v", timestamp: 1000 }])
      assert.isAbove(answer.logAppendTime, 1_600_000_000_000)
      const [batch] = readBatches((yield* fetchOne(topic, 0)).records)
      assert.isTrue(batch!.isLogAppendTime)
      assert.strictEqual(batch!.records[0]!.timestamp, answer.logAppendTime)
    })
  )

  it.effect("one request writes to several partitions, and a refused one leaves the others alone", () =>
    Effect.gen(function* () {
      const client = yield* KafkaClient
      const topic = yield* freshTopic({ partitions: 2 })
      const broken = encodeBatch(one)
      broken[broken.length - 1]! ^= 1
      const byLeader = (partition: number, records: Buffer) =>
        client.produce(leaderOf(topic, partition), {
          topic: topic.topic,
          topicId: topic.topicId,
          acks: -1,
          timeout: 10_000,
          partitions:
            leaderOf(topic, 0) === leaderOf(topic, 1)
              ? [
                  { partition: 0, records: broken },
                  { partition: 1, records }
                ]
              : [{ partition, records }]
        })
      const answers = yield* byLeader(1, encodeBatch(one))
      const taken = answers.find(({ partition }) => partition === 1)
      assert.strictEqual(taken?.errorCode, 0)
      assert.strictEqual(taken?.baseOffset, 0)
      const refused = answers.find(({ partition }) => partition === 0)
      if (refused !== undefined) {
        assert.strictEqual(refused.errorCode, Code.CORRUPT_MESSAGE)
        assert.strictEqual(refused.baseOffset, -1)
      }
      assert.strictEqual((yield* listOffset(topic, "latest")).offset, 0)
    })
  )

  it.effect("a batch that is damaged, malformed or not a client's to write is refused", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const damaged = encodeBatch([{ key: "k", value: "value" }])
      damaged[damaged.length - 3]! ^= 0xff
      const refusals = yield* Effect.forEach(
        [
          damaged,
          Buffer.concat([encodeBatch(one), encodeBatch(one)]),
          encodeBatch(one, { isControl: true }),
          encodeBatch(one, { baseOffset: 7 }),
          encodeBatch(one, { producerId: 1n, producerEpoch: 0, baseSequence: -1 }),
          encodeBatch(one, { producerId: 1n, producerEpoch: 0, baseSequence: 0, isTransactional: true })
        ],
        (bytes) => Effect.map(produceBytes(topic, bytes), ({ errorCode }) => errorCode)
      )
      assert.deepStrictEqual(refusals, [
        Code.CORRUPT_MESSAGE,
        Code.INVALID_RECORD,
        Code.INVALID_RECORD,
        Code.INVALID_RECORD,
        Code.INVALID_RECORD,
        Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
      ])
      assert.strictEqual((yield* listOffset(topic, "latest")).offset, 0)
    })
  )

  it.effect("a record without a key is refused by a compacted topic", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic({ config: { "cleanup.policy": "compact" } })
      const answer = yield* produce(topic, [...one, { key: null, value: "v" }])
      assert.strictEqual(answer.errorCode, Code.INVALID_RECORD)
      assert.strictEqual((yield* listOffset(topic, "latest")).offset, 0)
    })
  )

  it.effect("a batch above the topic's limit is too large, one at the limit is not", () =>
    Effect.gen(function* () {
      const atLimit = encodeBatch([{ key: "k", value: text(900) }])
      const topic = yield* freshTopic({ config: { "max.message.bytes": String(atLimit.length) } })
      const above = encodeBatch([{ key: "k", value: text(901) }])
      assert.strictEqual((yield* produceBytes(topic, above)).errorCode, Code.MESSAGE_TOO_LARGE)
      assert.strictEqual((yield* produceBytes(topic, atLimit)).errorCode, 0)
    })
  )

  it.effect("a partition, a topic and a topic id that are not there are refused", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const to = (where: typeof topic, partition: number) =>
        Effect.map(
          Effect.flatMap(KafkaClient, (client) =>
            client.produce(leaderOf(topic), {
              topic: where.topic,
              topicId: where.topicId,
              acks: -1,
              timeout: 10_000,
              partitions: [{ partition, records: encodeBatch(one) }]
            })
          ),
          ([answer]) => answer?.errorCode
        ).pipe(Effect.catchTag("BrokerError", ({ code }) => Effect.succeed(code)))
      assert.strictEqual(yield* to(topic, 1), Code.UNKNOWN_TOPIC_OR_PARTITION)
      assert.strictEqual(
        yield* to({ ...topic, topic: "no-such-topic", topicId: undefined }, 0),
        Code.UNKNOWN_TOPIC_OR_PARTITION
      )
      // Before Kafka 4.0 Produce knows no ids: then the client itself finds that the topic has another.
      const refused: ReadonlyArray<number | undefined> = [Code.UNKNOWN_TOPIC_ID, Code.INCONSISTENT_TOPIC_ID]
      assert.include(refused, yield* to({ ...topic, topicId: "0123456789abcdef".repeat(2) }, 0))
    })
  )

  it.effect("each producer identity is given once", () =>
    Effect.gen(function* () {
      const given = yield* Effect.all(
        Array.from({ length: 20 }, () => newProducer),
        {
          concurrency: 5
        }
      )
      assert.strictEqual(new Set(given.map(({ producerId }) => producerId)).size, 20)
      for (const { producerEpoch, producerId } of given) {
        assert.strictEqual(producerEpoch, 0)
        assert.isTrue(producerId >= 0n)
      }
    })
  )

  it.effect("a batch sent again is answered with the offset it has, for a producer's last five batches", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const producer = yield* newProducer
      const send = (baseSequence: number) =>
        Effect.map(
          produce(topic, [...one, ...one], { ...producer, baseSequence }),
          ({ baseOffset, errorCode }) => [errorCode, baseOffset] as const
        )
      for (let i = 0; i < 6; i++) assert.deepStrictEqual(yield* send(i * 2), [0, i * 2])
      for (let i = 5; i >= 1; i--) assert.deepStrictEqual(yield* send(i * 2), [0, i * 2])
      assert.deepStrictEqual(yield* send(0), [Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1])
      assert.strictEqual((yield* listOffset(topic, "latest")).offset, 12)
      assert.deepStrictEqual(yield* send(12), [0, 12])
    })
  )

  it.effect("a gap in a producer's sequences is refused, and its first sequence here may be any", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const producer = yield* newProducer
      const send = (baseSequence: number) =>
        Effect.map(produce(topic, one, { ...producer, baseSequence }), ({ errorCode }) => errorCode)
      assert.strictEqual(yield* send(40), 0)
      assert.strictEqual(yield* send(42), Code.OUT_OF_ORDER_SEQUENCE_NUMBER)
      assert.strictEqual(yield* send(41), 0)
      const other = yield* newProducer
      assert.strictEqual((yield* produce(topic, one, { ...other, baseSequence: 0 })).baseOffset, 2)
    })
  )

  it.effect("a new epoch of a producer begins at sequence 0 and fences the older one", () =>
    Effect.gen(function* () {
      const topic = yield* freshTopic()
      const { producerId } = yield* newProducer
      const send = (producerEpoch: number, baseSequence: number) =>
        Effect.map(
          produce(topic, one, { producerId, producerEpoch, baseSequence }),
          ({ baseOffset, errorCode }) => [errorCode, baseOffset] as const
        )
      assert.deepStrictEqual(yield* send(0, 0), [0, 0])
      assert.deepStrictEqual(yield* send(1, 1), [Code.OUT_OF_ORDER_SEQUENCE_NUMBER, -1])
      assert.deepStrictEqual(yield* send(1, 0), [0, 1])
      assert.deepStrictEqual(yield* send(0, 1), [Code.INVALID_PRODUCER_EPOCH, -1])
    })
  )
}
