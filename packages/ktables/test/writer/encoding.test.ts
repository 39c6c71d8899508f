/** Codecs of writers that break instead of failing: one write fails, typed, and the others go through. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { Codec, KafkaTableWriter, TableTopic } from "effect-ktables"
import { memory, onCluster } from "../support/kafka.ts"
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

  it.effect("that uses one buffer for all values has each of them written as it was", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const buffer = Buffer.alloc(1)
        const topic = TableTopic.make({
          name: "numbers",
          key: Schema.String,
          value: Codec.make<number>({
            decode: (bytes) => Exit.succeed(bytes[0]!),
            encode: (value) => {
              buffer[0] = value
              return value < 3 ? Exit.succeed(buffer) : Effect.as(Effect.yieldNow, buffer)
            }
          })
        })
        const writer = yield* KafkaTableWriter.make(topic)
        yield* writer.setAll([1, 2, 3, 4].map((value) => [`k${value}`, value]))
        const log = yield* kafka.log("numbers")
        assert.deepStrictEqual(
          log.map(({ value }) => value?.[0]),
          [1, 2, 3, 4]
        )
      })
    )
  )

  it.effect("that gives memory which it has handed over to somebody else fails that write alone", () =>
    onCluster(
      Effect.gen(function* () {
        const topic = TableTopic.make({
          name: "numbers",
          key: Schema.String,
          value: Codec.make<string>({
            decode: () => Exit.succeed(""),
            encode: (value) => {
              const bytes = Uint8Array.of(1, 2)
              if (value === "bad") structuredClone(bytes, { transfer: [bytes.buffer] })
              return Exit.succeed(bytes)
            }
          })
        })
        const writer = yield* KafkaTableWriter.make(topic)
        const all = yield* failureOf(
          writer.setAll([
            ["a", "good"],
            ["b", "bad"],
            ["c", "good"]
          ])
        )
        assert.deepStrictEqual(
          all.failures.map(({ key, error }) => [key, error._tag]),
          [["b", "EncodeError"]]
        )
      })
    )
  )

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
        assert.strictEqual(error.message, "a key for bytes does not encode: what is to be encoded is no string")
      })
    )
  )
})
