import { assert, describe, it } from "@effect/vitest"
import { KafkaJsTransport } from "@effect-ktables/kafkajs"
import { KafkaTransportContract, TestKafka } from "@effect-ktables/testing"
import { Effect } from "effect"

KafkaTransportContract.suite("kafkajs", KafkaJsTransport.make)

describe("KafkaJsTransport", () => {
  it.effect("reads an answer into the memory that is given for it", () =>
    Effect.gen(function* () {
      const { brokers } = yield* TestKafka.TestKafka
      const transport = KafkaJsTransport.make({ brokers })
      const connection = yield* transport.open(transport.bootstrap[0]!)
      const given: Array<Buffer> = []
      const answer = yield* connection.send({
        apiKey: 18,
        apiName: "ApiVersions",
        apiVersion: 0,
        flexibleRequest: false,
        flexibleResponse: false,
        expectsAnswer: true,
        body: Buffer.alloc(0),
        timeout: 10_000,
        allocate: (bytes) => {
          const memory = Buffer.alloc(bytes)
          given.push(memory)
          return memory
        }
      })
      assert.strictEqual(given.length, 1)
      assert.strictEqual(answer, given[0])
      // No error, then the array of the versions.
      assert.strictEqual(answer.readInt16BE(0), 0)
      assert.isAbove(answer.readInt32BE(2), 0)
    }).pipe(Effect.provide(TestKafka.layer))
  )
})
