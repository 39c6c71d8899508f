/** What became of a key, as the server reads it from the log. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, type Layer, Schema, type Scope, Stream } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { TestClock } from "effect/testing"
import * as Past from "../src/internal/past.ts"
import { Served } from "../src/internal/served.ts"
import type { WireHistory } from "../src/internal/wire.ts"
import * as TableHttp from "../src/TableHttp.ts"
import { ask, Price, prices, serve, tableAndWriter } from "./support/server.ts"

const withKafka = <A, E>(effect: Effect.Effect<A, E, Layer.Success<typeof MemoryKafka.layer> | Scope.Scope>) =>
  effect.pipe(Effect.scoped, Effect.provide(MemoryKafka.layer))

const history = (key: string) => KafkaTable.history(prices, key)

const historyOf = (url: string, key: string, query = ""): Effect.Effect<WireHistory> =>
  Effect.map(ask(`${url}/tables/prices/history/${encodeURIComponent(key)}${query}`), ({ json, status }) => {
    assert.strictEqual(status, 200)
    return json
  })

describe("the history of a key over HTTP", () => {
  it.live("has every record in the log with its place, time and headers, and says where it is complete", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        const key = "a/b ü"
        yield* writer.set(key, { amount: 1 }, { headers: [{ key: "by", value: "ann" }] })
        yield* writer.set("other", { amount: 9 })
        yield* writer.delete(key)
        // Whoever writes something else into the topic is seen, too.
        const foreign = TableTopic.make({ name: "prices", key: Schema.String, value: Schema.String })
        yield* (yield* KafkaTableWriter.make(foreign)).set(key, "none")
        yield* writer.set(key, { amount: 3 })
        const url = yield* serve({ tables: [TableHttp.served(prices, table, { history })] })
        assert.strictEqual((yield* ask(`${url}/tables`)).json.tables[0].history, true)

        const { partitions, versions, ...head } = yield* historyOf(url, key)
        assert.deepStrictEqual(head, { table: "prices", topic: "prices", key, older: 0 })
        assert.deepStrictEqual(partitions, [{ partition: 0, logStart: 0, offset: 5, completeFrom: 0 }])
        assert.deepStrictEqual(
          versions.map(({ offset, value }) => [offset, value]),
          [
            [0, [{ amount: 1 }]],
            [2, undefined],
            [3, ["none"]],
            [4, [{ amount: 3 }]]
          ]
        )
        assert.deepStrictEqual(versions[0]!.headers, [["by", "ann"]])
        assert.isAbove(versions[0]!.timestamp, 0)
        assert.isUndefined(versions[1]!.error)
        assert.isString(versions[2]!.error)
        // A key without records has none.
        assert.deepStrictEqual((yield* historyOf(url, "nobody")).versions, [])
        const asked = yield* ask(`${url}/tables/prices/history?key=${encodeURIComponent(key)}`)
        assert.deepStrictEqual(asked.json.versions, versions)

        // What compaction has removed is said to be missing.
        yield* (yield* MemoryKafka.MemoryKafka).compact("prices")
        const compacted = yield* historyOf(url, key)
        assert.deepStrictEqual(
          compacted.versions.map(({ offset }) => offset),
          [4]
        )
        assert.strictEqual(compacted.partitions[0]!.completeFrom, 4)
      })
    )
  )

  it.live("is bounded: the newest records are answered, and the number of older ones", () =>
    withKafka(
      Effect.gen(function* () {
        const { table, writer } = yield* tableAndWriter
        for (let amount = 0; amount < 120; amount++) yield* writer.set("many", { amount })
        for (let amount = 0; amount < 12; amount++) yield* writer.set("large", { amount, note: "x".repeat(200_000) })
        const url = yield* serve({ tables: [TableHttp.served(prices, table, { history })] })
        const byDefault = yield* historyOf(url, "many")
        assert.deepStrictEqual([byDefault.older, byDefault.versions.length], [20, 100])
        const few = yield* historyOf(url, "many", "?limit=3")
        assert.deepStrictEqual(
          [few.older, few.versions.map(({ value }) => value)],
          [117, [[{ amount: 117 }], [{ amount: 118 }], [{ amount: 119 }]]]
        )
        const large = yield* historyOf(url, "large")
        assert.deepStrictEqual([large.older, large.versions.length], [7, 5])
        for (const limit of ["0", "1001", "many"]) {
          assert.strictEqual((yield* ask(`${url}/tables/prices/history/many?limit=${limit}`)).status, 400)
        }
      })
    )
  )

  it.live(
    "is 501 of a table that is served without a log, 404 of none, 405 for writes, and 502 without the topic",
    () =>
      withKafka(
        Effect.gen(function* () {
          const { table } = yield* tableAndWriter
          const gone = TableTopic.make({ name: "gone", key: Schema.String, value: Price })
          const url = yield* serve({
            tables: [
              TableHttp.served(prices, table),
              TableHttp.served(prices, table, { name: "gone", history: (key) => KafkaTable.history(gone, key) })
            ]
          })
          const list = (yield* ask(`${url}/tables`)).json.tables
          assert.deepStrictEqual(
            list.map(({ history }: { readonly history: boolean }) => history),
            [false, true]
          )
          const without = yield* ask(`${url}/tables/prices/history/a`)
          assert.deepStrictEqual([without.status, without.json.error], [501, "NoLog"])
          assert.strictEqual((yield* ask(`${url}/tables/pears/history/a`)).status, 404)
          assert.strictEqual((yield* ask(`${url}/tables/prices/history`)).status, 404)
          assert.strictEqual((yield* ask(`${url}/tables/gone/history/a`, { method: "DELETE" })).status, 405)
          const absent = yield* ask(`${url}/tables/gone/history/a`)
          assert.deepStrictEqual([absent.status, absent.json.error], [502, "TopicNotFound"])
        })
      )
  )

  it.effect("is read by two at a time, and no longer than ten seconds, in which others wait", () =>
    withKafka(
      Effect.gen(function* () {
        const { table } = yield* tableAndWriter
        let readers = 0
        const stuck = Stream.unwrap(
          Effect.as(
            Effect.acquireRelease(
              Effect.sync(() => readers++),
              () => Effect.sync(() => readers--)
            ),
            Stream.never
          )
        )
        const served = new Served(
          { name: "prices", topic: prices, table, writer: undefined, awaitOffset: undefined, history: () => stuck },
          Context.empty() as Context.Context<unknown>
        )
        const read = Past.make(served, Effect.succeed)
        const asked = yield* Effect.forEach(["a", "b", "c"], (key) =>
          Effect.forkChild(Effect.flip(read(key, new URLSearchParams())))
        )
        yield* TestClock.adjust("9 seconds")
        assert.strictEqual(readers, 2)
        yield* TestClock.adjust("1 second")
        const answers = yield* Effect.forEach(asked, Fiber.join)
        assert.deepStrictEqual(
          answers.map(({ error, status }) => [status, error]),
          Array.from({ length: 3 }, () => [504, "TooLong"])
        )
        assert.strictEqual(readers, 0)
      })
    )
  )
})
