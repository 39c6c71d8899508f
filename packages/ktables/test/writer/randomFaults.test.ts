/** The writer against an embedded broker that checks sequences as a real one does, under random faults. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema } from "effect"
import { ConnectionFailed } from "effect-ktables/KafkaError"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import * as TableTopic from "effect-ktables/TableTopic"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { assertExactlyOnceInOrder, hammer } from "./exactlyOnce.ts"
import { eventually } from "./scriptedKafka.ts"

const topic = TableTopic.make({ name: "hammered", key: Schema.String, value: Schema.Int, partitions: 3 })

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Fault = Schema.Struct({
  kind: Schema.Literals([
    "request lost",
    "answer lost",
    "answer lost",
    "not leader",
    "timed out behind the append",
    "replicas lost behind the append",
    "not enough replicas",
    "out of order",
    "unknown producer",
    "fenced",
    "too large"
  ]),
  partition: between(0, 2)
})
type Fault = typeof Fault.Type

const lost = new ConnectionFailed({ broker: "memory-1:9092", request: "Produce", detail: "ECONNRESET" })

const arrange = (kafka: MemoryKafka.Service, { kind, partition }: Fault) => {
  const matcher = { request: "produce", partition } as const
  const carriedOut = { carriedOut: true }
  switch (kind) {
    case "request lost":
      return kafka.fail(matcher, lost)
    case "answer lost":
      return kafka.fail(matcher, lost, carriedOut)
    case "not leader":
      return kafka.fail(matcher, ErrorCode.NOT_LEADER_OR_FOLLOWER)
    case "timed out behind the append":
      return kafka.fail(matcher, ErrorCode.REQUEST_TIMED_OUT, carriedOut)
    case "replicas lost behind the append":
      return kafka.fail(matcher, ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND, carriedOut)
    case "not enough replicas":
      return kafka.fail(matcher, ErrorCode.NOT_ENOUGH_REPLICAS)
    case "out of order":
      return kafka.fail(matcher, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
    case "unknown producer":
      return kafka.fail(matcher, ErrorCode.UNKNOWN_PRODUCER_ID)
    case "fenced":
      return kafka.fail(matcher, ErrorCode.INVALID_PRODUCER_EPOCH)
    case "too large":
      return kafka.fail(matcher, ErrorCode.MESSAGE_TOO_LARGE)
  }
}

const Move = Schema.Struct({ behind: between(1, 100), partition: between(0, 2), broker: between(0, 3) })

const play = (faults: ReadonlyArray<Fault>, moves: ReadonlyArray<typeof Move.Type>) =>
  Effect.gen(function* () {
    const kafka = yield* MemoryKafka.MemoryKafka
    const writer = yield* KafkaTableWriter.make(topic)
    for (const fault of faults) yield* arrange(kafka, fault)
    let total = 0
    const moving = Effect.forEach(
      moves,
      ({ behind, broker, partition }) =>
        Effect.whileLoop({ while: () => total < behind, body: () => Effect.yieldNow, step: () => undefined }).pipe(
          Effect.andThen(kafka.moveLeader(topic.name, partition, broker === 0 ? undefined : broker)),
          // A partition that lost its leader gets another one, so that its writes end.
          Effect.andThen(Effect.sleep("1 second")),
          Effect.andThen(kafka.moveLeader(topic.name, partition, broker === 0 ? 1 : broker))
        ),
      { concurrency: "unbounded", discard: true }
    )
    const [attempted] = yield* Effect.all(
      [
        hammer(
          writer,
          8,
          (writes) => writes >= 15,
          (count) => (total = count)
        ),
        moving
      ],
      { concurrency: "unbounded" }
    )
    const log = (yield* kafka.log(topic.name)).map(({ key, offset, partition, value }) => ({
      partition,
      offset,
      key: key!.toString(),
      value: Number(value!.toString())
    }))
    return { attempted, log }
  }).pipe(eventually, Effect.scoped, Effect.provide(Layer.fresh(MemoryKafka.layerWith({ brokers: 3 }))))

describe("the writer under random faults", () => {
  it.effect.prop(
    "keeps each acknowledged write once and in order, and says of each other one what is known",
    [Schema.Array(Fault), Schema.Array(Move)],
    ([faults, moves]) =>
      Effect.gen(function* () {
        const { attempted, log } = yield* play(faults, moves)
        assert.strictEqual(attempted.length, 120)
        assertExactlyOnceInOrder(attempted, log)
        const names = new Set(log.map(({ key, value }) => `${key}=${value}`))
        for (const { key, value, exit } of attempted) {
          if (Exit.isSuccess(exit)) continue
          const reason = exit.cause.reasons[0]!
          assert.isTrue(reason._tag === "Fail")
          if (reason._tag !== "Fail") continue
          assert.include(["WriteOutcomeUnknown", "WriteRejected"], reason.error._tag)
          // Said to be refused is said to be absent.
          if (reason.error._tag === "WriteRejected") assert.isFalse(names.has(`${key}=${value}`))
        }
      }),
    { arbitrary: { runs: 200, size: 30 } }
  )
})
