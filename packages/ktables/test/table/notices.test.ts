/** What a table says without being asked: its log lines, its metrics, and its health. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Logger, Metric, Option, Scope, Tracer } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { KafkaTable, KafkaTableWriter } from "effect-ktables"
import { cut, observeNumbers, scriptedTable, tableOfTen, withTopic } from "../faults/fixtures.ts"
import { keys, memory, onCluster, write } from "../support/kafka.ts"
import { onScript } from "../support/script.ts"
import { failureOf } from "../support/subject.ts"
import { pass, settle, within } from "../support/time.ts"
import { faultsOf } from "./metricNames.ts"
import { numbers } from "./fixtures.ts"

/** Runs an effect with its log lines, `level message`, in a list. */
const withLines = <A, E, R>(body: (lines: Array<string>) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      lines.push(`${logLevel} ${Array.isArray(message) ? message.join(" ") : String(message)}`)
    })
    return Effect.provide(body(lines), Logger.layer([logger]))
  })

/** The values of a metric of the topic, by the attribute that tells them apart. */
const valuesOf = (name: string, attribute: string) =>
  Effect.map(
    Metric.snapshot,
    (all) =>
      new Map(
        all.flatMap((metric) => {
          const attributes = metric.attributes as Readonly<Record<string, string>> | undefined
          return metric.id === name && attributes?.["topic"] === "numbers"
            ? [[attributes[attribute], (metric.state as { readonly value: number }).value] as const]
            : []
        })
      )
  )

