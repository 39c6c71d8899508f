import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { TestKafka } from "@effect-ktables/testing"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Context, Duration, Effect, Exit, Fiber, Layer, Schema } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import * as KafkaTopic from "effect-ktables/KafkaTopic"
import * as TableTopic from "effect-ktables/TableTopic"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { encodeBatch } from "../../src/internal/records/batchWriter.ts"
import { describeWithin } from "../../src/internal/topic/describe.ts"
import { assertExactlyOnceInOrder, hammer } from "../writer/exactlyOnce.ts"
import { readLog } from "../writer/readLog.ts"

class Cluster extends Context.Service<Cluster, TestKafka.Cluster>()("test/Cluster") {}

const live = Layer.unwrap(Effect.map(Cluster, ({ brokers }) => KafkaJsClient.layer({ brokers: [...brokers] }))).pipe(
  Layer.provideMerge(Layer.effect(Cluster, TestKafka.startCluster({ proxies: true })))
)

const PRODUCE = 0

const topicOf = (
  name: string,
  options: { readonly partitions?: number; readonly config?: Readonly<Record<string, string>> } = {}
) => TableTopic.make({ name, key: Schema.String, value: Schema.Int, ...options })

/** Waits, looking every few milliseconds, until the condition holds. */
const until = (what: string, condition: () => boolean) =>
  Effect.suspend(() => (condition() ? Effect.void : Effect.fail("not yet"))).pipe(
    Effect.eventually,
    Effect.timeoutOrElse({ duration: "60 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) })
  )

describe("the writer on a real broker", () => {
  it.layer(live, { excludeTestServices: true, timeout: Duration.minutes(3) })("behind a fault proxy", (it) => {
    it.effect("creates a missing topic compacted, finds it the next time, and reconciles a foreign policy", () =>
      Effect.gen(function* () {
        const client = yield* KafkaClient
        const { admin } = yield* Cluster
        const name = yield* TestKafka.uniqueName("ensure")
        const topic = topicOf(name, { partitions: 3 })
        const missing = yield* Effect.flip(KafkaTopic.ensure(topic, { create: false }))
        assert.strictEqual(missing._tag, "TopicNotFound")
        const { Created, Reconciled, Verified } = KafkaTopic.EnsureOutcome
        assert.deepStrictEqual(yield* KafkaTopic.ensure(topic), Created({ partitions: 3 }))
        const again = yield* KafkaTopic.ensure(topic, { create: false, onPolicyMismatch: "fail" })
        assert.deepStrictEqual(again, Verified({ cautions: [] }))
        assert.strictEqual((yield* client.describeTopic(name)).partitions.length, 3)
        yield* admin.alterConfig(name, { "cleanup.policy": "compact,delete", "segment.bytes": "1048576" })
        // Brokers show settings some moments after they were taken.
        const shows = (policy: string) =>
          client.describeConfig(name).pipe(
            Effect.filterOrFail((config) => config.get("cleanup.policy") === policy),
            Effect.eventually,
            Effect.timeout("30 seconds")
          )
        yield* shows("compact,delete")
        const error = yield* Effect.flip(KafkaTopic.ensure(topic, { onPolicyMismatch: "fail" }))
        assert.strictEqual(error._tag, "PolicyMismatch")
        const reconciled = yield* KafkaTopic.ensure(topic, { onPolicyMismatch: "reconcile" })
        assert.deepStrictEqual(
          reconciled,
          Reconciled({ previous: { "cleanup.policy": "compact,delete" }, cautions: [] })
        )
        const config = yield* shows("compact")
        assert.strictEqual(config.get("segment.bytes"), "1048576")
      })
    )

    it.effect("leaves a declared compact,delete alone, and warns of the broker's week", () =>
      Effect.gen(function* () {
        const client = yield* KafkaClient
        const name = yield* TestKafka.uniqueName("expiring")
        const config = { "cleanup.policy": "compact,delete" }
        yield* KafkaTopic.ensure(topicOf(name, { config }))
        const outcome = yield* KafkaTopic.ensure(topicOf(name, { config }), { onPolicyMismatch: "reconcile" })
        assert.strictEqual(outcome._tag, "Verified")
        if (outcome._tag !== "Verified") return
        assert.strictEqual(outcome.cautions.length, 1)
        assert.include(outcome.cautions[0], "retention.ms=604800000")
        assert.strictEqual((yield* client.describeConfig(name)).get("cleanup.policy"), "compact,delete")
        const declared = { ...config, "retention.ms": "2592000000" }
        const error = yield* Effect.flip(
          KafkaTopic.ensure(topicOf(name, { config: declared }), { onPolicyMismatch: "fail" })
        )
        assert.deepInclude(error, { _tag: "PolicyMismatch", setting: "retention.ms", actual: "604800000" })
      })
    )

    it.effect("is made by many at the same moment without a failure", () =>
      Effect.gen(function* () {
        const topic = topicOf(yield* TestKafka.uniqueName("race"))
        yield* Effect.all(
          Array.from({ length: 8 }, () => KafkaTopic.ensure(topic, { onPolicyMismatch: "fail" })),
          { concurrency: "unbounded" }
        )
      })
    )

    it.effect("acknowledged writes are in the log once and in order when produce answers are cut", () =>
      Effect.gen(function* () {
        const { nodes } = yield* Cluster
        const proxy = nodes[0]!.proxy!
        const name = yield* TestKafka.uniqueName("cut")
        const writer = yield* KafkaTableWriter.make(topicOf(name, { partitions: 3 }))
        let isOver = false
        const fiber = yield* Effect.forkChild(hammer(writer, 32, () => isOver))
        for (let i = 0; i < 12; i++) {
          const dropped = yield* i % 3 === 2 ? proxy.dropNextRequest(PRODUCE) : proxy.dropNextAnswer(PRODUCE)
          yield* dropped
        }
        isOver = true
        const attempted = yield* Fiber.join(fiber)
        assert.isTrue(attempted.every(({ exit }) => Exit.isSuccess(exit)))
        const log = yield* readLog(name)
        assertExactlyOnceInOrder(attempted, log)
        assert.strictEqual(log.length, attempted.length)
      })
    )

    it.effect("a frozen broker delays writes and loses, doubles and reorders none", () =>
      Effect.gen(function* () {
        const { nodes } = yield* Cluster
        const proxy = nodes[0]!.proxy!
        const name = yield* TestKafka.uniqueName("frozen")
        const writer = yield* KafkaTableWriter.make(topicOf(name, { partitions: 2 }))
        let isOver = false
        let written = 0
        const fiber = yield* Effect.forkChild(
          hammer(
            writer,
            8,
            () => isOver,
            (count) => (written = count)
          )
        )
        yield* until("first writes", () => written > 100)
        const second = yield* KafkaTableWriter.make(topicOf(yield* TestKafka.uniqueName("beside")))
        yield* proxy.freeze("toClient")
        const produces = Effect.map(proxy.traffic, ({ requests }) => requests.get(PRODUCE) ?? 0)
        const sent = yield* produces
        const held = yield* Effect.forkChild(second.set("key", 0))
        yield* Effect.eventually(Effect.filterOrFail(produces, (count) => count > sent))
        const before = written
        assert.isUndefined(held.pollUnsafe())
        yield* proxy.thaw
        assert.strictEqual((yield* Fiber.join(held)).offset, 0)
        yield* until("writes after the thaw", () => written > before + 100)
        isOver = true
        const attempted = yield* Fiber.join(fiber)
        const log = yield* readLog(name)
        assertExactlyOnceInOrder(attempted, log)
        assert.strictEqual(log.length, attempted.length)
      })
    )

    it.effect("a write whose time runs out unanswered is unknown, and cannot land behind a newer one", () =>
      Effect.gen(function* () {
        const { nodes } = yield* Cluster
        const proxy = nodes[0]!.proxy!
        const name = yield* TestKafka.uniqueName("unknown")
        const writer = yield* KafkaTableWriter.make(topicOf(name), { deliveryTimeout: "2 seconds" })
        yield* writer.set("key", 0)
        yield* proxy.freeze("toClient")
        const began = yield* Clock.currentTimeMillis
        const error = yield* Effect.flip(writer.set("key", 1))
        assert.strictEqual(error._tag, "WriteOutcomeUnknown")
        assert.isBelow((yield* Clock.currentTimeMillis) - began, 15_000)
        yield* proxy.thaw
        const ack = yield* writer.set("key", 2)
        assert.deepStrictEqual([ack.producerEpoch, ack.sequence], [1, 0])
        assert.deepStrictEqual(
          (yield* readLog(name)).map(({ value }) => value),
          [0, 1, 2]
        )
      })
    )

    it.effect("a batch of an earlier epoch that arrives late is refused by the broker", () =>
      Effect.gen(function* () {
        const client = yield* KafkaClient
        const topic = yield* TestKafka.uniqueName("fenced")
        yield* KafkaTopic.ensure(topicOf(topic))
        const { partitions, topicId } = yield* describeWithin(client, topic, "30 seconds", { justCreated: true })
        const { producerId } = yield* client.initProducerId
        const produce = (producerEpoch: number, baseSequence: number) =>
          Effect.map(
            client.produce(partitions[0]!.leader, {
              topic,
              topicId,
              acks: -1,
              timeout: 10_000,
              partitions: [
                {
                  partition: 0,
                  records: encodeBatch(
                    [{ offsetDelta: 0, timestamp: 1, key: Buffer.from("key"), value: Buffer.from("1") }],
                    { producerId, producerEpoch, baseSequence }
                  )
                }
              ]
            }),
            ([answer]) => answer!.errorCode
          )
        assert.strictEqual(yield* produce(0, 0), ErrorCode.NONE)
        assert.strictEqual(yield* produce(1, 0), ErrorCode.NONE)
        assert.strictEqual(yield* produce(0, 1), ErrorCode.INVALID_PRODUCER_EPOCH)
      })
    )

    it.effect("a record over the topic's limit fails alone, and the others of its batch are written", () =>
      Effect.gen(function* () {
        const { admin } = yield* Cluster
        const name = yield* TestKafka.uniqueName("large")
        yield* admin.createTopic({ topic: name, config: { "cleanup.policy": "compact", "max.message.bytes": "1000" } })
        const writer = yield* KafkaTableWriter.make(topicOf(name), { ensureTopic: false })
        const guilty = "x".repeat(2000)
        const error = yield* Effect.flip(
          writer.setAll([
            ...Array.from({ length: 20 }, (_, i) => [`a${i}`, i] as const),
            [guilty, 0],
            ...Array.from({ length: 20 }, (_, i) => [`b${i}`, i] as const)
          ])
        )
        assert.deepStrictEqual(
          error.failures.map(({ key, error }) => [key, error._tag]),
          [[guilty, "WriteRejected"]]
        )
        assert.strictEqual(error.acks.length, 40)
        assert.strictEqual((yield* readLog(name)).length, 40)
      })
    )

    for (const compression of ["gzip", "snappy", "lz4", "zstd"] as const) {
      it.effect(`writes ${compression} batches that read back`, () =>
        Effect.gen(function* () {
          const name = yield* TestKafka.uniqueName(compression)
          const writer = yield* KafkaTableWriter.make(topicOf(name), { compression })
          yield* writer.setAll(Array.from({ length: 500 }, (_, i) => [`key-${i}`, i] as const))
          assert.deepStrictEqual(
            (yield* readLog(name)).map(({ value }) => value),
            Array.from({ length: 500 }, (_, i) => i)
          )
        })
      )
    }

    it.effect("acks leader and acks none are written", () =>
      Effect.gen(function* () {
        const name = yield* TestKafka.uniqueName("acks")
        const leader = yield* KafkaTableWriter.make(topicOf(name), { acks: "leader" })
        assert.strictEqual((yield* leader.set("a", 1)).offset, 0)
        const none = yield* KafkaTableWriter.make(topicOf(name), { acks: "none" })
        assert.isUndefined((yield* none.set("a", 2)).offset)
        const seen = yield* readLog(name).pipe(
          Effect.filterOrFail((log) => log.length === 2),
          Effect.eventually,
          Effect.timeout("10 seconds")
        )
        assert.deepStrictEqual(
          seen.map(({ value }) => value),
          [1, 2]
        )
      })
    )

    it.effect("partitions that are added are written to, and a topic made again is written to under its new id", () =>
      Effect.gen(function* () {
        const { admin } = yield* Cluster
        const name = yield* TestKafka.uniqueName("changes")
        const writer = yield* KafkaTableWriter.make(topicOf(name), { metadataMaxAge: "200 millis" })
        const first = yield* writer.set("key", 0)
        yield* admin.createPartitions(name, 4)
        yield* writer.setAll(Array.from({ length: 50 }, (_, i) => [`grown-${i}`, i] as const)).pipe(
          Effect.filterOrFail((acks) => new Set(acks.map((ack) => ack.partition)).size === 4),
          Effect.eventually,
          Effect.timeout("30 seconds")
        )
        yield* admin.deleteTopic(name)
        yield* admin.createTopic({ topic: name, config: { "cleanup.policy": "compact" } })
        const ack = yield* writer.set("key", 1).pipe(
          Effect.filterOrFail((ack) => ack.topicId !== first.topicId),
          Effect.eventually,
          Effect.timeout("30 seconds")
        )
        assert.strictEqual(ack.partition, 0)
        const log = yield* readLog(name)
        assert.strictEqual(log.find((record) => record.offset === ack.offset)?.key, "key")
      })
    )

    it.effect("a broker that is killed and started again takes every write, once and in order", () =>
      Effect.gen(function* () {
        const { nodes } = yield* Cluster
        const name = yield* TestKafka.uniqueName("killed")
        const writer = yield* KafkaTableWriter.make(topicOf(name, { partitions: 2 }))
        let isOver = false
        let written = 0
        const fiber = yield* Effect.forkChild(
          hammer(
            writer,
            8,
            () => isOver,
            (count) => (written = count)
          )
        )
        yield* until("first writes", () => written > 200)
        yield* nodes[0]!.kill
        yield* nodes[0]!.start
        const before = written
        yield* until("writes after the restart", () => written > before + 100)
        isOver = true
        const attempted = yield* Fiber.join(fiber)
        assert.isTrue(attempted.every(({ exit }) => Exit.isSuccess(exit)))
        const log = yield* readLog(name)
        assertExactlyOnceInOrder(attempted, log)
      })
    )
  })
})
