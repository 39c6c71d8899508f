/** How writers are made: as services and their layers, from a topic, with options. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Schema } from "effect"
import * as Codec from "effect-ktables/Codec"
import { KafkaClient } from "effect-ktables/KafkaClient"
import { RequestTimedOut } from "effect-ktables/KafkaError"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import * as TableTopic from "effect-ktables/TableTopic"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { failureOf, prices, start, writerTo } from "./fixtures.ts"
import { brokerError, eventually, firstId, ScriptedKafka, TOPIC } from "./scriptedKafka.ts"

describe("layers", () => {
  class PricesWriter extends KafkaTableWriter.Service<PricesWriter>()("test/PricesWriter", prices) {}

  it.effect("a service's layer is one value, which starts one writer", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const write = Effect.flatMap(PricesWriter, (writer) => writer.set("tea", 3))
      assert.strictEqual(PricesWriter.layer, PricesWriter.layer)
      yield* eventually(
        Effect.andThen(write, write).pipe(
          Effect.provide(Layer.mergeAll(PricesWriter.layer, PricesWriter.layer)),
          Effect.provideService(KafkaClient, kafka.client)
        )
      )
      assert.strictEqual(kafka.calls.filter((call) => call === "initProducerId").length, 1)
      assert.deepStrictEqual(kafka.log(), ["tea", "tea"])
      assert.strictEqual(PricesWriter.topic, prices)
    })
  )

  it.effect("layerWith takes options, and layer any tag", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      class Other extends Context.Service<Other, KafkaTableWriter.KafkaTableWriter<string, number>>()("test/Other") {}
      const live = Layer.mergeAll(
        PricesWriter.layerWith({ ensureTopic: false, idempotence: "off" }),
        KafkaTableWriter.layer(Other, prices, { ensureTopic: false, acks: "leader" })
      ).pipe(Layer.provide(Layer.succeed(KafkaClient, kafka.client)))
      const program = Effect.gen(function* () {
        yield* (yield* PricesWriter).set("a", 1)
        yield* (yield* Other).set("b", 1)
      })
      yield* eventually(Effect.provide(program, live))
      assert.deepStrictEqual(
        kafka.produced.map((p) => p.request.acks),
        [-1, 1]
      )
      assert.deepStrictEqual(kafka.calls, ["describeTopic", "describeTopic"])
    })
  )

  it.effect("services that encoding needs are captured when the writer is made", () =>
    Effect.gen(function* () {
      class Salt extends Context.Service<Salt, string>()("test/Salt") {}
      const salted = Codec.make({
        decode: (bytes) => Effect.succeed(bytes.toString()),
        encode: (value: string) => Effect.map(Salt, (salt) => Buffer.from(`${salt}${value}`))
      })
      const topic = TableTopic.make({ name: TOPIC, key: salted, value: salted })
      const kafka = new ScriptedKafka()
      const writer = yield* Effect.provideService(writerTo(topic, kafka), Salt, "sea-")
      yield* eventually(writer.set("a", "b"))
      yield* eventually(writer.setAll([["c", "d"]]))
      assert.deepStrictEqual(kafka.log(), ["sea-a", "sea-c"])
    })
  )

  it.effect("a name that no broker takes is refused before anything is asked", () =>
    Effect.gen(function* () {
      const kafka = new ScriptedKafka()
      const topic = TableTopic.make({ name: "not a name", key: Schema.String, value: Schema.Finite })
      const error = yield* Effect.flip(writerTo(topic, kafka))
      assert.strictEqual(error._tag, "InvalidTopic")
      assert.deepStrictEqual(kafka.calls, [])
    })
  )

  it.effect("a slow first answer is a time-out of the request, which the start retries", () =>
    Effect.gen(function* () {
      const slow = new RequestTimedOut({ broker: "one:9092", request: "Metadata", timeout: 1000 })
      const { kafka, writer } = yield* eventually(
        start({
          describes: [Effect.fail(slow)],
          inits: [Effect.fail(brokerError(ErrorCode.COORDINATOR_NOT_AVAILABLE))]
        })
      )
      assert.deepStrictEqual(kafka.calls, ["describeTopic", "describeTopic", "initProducerId", "initProducerId"])
      assert.deepStrictEqual([kafka.describes, kafka.inits], [[], []], "both failures were answered")
      const { offset, producerEpoch, producerId, sequence } = yield* eventually(writer.set("a", 1))
      assert.deepStrictEqual([producerId, producerEpoch, sequence, offset], [`${firstId}`, 0, 0, 0])
      assert.deepStrictEqual(kafka.log(), ["a"])
      assert.strictEqual(kafka.calls.length, 4, "nothing is asked again")
    })
  )
})

/** Options as somebody may write them whom no compiler keeps from it. */
describe("what cannot be combined", () => {
  // @ts-expect-error idempotence needs the acknowledgement of all replicas
  const none: KafkaTableWriter.Options = { acks: "none", idempotence: "required" }
  // @ts-expect-error idempotence needs the acknowledgement of all replicas
  const leader: KafkaTableWriter.Options = { acks: "leader", idempotence: "auto" }

  it.effect("is refused by the compiler, and by the writer's start where it is written all the same", () =>
    Effect.gen(function* () {
      for (const options of [none, leader]) {
        const error = yield* failureOf(Effect.scoped(start({ writer: options })))
        assert.deepInclude(error, { _tag: "InvalidOption", option: "idempotence" })
      }
    })
  )
})