describe("notices", () => {
  it.effect("a start is one line: how many entries, from how many partitions, in what time", () =>
    withLines((lines) =>
      onCluster(
        Effect.gen(function* () {
          yield* withTopic({ partitions: 2 })
          yield* write("numbers", keys(20))
          yield* observeNumbers()
          assert.lengthOf(lines, 1)
          assert.match(lines[0]!, /^Info numbers: 20 entries from 2 partitions in \d+ ms$/)
        })
      )
    )
  )

  it.effect("a start without a broker says so after three seconds, with addresses and causes, and goes on", () =>
    withLines((lines) =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic()
          yield* kafka.disconnect()
          const failure = yield* Effect.forkScoped(
            failureOf(Effect.scoped(KafkaTable.make(numbers, { startTimeout: "20 seconds" }))),
            { startImmediately: true }
          )
          yield* pass(2900)
          assert.deepStrictEqual(lines, [])
          yield* pass(200)
          assert.lengthOf(lines, 1)
          assert.match(lines[0]!, /^Warn numbers: no broker has answered for 3 s: memory-1:9092 \(.*out of reach.*\)/)
          yield* pass(20_000)
          assert.strictEqual(failure.pollUnsafe()?._tag, "Success")
          assert.lengthOf(
            lines.filter((line) => line.startsWith("Warn")),
            1
          )
        })
      )
    )
  )

  it.effect("a start at a silent broker says so, too", () =>
    withLines((lines) =>
      onCluster(
        Effect.gen(function* () {
          const kafka = yield* withTopic()
          yield* kafka.pause()
          yield* Effect.forkScoped(Effect.exit(Effect.scoped(KafkaTable.make(numbers))), { startImmediately: true })
          yield* pass(3100)
          assert.lengthOf(lines, 1)
          assert.match(lines[0]!, /^Warn numbers: no broker has answered for 3 s: memory-1:9092 \(no answer\)/)
          yield* kafka.resume()
          yield* pass(1000)
          assert.match(lines[1]!, /^Info numbers: 0 entries/)
        })
      )
    )
  )

  it.effect("brokers that are lost and found again are one line each, a warning and how long it was", () =>
    withLines((lines) =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* tableOfTen()
          lines.length = 0
          yield* kafka.disconnect()
          yield* subject.pass(30_000)
          assert.lengthOf(lines, 1)
          assert.match(lines[0]!, /^Warn numbers: disconnected: .*memory-1:9092/)
          const lost = yield* subject.table.health
          assert.isFalse(lost.connected)
          assert.isTrue(Option.isSome(lost.disconnectedSince))
          assert.include(Option.getOrThrow(lost.lastError).detail, "memory-1:9092")
          assert.deepStrictEqual([...(yield* valuesOf("ktables_connected", "topic"))], [["numbers", 0]])
          yield* kafka.reconnect()
          yield* subject.pass(10_000)
          assert.lengthOf(lines, 2)
          assert.match(lines[1]!, /^Info numbers: connected again after 3\d\.\d s$/)
          assert.isTrue((yield* subject.table.health).connected)
          assert.deepStrictEqual([...(yield* valuesOf("ktables_connected", "topic"))], [["numbers", 1]])
          yield* subject.verify()
        })
      )
    )
  )

  it.effect("brokers that are lost between two readings of a topic are missed, too", () =>
    withLines((lines) =>
      onScript(
        Effect.gen(function* () {
          const { kafka, script, subject } = yield* scriptedTable()
          const { health, status } = subject.table
          let isLost = true
          // The log is another, and nobody is there any more to describe the topic.
          script.on("describeTopic", (_asks, next) =>
            Effect.flatMap(status, ({ _tag }) => (isLost && _tag === "Rebuilding" ? cut("Metadata") : next))
          )
          yield* kafka.truncate("numbers", 0, 5)
          yield* subject.saw("Rebuilding")
          yield* subject.pass(5000)
          assert.isFalse((yield* health).connected)
          assert.isTrue(Option.isSome((yield* health).disconnectedSince))
          assert.strictEqual((yield* valuesOf("ktables_connected", "topic")).get("numbers"), 0)
          const said = () => lines.filter((line) => line.startsWith("Warn numbers: disconnected: Metadata"))
          assert.lengthOf(said(), 1)
          isLost = false
          yield* subject.become("CaughtUp")
          assert.isTrue((yield* health).connected)
          assert.strictEqual((yield* valuesOf("ktables_connected", "topic")).get("numbers"), 1)
          assert.lengthOf(said(), 1)
          yield* subject.verify()
        })
      )
    )
  )

  it.effect("connections that come and go all the time do not flood the log", () =>
    withLines((lines) =>
      onCluster(
        Effect.gen(function* () {
          const { kafka, subject } = yield* tableOfTen()
          lines.length = 0
          for (let i = 0; i < 30; i++) {
            yield* kafka.disconnect()
            yield* subject.pass(1500)
            yield* kafka.reconnect()
            yield* subject.pass(1500)
          }
          assert.isAtLeast(lines.length, 2)
          assert.isAtMost(lines.length, 20)
          yield* subject.verify()
        })
      )
    )
  )

  it.effect("the status is a metric: one for the state a table is in, none for the others", () =>
    onCluster(
      Effect.gen(function* () {
        const statuses = Effect.map(valuesOf("ktables_status", "status"), (all) =>
          [...all].filter(([, value]) => value !== 0)
        )
        yield* withTopic()
        const scope = yield* Scope.make()
        yield* Scope.provide(KafkaTable.make(numbers), scope)
        assert.deepStrictEqual(yield* statuses, [["CaughtUp", 1]])
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual(yield* statuses, [["Closed", 1]])
      })
    )
  )

  it.effect("the lag rises with an answer that has nothing to read, and is gone with the table", () =>
    onScript(
      Effect.gen(function* () {
        const { kafka, subject } = yield* scriptedTable(2)
        const lags = Effect.map(valuesOf("ktables_lag", "partition"), (all) => [...all].sort())
        assert.deepStrictEqual(yield* lags, [
          ["0", 0],
          ["1", 0]
        ])
        // Under read_committed an open transaction is not given out.
        const transaction = yield* kafka.beginTransaction()
        yield* transaction.append("numbers", [{ key: "a", value: "1" }])
        yield* transaction.append("numbers", [{ key: "b", value: "2" }])
        yield* subject.pass(6000)
        assert.deepStrictEqual(yield* lags, [
          ["0", 2],
          ["1", 0]
        ])
        yield* subject.close
        assert.deepStrictEqual(yield* lags, [
          ["0", 0],
          ["1", 0]
        ])
      })
    )
  )

  it.effect("names and helps of all metrics are as promtool wants them", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const { subject } = yield* tableOfTen()
        const writer = yield* KafkaTableWriter.make(numbers)
        yield* within("a write", 10_000, writer.set("a", 1))
        yield* kafka.append("numbers", [{ key: "bad", value: "poison" }])
        yield* subject.pass(1000)
        yield* settle
        const exposition = yield* PrometheusMetrics.format()
        assert.include(exposition, "ktables_records_total")
        assert.deepStrictEqual(faultsOf(exposition), [])
      })
    )
  )

  it.effect("a start is one trace that ends with it, and nothing that comes later is part of it", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      yield* onCluster(
        Effect.gen(function* () {
          yield* withTopic()
          const loads = Effect.sync(() => spans.filter(({ name }) => name === "KafkaTable.load"))
          const scope = yield* Scope.make()
          yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
          yield* Scope.provide(KafkaTable.make(numbers), scope)
          yield* pass(1000)
          assert.deepStrictEqual(
            spans.filter(({ status }) => status._tag === "Started").map(({ name }) => name),
            []
          )
          const start = spans.find(({ name }) => name === "KafkaTable.start")!
          assert.strictEqual(
            Option.getOrThrow(start.parent).spanId,
            spans.find(({ name }) => name === "KafkaTable.make")!.spanId
          )
          assert.strictEqual(start.attributes.get("topic"), "numbers")
          for (const load of yield* loads) assert.isTrue(Option.isNone(load.parent))
        })
      ).pipe(Effect.withTracer(tracer))
    })
  )
})
