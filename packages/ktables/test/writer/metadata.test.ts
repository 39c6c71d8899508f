/** Headers and timestamps that a write gives its record. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { KafkaTableWriter } from "effect-ktables"
import { memory, onCluster } from "../support/kafka.ts"
import { failureOf } from "../support/subject.ts"
import { pass } from "../support/time.ts"
import { prices, start, writerTo } from "./fixtures.ts"
import { accept, appendAndCut, eventually } from "./scriptedKafka.ts"

const logged = Effect.gen(function* () {
  const kafka = yield* memory
  return (yield* kafka.log(prices.name)).map(({ headers, key, timestamp, value }) => [
    String(key),
    value === null ? null : Number(String(value)),
    timestamp,
    headers.map(({ key, value }) => [key, value && [...value]])
  ])
})

describe("a write", () => {
  it.effect("has the headers and the timestamp that it is given, in their order, and else none and its own time", () =>
    onCluster(
      Effect.gen(function* () {
        yield* pass(1000)
        const writer = yield* KafkaTableWriter.make(prices)
        const bytes = Uint8Array.of(1, 2)
        const first = writer.set("a", 1, {
          headers: [
            { key: "h", value: bytes },
            { key: "h", value: "é" },
            { key: "", value: null }
          ],
          timestamp: 5
        })
        const write = yield* Effect.forkChild(first, { startImmediately: true })
        // It was copied.
        bytes[0] = 9
        assert.strictEqual((yield* Fiber.join(write)).timestamp, 5)
        yield* writer.set("a", 2)
        yield* writer.delete("a", { headers: [{ key: "why", value: "" }] })
        yield* writer.delete("b", {})
        yield* writer.setAll([
          ["c", 3],
          ["d", 4, { timestamp: 6 }],
          ["e", 5, { headers: [] }]
        ])
        assert.deepStrictEqual(yield* logged, [
          [
            "a",
            1,
            5,
            [
              ["h", [1, 2]],
              ["h", [0xc3, 0xa9]],
              ["", null]
            ]
          ],
          ["a", 2, 1000, []],
          ["a", null, 1000, [["why", []]]],
          ["b", null, 1000, []],
          ["c", 3, 1000, []],
          ["d", 4, 6, []],
          ["e", 5, 1000, []]
        ])
      })
    )
  )

  const wrong: ReadonlyArray<readonly [option: string, options: unknown]> = [
    ["options", "headers"],
    ["header", { header: [] }],
    ["headers", { headers: { a: "b" } }],
    ["headers", { headers: new Map([["a", "b"]]) }],
    ["headers[0]", { headers: ["a"] }],
    ["headers[0]", { headers: [["a", "b"]] }],
    ["headers[1].key", { headers: [{ key: "a", value: null }, { value: "b" }] }],
    ["headers[0].key", { headers: [{ key: 7, value: "b" }] }],
    ["headers[0].key", { headers: [{ key: "\ud800", value: "b" }] }],
    ["headers[0].value", { headers: [{ key: "a" }] }],
    ["headers[0].value", { headers: [{ key: "a", value: 7 }] }],
    ["headers[0].value", { headers: [{ key: "a", value: "\ud800" }] }],
    ["headers[0].values", { headers: [{ key: "a", value: "", values: [] }] }],
    ["timestamp", { timestamp: -1 }],
    ["timestamp", { timestamp: 1.5 }],
    ["timestamp", { timestamp: new Date() }],
    ["timestamp", { timestamp: NaN }]
  ]
  for (const [option, options] of wrong) {
    it.effect(`of plain JavaScript with ${JSON.stringify(options)} fails with InvalidOption of ${option}, alone`, () =>
      onCluster(
        Effect.gen(function* () {
          const writer = yield* KafkaTableWriter.make(prices)
          const given = options as KafkaTableWriter.WriteOptions
          for (const write of [writer.set("a", 1, given), writer.delete("a", given)]) {
            const error = yield* failureOf(write)
            assert.deepInclude(error, { _tag: "InvalidOption", option, topic: prices.name })
          }
          const error = yield* failureOf(
            writer.setAll([
              ["a", 1, given],
              ["b", 2]
            ])
          )
          assert.deepStrictEqual(
            error.failures.map(({ error, key }) => [key, error._tag]),
            [["a", "InvalidOption"]]
          )
          assert.strictEqual(error.acks.length, 1)
        })
      )
    )
  }

  it.effect("counts its headers: what does not fit is refused, and batches end before they are too large", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic(prices.name, { config: { "cleanup.policy": "compact", "max.message.bytes": "1000" } })
        const writer = yield* KafkaTableWriter.make(prices)
        const headers = [{ key: "k".repeat(100), value: new Uint8Array(300) }]
        const acks = yield* writer.setAll(Array.from({ length: 20 }, (_, n) => [`k${n}`, n, { headers }] as const))
        assert.strictEqual(acks.length, 20)
        // Two fit into a batch, where twenty would without headers.
        assert.strictEqual((yield* kafka.requests).get("produce"), 10)
        const narrow = yield* KafkaTableWriter.make(prices, { maxBatchBytes: 400 })
        assert.deepInclude(yield* failureOf(narrow.set("a", 1, { headers })), {
          _tag: "WriteRejected",
          reason: "MESSAGE_TOO_LARGE"
        })
      })
    )
  )

  it.effect("of a time so old that brokers may forget its producer at once is not sent a second time", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("3 days")
      const { kafka, writer } = yield* start({ produces: [appendAndCut, accept] })
      const error = yield* eventually(Effect.flip(writer.set("a", 1, { timestamp: 0 })))
      assert.strictEqual(error._tag, "WriteOutcomeUnknown")
      assert.strictEqual(kafka.produced.length, 1)
      kafka.produces = [appendAndCut, accept]
      const recent = yield* writerTo(prices, kafka)
      yield* eventually(recent.set("b", 1, { timestamp: 2 * 86_400_000 + 1 + 43_200_000 }))
      assert.deepStrictEqual(kafka.log(), ["a", "b"])
    })
  )
})
