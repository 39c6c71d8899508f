/** Codecs of writers that break instead of failing: one write fails, typed, and the others go through. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { Codec, KafkaTableWriter, TableTopic } from "effect-ktables"
import { onCluster } from "../support/kafka.ts"
import { failureOf } from "../support/subject.ts"

const encodings: Record<string, unknown> = {
  throws: () => {
    throw new TypeError("not today")
  },
  dies: () => Effect.die(new TypeError("not today")),
  "dies later": () => Effect.andThen(Effect.yieldNow, Effect.die(new TypeError("not today"))),
  "gives a text": () => Exit.succeed("bytes"),
  "gives nothing later": () => Effect.as(Effect.yieldNow, null),
  "is a promise": async () => Buffer.from("bytes"),
  "is a promise that rejects": async () => {
    throw new Error("not today")
  },
  "is interrupted": () => Effect.interrupt,
  "gives a promise that rejects": () => Exit.succeed(Promise.reject(new Error("not today")))
}

describe("a codec of a writer", () => {
  for (const [what, encode] of Object.entries(encodings)) {
    it.effect(`that ${what} fails the write with EncodeError`, () =>
      onCluster(
        Effect.gen(function* () {
          const topic = TableTopic.make({
            name: "numbers",
            key: Schema.String,
            value: Codec.make<string, never, never>({
              decode: () => Exit.succeed(""),
              encode: (value) =>
                value === "good" ? Exit.succeed(Buffer.from("good")) : (encode as () => Exit.Exit<Uint8Array>)()
            })
          })
          const writer = yield* KafkaTableWriter.make(topic)
          const error = yield* failureOf(writer.set("a", "bad"))
          assert.strictEqual(error._tag, "EncodeError")
          const all = yield* failureOf(
            writer.setAll([
              ["a", "bad"],
              ["b", "good"]
            ])
          )
          assert.strictEqual(all.failures.length, 1)
          assert.deepStrictEqual(
            all.acks.map(({ key }) => key),
            ["b"]
          )
        })
      )
    )
  }

  it.effect("of bytes refuses what is none, from plain JavaScript", () =>
    onCluster(
      Effect.gen(function* () {
        const topic = TableTopic.make({ name: "bytes", key: Schema.String, value: Codec.bytes })
        const writer = yield* KafkaTableWriter.make(topic)
        for (const given of ["hello", 5, null, {}, true] as ReadonlyArray<unknown>) {
          const error = yield* failureOf(writer.set("a", given as Uint8Array))
          assert.strictEqual(error._tag, "EncodeError")
        }
        const error = yield* failureOf(writer.set(5 as unknown as string, Uint8Array.of(1)))
        assert.strictEqual(error._tag, "EncodeError")
      })
    )
  )
})
