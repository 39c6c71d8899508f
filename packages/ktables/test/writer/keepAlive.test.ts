/** Entries that are written again while a scope is open, and deleted when it closes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema, Scope } from "effect"
import { GroupedKafkaTableWriter, KafkaTable, KafkaTableWriter, Table, TableTopic } from "effect-ktables"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { memory, onCluster } from "../support/kafka.ts"
import { failureOf } from "../support/subject.ts"
import { pass, settle, until, within } from "../support/time.ts"
import { heldAnswer, prices, start, startUnanswered } from "./fixtures.ts"
import { eventually, until as untilSo } from "./scriptedKafka.ts"

/** What was written: each record's time in seconds, and what is not a value of 1. */
const logged = Effect.gen(function* () {
  const kafka = yield* memory
  return (yield* kafka.log(prices.name)).map(({ timestamp, value }) =>
    value === null ? `${timestamp / 1000}: deleted` : `${timestamp / 1000}: ${String(value)}`
  )
})

const SECOND = 1000

describe("keepAlive", () => {
  it.effect("writes now, again on time, and a tombstone when its scope closes, after which there is nothing", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const writer = yield* KafkaTableWriter.make(prices)
        const scope = yield* Scope.make()
        const kept = writer.keepAlive("a", 1, { every: "5 seconds", headers: [{ key: "h", value: "x" }] })
        const { ack, failure } = yield* Scope.provide(kept, scope)
        assert.strictEqual(ack.offset, 0)
        const failed = yield* Effect.forkChild(failure)
        yield* pass(12 * SECOND, Effect.void, 100)
        assert.deepStrictEqual(yield* logged, ["0: 1", "5: 1", "10: 1"])
        assert.isUndefined(failed.pollUnsafe())
        yield* Scope.close(scope, Exit.void)
        yield* pass(60 * SECOND, Effect.void, 1000)
        assert.deepStrictEqual(yield* logged, ["0: 1", "5: 1", "10: 1", "12: deleted"])
        const headers = (yield* kafka.log(prices.name)).map(({ headers }) => headers.length)
        assert.deepStrictEqual(headers, [1, 1, 1, 0])
        assert.isTrue(Exit.isFailure(yield* Fiber.await(failed)))
      })
    )
  )

  it.effect("counts from the start of its first write, too, however long that took", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const writer = yield* KafkaTableWriter.make(prices)
        yield* kafka.pause()
        yield* Effect.forkScoped(writer.keepAlive("a", 1, { every: "5 seconds" }))
        yield* pass(8 * SECOND)
        yield* kafka.resume()
        yield* pass(7 * SECOND)
        assert.deepStrictEqual(yield* logged, ["0: 1", "8: 1", "13: 1"])
      })
    )
  )

  it.effect("fails as its first write does, and deletes nothing then", () =>
    onCluster(
      Effect.gen(function* () {
        const writer = yield* KafkaTableWriter.make(prices)
        const failing = (key: string, options: unknown) =>
          failureOf(Effect.scoped(writer.keepAlive(key, 1, options as KafkaTableWriter.KeepAliveOptions)))
        assert.deepInclude(yield* failing("\ud800", { every: 1 }), { _tag: "EncodeError" })
        assert.deepInclude(yield* failing("a", { every: 0 }), { _tag: "InvalidOption", option: "every" })
        assert.deepInclude(yield* failing("a", {}), { _tag: "InvalidOption", option: "every" })
        assert.deepInclude(yield* failing("a", undefined), { _tag: "InvalidOption", option: "options" })
        assert.deepInclude(yield* failing("a", { every: 1, header: [] }), { _tag: "InvalidOption", option: "header" })
        assert.deepStrictEqual(yield* logged, [])
      })
    )
  )

  it.effect("goes on after brokers were away, writing no more often than it should have", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const writer = yield* KafkaTableWriter.make(prices, { deliveryTimeout: "2 seconds" })
        const { failure } = yield* writer.keepAlive("a", 1, { every: "1 second" })
        const failed = yield* Effect.forkChild(failure)
        yield* pass(1500)
        yield* kafka.disconnect()
        yield* pass(20 * SECOND)
        assert.isUndefined(failed.pollUnsafe())
        yield* kafka.reconnect()
        const before = (yield* kafka.log(prices.name)).length
        yield* pass(5 * SECOND)
        const more = (yield* kafka.log(prices.name)).length - before
        assert.isTrue(more >= 3 && more <= 6, `${more} in five seconds`)
      })
    )
  )

  it.effect("ends with what no later write would get over, and says so by its failure", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const writer = yield* KafkaTableWriter.make(prices)
        const scope = yield* Scope.make()
        const { failure } = yield* Scope.provide(writer.keepAlive("a", 1, { every: "1 second" }), scope)
        yield* kafka.fail({ request: "produce" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED, { times: 1 })
        const error = yield* within("the failure", 2 * SECOND, failureOf(failure))
        assert.strictEqual(error._tag, "NotAuthorized")
        yield* pass(10 * SECOND, Effect.void, 1000)
        assert.deepStrictEqual(yield* logged, ["0: 1"])
        // Perhaps it may again.
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual((yield* logged).at(-1)?.endsWith("deleted"), true)
      })
    )
  )

  it.effect("withdraws a write that waits when it closes: only the tombstone is written", () =>
    Effect.gen(function* () {
      const { answer, kafka, writer } = yield* startUnanswered("other")
      const kept = yield* Effect.forkChild(Effect.scoped(writer.keepAlive("waiting", 1, { every: "1 second" })))
      yield* settle
      const closing = yield* Effect.forkChild(Fiber.interrupt(kept), { startImmediately: true })
      yield* settle
      assert.isUndefined(closing.pollUnsafe())
      yield* answer
      yield* eventually(Fiber.join(closing))
      yield* eventually(writer.set("last", 1))
      assert.deepStrictEqual(kafka.log(), ["other", "waiting", "last"])
    })
  )

  it.effect("leaves a write that was sent before the tombstone", () =>
    Effect.gen(function* () {
      const { answer, held } = yield* heldAnswer
      const { kafka, writer } = yield* start({ produces: [held] })
      const kept = yield* Effect.forkChild(Effect.scoped(writer.keepAlive("sent", 1, { every: "1 second" })))
      yield* untilSo(() => kafka.produced.length === 1)
      const closing = yield* Effect.forkChild(Fiber.interrupt(kept), { startImmediately: true })
      yield* settle
      assert.isUndefined(closing.pollUnsafe())
      yield* answer
      yield* eventually(Fiber.join(closing))
      yield* eventually(writer.set("last", 1))
      assert.deepStrictEqual(kafka.log(), ["sent", "sent", "last"])
    })
  )

  it.effect("closes in bounded time where no broker is there to take the tombstone", () =>
    onCluster(
      Effect.gen(function* () {
        const kafka = yield* memory
        const writer = yield* KafkaTableWriter.make(prices)
        const scope = yield* Scope.make()
        yield* Scope.provide(writer.keepAlive("a", 1, { every: "1 second", closeTimeout: "3 seconds" }), scope)
        yield* kafka.disconnect()
        yield* within("closing", 3100, Scope.close(scope, Exit.void))
        yield* kafka.reconnect()
        yield* pass(10 * SECOND)
        // It had been sent, and is written when somebody is there again.
        assert.strictEqual((yield* logged).at(-1)?.endsWith("deleted"), true)
      })
    )
  )

  it.effect("lets a process that is killed vanish after its time, and one that ends at once", () =>
    onCluster(
      Effect.gen(function* () {
        const topic = TableTopic.grouped({
          name: "presence",
          group: Schema.String,
          member: Schema.String,
          value: Schema.Int,
          config: TableTopic.presence
        })
        const writer = yield* GroupedKafkaTableWriter.make(topic)
        const [killed, ending] = [yield* Scope.make(), yield* Scope.make()]
        const keep = (member: string, scope: Scope.Scope) =>
          Scope.provide(writer.keepAlive("room", member, 1, { every: "1 second" }), scope)
        yield* writer.keepAlive("room", "stays", 1, { every: "1 second" })
        yield* keep("ends", ending)
        // Its heartbeats end without a word.
        yield* writer.set("room", "killed", 1)
        const table = yield* KafkaTable.make(topic)
        const young = yield* Effect.flatMap(KafkaTable.withMetadata(table), Table.expire({ ttl: "3 seconds" }))
        const present = () => [...young.view.keys()].map(({ member }) => member).sort()
        assert.deepStrictEqual(present(), ["ends", "killed", "stays"])
        yield* Scope.close(ending, Exit.void)
        yield* pass(2500)
        assert.deepStrictEqual(present(), ["killed", "stays"])
        yield* pass(1000)
        assert.deepStrictEqual(present(), ["stays"])
        yield* pass(20 * SECOND)
        assert.deepStrictEqual(present(), ["stays"])
        yield* Scope.close(killed, Exit.void)
      })
    )
  )

  it.effect(
    "never writes after its tombstone, whenever it is closed and whatever the brokers do",
    () =>
      forEachSeed(seedsOf(60, 3000), (seed, trace) => {
        const random = chance(seed)
        const { below, happens, pick } = random
        return onCluster(
          Effect.gen(function* () {
            const kafka = yield* memory
            const writer = yield* KafkaTableWriter.make(prices, { deliveryTimeout: "3 seconds" })
            const scope = yield* Scope.make()
            const disturb = Effect.gen(function* () {
              const roll = below(6)
              trace.push(`${roll}`)
              if (roll === 0) yield* kafka.disconnect()
              else if (roll === 1) yield* kafka.pause()
              else if (roll < 4) {
                const code = pick([ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.REQUEST_TIMED_OUT])
                yield* kafka.fail({ request: "produce" }, code, {
                  times: 1 + below(2),
                  ...(happens(0.5) ? { carriedOut: true } : {})
                })
              } else {
                yield* kafka.reconnect()
                yield* kafka.resume()
              }
            })
            const kept = yield* Effect.forkIn(
              Scope.provide(writer.keepAlive("a", 1, { every: pick([100, 1000]), closeTimeout: "20 seconds" }), scope),
              yield* Scope.Scope,
              { startImmediately: happens(0.5) }
            )
            for (let i = below(12); i > 0; i--) {
              if (happens(0.4)) yield* disturb
              yield* happens(0.3) ? Effect.yieldNow : pass(pick([10, 100, 500]))
            }
            const closing = yield* Effect.forkScoped(
              Effect.andThen(Fiber.interrupt(kept), Scope.close(scope, Exit.void)),
              { startImmediately: true }
            )
            if (happens(0.5)) yield* disturb
            yield* pass(pick([0, 100, 1000]))
            yield* kafka.reconnect()
            yield* kafka.resume()
            yield* kafka.clearFailures
            yield* until(
              "closed",
              30 * SECOND,
              Effect.sync(() => closing.pollUnsafe() !== undefined),
              Effect.void,
              100
            )
            yield* pass(10 * SECOND, Effect.void, 500)
            const log = (yield* kafka.log(prices.name)).map(({ value }) => (value === null ? "deleted" : "set"))
            trace.push(log.join(" "))
            if (log.length > 0) assert.strictEqual(log.indexOf("deleted"), log.length - 1)
          }),
          { requestTimeout: 1000 }
        )
      }),
    propertyTimeout
  )
})
