import { assert, describe, layer } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { KafkaClient } from "effect-ktables/KafkaClient"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import * as Topics from "../src/internal/commands/topics.ts"

const UNKNOWN_TOPIC = 3
const LEADER_NOT_AVAILABLE = 5
const TOPIC_AUTHORIZATION_FAILED = 29

/** What is found out of a new topic, while some requests about it fail. */
const described = Effect.fnUntraced(function* (
  topic: string,
  failing: MemoryKafka.RequestName | undefined,
  code: number,
  times: number = 1
) {
  const client = yield* KafkaClient
  const config = { "cleanup.policy": "compact" }
  yield* client.createTopic({ topic, partitions: 2, replicationFactor: -1, config, timeout: 1000 })
  const kafka = yield* MemoryKafka.MemoryKafka
  if (failing !== undefined) yield* kafka.fail({ request: failing, topic }, code, { times })
  const fiber = yield* Effect.forkChild(Topics.describe(topic))
  yield* TestClock.adjust("10 seconds")
  return yield* Fiber.join(fiber)
})

const whole = (topic: string): Topics.Described => ({ topic, partitions: 2, policy: "compact", offsets: 0 })

describe("what topics are like", () => {
  layer(MemoryKafka.layer)((it) => {
    it.effect("is asked again while leaders are elected", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* described("calm", undefined, 0), [whole("calm")])
        for (const request of ["describeTopic", "describeConfig"] as const) {
          assert.deepStrictEqual(yield* described(request, request, LEADER_NOT_AVAILABLE, 3), [whole(request)])
        }
      })
    )

    it.effect("is left open where it cannot be found out, but no topic is left out", () =>
      Effect.gen(function* () {
        const [secret] = yield* described("secret", "describeConfig", TOPIC_AUTHORIZATION_FAILED)
        assert.deepStrictEqual(secret, { ...whole("secret"), policy: undefined })
        assert.strictEqual(
          Topics.toJson(secret!),
          '{"topic":"secret","partitions":2,"policy":null,"offsets":0,"fitness":"unknown"}'
        )
        assert.deepStrictEqual(yield* described("headless", "describeTopic", LEADER_NOT_AVAILABLE, 100), [
          { topic: "headless", partitions: undefined, policy: undefined, offsets: undefined }
        ])
        const [unread] = yield* described("unread", "listOffsets", LEADER_NOT_AVAILABLE, 100)
        assert.deepStrictEqual(unread, { ...whole("unread"), offsets: undefined })
      })
    )

    it.effect("is nothing of a topic that was deleted meanwhile", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* described("gone", "describeTopic", UNKNOWN_TOPIC, 100), [])
      })
    )
  })
})
