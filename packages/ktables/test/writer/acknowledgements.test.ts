/** What a write is answered with, and which writes share a batch. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { prices, setTogether, start, startUnanswered, writerTo } from "./fixtures.ts"
import { answered, describe as describeTopic, eventually, firstId, TOPIC, TOPIC_ID, until } from "./scriptedKafka.ts"

describe("acknowledgements", () => {
  it.effect("a set is answered with topic id, partition, offset, timestamp and numbering", () =>
    Effect.gen(function* () {
      const { writer } = yield* start()
      yield* TestClock.setTime(1234)
      const fiber = yield* Effect.forkChild(Effect.andThen(writer.set("tea", 3), writer.set("coffee", 4)))
      yield* until(() => fiber.pollUnsafe() !== undefined)
      const ack = yield* Fiber.join(fiber)
      assert.deepStrictEqual(ack, {
        topic: TOPIC,
        topicId: TOPIC_ID,
        partition: 0,
        offset: 1,
        timestamp: 1234,
        producerId: `${firstId}`,
        producerEpoch: 0,
        sequence: 1
      })
    })
  )

  it.effect("a delete writes a tombstone", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start()
      yield* eventually(writer.delete("tea"))
      // The last varint but one is the value's length: -1, as zigzag 1.
      assert.strictEqual(kafka.produced[0]!.bytes.at(-2), 1)
    })
  )

  it.effect("the broker's timestamp is told where the topic stamps records itself", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({
        produces: [() => Effect.succeed([{ ...answered(0, { baseOffset: 7 }), logAppendTime: 42 }])]
      })
      const ack = yield* eventually(writer.set("tea", 3))
      assert.strictEqual(ack.timestamp, 42)
      assert.strictEqual(ack.offset, 7)
    })
  )

  it.effect("acks none answers without an offset, and acks leader without numbering", () =>
    Effect.gen(function* () {
      const { kafka, writer: none } = yield* start({
        produces: [() => Effect.succeed([])],
        writer: { acks: "none" }
      })
      const ack = yield* eventually(none.set("tea", 3))
      assert.isUndefined(ack.offset)
      const leader = yield* writerTo(prices, kafka, { acks: "leader" })
      const other = yield* eventually(leader.set("tea", 4))
      assert.strictEqual(other.offset, 0)
      assert.strictEqual(other.sequence, -1)
      assert.deepStrictEqual(
        kafka.produced.map((p) => [p.request.acks, p.producerId, p.sequence]),
        [
          [0, -1n, -1],
          [1, -1n, -1]
        ]
      )
      assert.notInclude(kafka.calls, "initProducerId")
    })
  )

  it.effect("writes of the same moment share a batch, and later ones the next, numbered on", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start()
      yield* eventually(setTogether(writer, ["a", "b", "c"]))
      yield* eventually(writer.set("d", 1))
      assert.deepStrictEqual(
        kafka.produced.map((p) => [p.keys, p.sequence]),
        [
          [["a", "b", "c"], 0],
          [["d"], 3]
        ]
      )
    })
  )

  it.effect("writes that come while a batch is on its way wait for it and then go together", () =>
    Effect.gen(function* () {
      const { kafka, writer, first, answer } = yield* startUnanswered("a")
      const rest = yield* Effect.forkChild(
        Effect.all([writer.set("b", 1), writer.set("a", 2)], { concurrency: "unbounded" })
      )
      yield* Effect.yieldNow
      assert.strictEqual(kafka.produced.length, 1)
      yield* answer
      yield* eventually(Fiber.join(first))
      yield* eventually(Fiber.join(rest))
      assert.deepStrictEqual(
        kafka.produced.map((p) => p.keys),
        [["a"], ["b", "a"]]
      )
    })
  )

  it.effect("linger gathers writes of different moments, and a full batch does not wait for it", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ writer: { linger: "1 second", maxBatchBytes: 400 } })
      const one = yield* Effect.forkChild(writer.set("a", 1))
      yield* TestClock.adjust(500)
      const two = yield* Effect.forkChild(writer.set("b", 1))
      yield* TestClock.adjust(499)
      assert.strictEqual(kafka.produced.length, 0)
      yield* TestClock.adjust(1)
      yield* Fiber.join(one)
      yield* Fiber.join(two)
      assert.deepStrictEqual(kafka.produced[0]!.keys, ["a", "b"])
      const full = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 12 }), (_, i) => writer.set(`k${i}`, i), { concurrency: "unbounded" })
      )
      yield* until(() => kafka.produced.length > 1)
      yield* eventually(Fiber.join(full))
    })
  )

  it.effect("keys go to the partitions that Java gives them, over the partitions there are now", () =>
    Effect.gen(function* () {
      const { kafka, writer } = yield* start({ partitions: 3, writer: { metadataMaxAge: "1 minute" } })
      assert.strictEqual((yield* eventually(writer.set("foobar", 1))).partition, (-790332482 & 0x7fffffff) % 3)
      kafka.description = describeTopic({ partitions: 5 })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* eventually(writer.set("foobar", 1))).partition, (-790332482 & 0x7fffffff) % 5)
    })
  )

  it.effect("a partitioner that answers nonsense ends the write as a defect", () =>
    Effect.gen(function* () {
      const { writer } = yield* start({ writer: { partitioner: () => 1 } })
      const exit = yield* Effect.exit(writer.set("a", 1))
      assert.isTrue(Exit.hasDies(exit))
    })
  )

  it.effect(
    "a partitioner that answers with a Promise ends the write with that word, and its rejection ends nothing",
    () =>
      Effect.gen(function* () {
        const partitioner = () => Promise.reject(new Error("later")) as never
        const { writer } = yield* start({ writer: { partitioner } })
        const cause = yield* Effect.flip(Effect.sandbox(writer.set("a", 1)))
        assert.include(
          String(Cause.squash(cause)),
          "the partitioner of prices returned a Promise, there are 1 partitions"
        )
        // Node looks for rejections that nobody handles once its microtasks are done.
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      })
  )
})
