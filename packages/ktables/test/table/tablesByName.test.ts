/** Tables of one shape by name: shared while used, closed when idle, made again after they have failed. */
import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, Schema, Scope, Stream } from "effect"
import {
  Codec,
  GroupedKafkaTableWriter,
  type KafkaClient,
  type KafkaTable,
  KafkaTables,
  TableTopic
} from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { ErrorCode } from "../../src/internal/protocol/errorCodes.ts"
import { pass, settle, until } from "../support/time.ts"
import { onMemory, put } from "./fixtures.ts"

const pricesOf = (region: string) =>
  TableTopic.make({ name: `prices.${region}`, key: Schema.String, value: Schema.Finite })
const known = { ensureTopic: { create: false } } as const

const hostsOf = (region: string) =>
  TableTopic.grouped({ name: `hosts.${region}`, group: Schema.String, member: Schema.String, value: Schema.Int })

/** A region's topic with one price. */
const open = Effect.fnUntraced(function* (region: string, price: number) {
  const kafka = yield* MemoryKafka.MemoryKafka
  yield* kafka.createTopic(`prices.${region}`)
  yield* put(`prices.${region}`, [["apple", price]])
})

/** How often the topic was asked for, for each region. */
const counted = () => {
  const made: Array<string> = []
  const topicOf = (region: string) => {
    made.push(region)
    return pricesOf(region)
  }
  return { made, topicOf }
}

const held = <A, E, R>(effect: Effect.Effect<A, E, R | Scope.Scope>) =>
  Effect.gen(function* () {
    const scope = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
    return { value: yield* Scope.provide(effect, scope), release: Scope.close(scope, Exit.void) }
  })

describe("tables by name", () => {
  it.effect("are one table for all who hold a name, and others for other names", () =>
    onMemory(
      Effect.gen(function* () {
        yield* open("eu", 1)
        yield* open("us", 2)
        const { made, topicOf } = counted()
        const prices = yield* KafkaTables.make(topicOf, known)
        const eu = yield* prices.get("eu")
        const us = yield* prices.get("us")
        assert.strictEqual(yield* prices.get("eu"), eu)
        assert.deepStrictEqual([eu.view.get("apple"), us.view.get("apple")], [1, 2])
        assert.deepStrictEqual(
          [made, yield* prices.names],
          [
            ["eu", "us"],
            ["eu", "us"]
          ]
        )
      })
    )
  )

  it.effect(
    "have one start for all who ask meanwhile, of whom one that is interrupted takes nothing from the others",
    () =>
      onMemory(
        Effect.gen(function* () {
          const kafka = yield* MemoryKafka.MemoryKafka
          yield* open("eu", 1)
          const { made, topicOf } = counted()
          const prices = yield* KafkaTables.make(topicOf, known)
          yield* kafka.pause()
          const gets = yield* Effect.forEach([1, 2, 3], () =>
            Effect.forkScoped(prices.get("eu"), { startImmediately: true })
          )
          yield* settle
          yield* Fiber.interrupt(gets[0]!)
          yield* kafka.resume()
          const [one, other] = yield* Effect.forEach(gets.slice(1), Fiber.join)
          assert.strictEqual(one, other)
          assert.deepStrictEqual(made, ["eu"])
        })
      )
  )

  it.effect("are closed when nobody has held them for the time to live, and not before", () =>
    onMemory(
      Effect.gen(function* () {
        yield* open("eu", 1)
        const { made, topicOf } = counted()
        const prices = yield* KafkaTables.make(topicOf, { ...known, idleTimeToLive: "10 seconds" })
        const first = yield* held(prices.get("eu"))
        const second = yield* held(prices.get("eu"))
        yield* first.release
        yield* pass(20_000, Effect.void, 1000)
        assert.strictEqual((yield* second.value.status)._tag, "CaughtUp")
        yield* second.release
        yield* pass(9000, Effect.void, 1000)
        const again = yield* held(prices.get("eu"))
        assert.strictEqual(again.value, second.value)
        yield* again.release
        yield* pass(11_000, Effect.void, 1000)
        assert.deepStrictEqual([(yield* again.value.status)._tag, yield* prices.names], ["Closed", []])
        const third = yield* prices.get("eu")
        assert.deepStrictEqual([third.view.get("apple"), made.length], [1, 2])
      })
    )
  )

  it.effect("do not keep a start that failed", () =>
    onMemory(
      Effect.gen(function* () {
        const prices = yield* KafkaTables.make(pricesOf, known)
        const waiting = yield* Effect.forEach([1, 2], () => Effect.forkScoped(Effect.flip(prices.get("eu"))))
        yield* pass(5000)
        for (const fiber of waiting) assert.strictEqual((yield* Fiber.join(fiber))._tag, "TopicNotFound")
        assert.deepStrictEqual(yield* prices.names, [])
        yield* open("eu", 3)
        assert.strictEqual((yield* prices.get("eu")).view.get("apple"), 3)
      })
    )
  )

  it.effect("make a table again that has failed for good, while those who hold the old one keep its contents", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* open("eu", 1)
        const prices = yield* KafkaTables.make(pricesOf, known)
        const failed = yield* prices.get("eu")
        yield* kafka.fail({ request: "fetch" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        yield* until(
          "it has failed",
          20_000,
          Effect.map(failed.status, ({ _tag }) => _tag === "Failed")
        )
        const table = yield* prices.get("eu")
        assert.notStrictEqual(table, failed)
        assert.deepStrictEqual([(yield* failed.status)._tag, failed.view.get("apple")], ["Failed", 1])
        yield* put("prices.eu", [["apple", 2]])
        yield* table.barrier()
        assert.strictEqual(table.view.get("apple"), 2)
        assert.strictEqual(yield* prices.get("eu"), table)
      })
    )
  )

  it.effect("are another table for whoever asks as soon as the failure of one shows", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* open("eu", 1)
        const prices = yield* KafkaTables.make(pricesOf, known)
        const failed = yield* prices.get("eu")
        const ends = [
          Stream.runDrain(Stream.takeUntil(failed.statusChanges, ({ _tag }) => _tag === "Failed")),
          Stream.runDrain(failed.changes),
          failed.failure
        ]
        yield* kafka.fail({ request: "fetch" }, ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        const next = yield* Effect.forEach(ends, (end) =>
          Effect.forkScoped(Effect.andThen(Effect.exit(end), prices.get("eu")), { startImmediately: true })
        )
        yield* pass(20_000)
        const tables = yield* Effect.forEach(next, Fiber.join)
        for (const table of tables) assert.strictEqual(table, tables[0])
        assert.notStrictEqual(tables[0], failed)
      })
    )
  )

  it.effect("are not held by who asked in vain, or went away before the start was over", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* open("eu", 1)
        const prices = yield* KafkaTables.make(pricesOf, {
          ...known,
          idleTimeToLive: "10 seconds",
          catchUp: { mode: "await", timeout: "1 second", onTimeout: "fail" }
        })
        const asked = Effect.map(kafka.requests, (requests) => requests.get("fetch") ?? 0)
        yield* kafka.fail({ request: "fetch" }, ErrorCode.KAFKA_STORAGE_ERROR, { times: 1000 })
        const late = yield* Effect.forkScoped(Effect.flip(prices.get("eu")))
        yield* pass(5000)
        const before = yield* asked
        assert.isAbove(before, 1)
        yield* pass(5000)
        assert.deepStrictEqual([(yield* Fiber.join(late))._tag, yield* asked], ["CatchUpTimeout", before])
        yield* kafka.clearFailures
        yield* kafka.pause()
        const impatient = yield* Effect.forkScoped(prices.get("eu"))
        yield* settle
        yield* Fiber.interrupt(impatient)
        yield* kafka.resume()
        yield* pass(5000)
        assert.deepStrictEqual(yield* prices.names, ["eu"])
        yield* pass(10_000)
        assert.deepStrictEqual([yield* prices.names, yield* kafka.held], [[], 0])
      })
    )
  )

  it.effect("that were invalidated are made again, and closed once nobody holds them", () =>
    onMemory(
      Effect.gen(function* () {
        yield* open("eu", 1)
        const prices = yield* KafkaTables.make(pricesOf, known)
        const first = yield* held(prices.get("eu"))
        yield* prices.invalidate("eu")
        const second = yield* held(prices.get("eu"))
        assert.notStrictEqual(first.value, second.value)
        yield* first.release
        assert.deepStrictEqual(
          [(yield* first.value.status)._tag, (yield* second.value.status)._tag],
          ["Closed", "CaughtUp"]
        )
        yield* second.release
        yield* prices.invalidate("eu")
        assert.deepStrictEqual([(yield* second.value.status)._tag, yield* prices.names], ["Closed", []])
      })
    )
  )

  it.effect("are all closed with their scope, held or not, and none is made after that", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* MemoryKafka.MemoryKafka
        yield* open("eu", 1)
        yield* open("us", 2)
        const owner = yield* held(KafkaTables.make(pricesOf, known))
        const prices = owner.value
        const eu = yield* prices.get("eu")
        const us = yield* held(prices.get("us"))
        yield* us.release
        yield* owner.release
        assert.deepStrictEqual([(yield* eu.status)._tag, (yield* us.value.status)._tag], ["Closed", "Closed"])
        assert.deepStrictEqual([yield* prices.names, yield* kafka.held], [[], 0])
        assert.isTrue(Exit.hasInterrupts(yield* Effect.exit(prices.get("eu"))))
      })
    )
  )

  it.effect("read from the client that they were made with, whoever asks for them", () =>
    Effect.gen(function* () {
      const prices = yield* Effect.flatMap(
        Layer.build(Layer.fresh(MemoryKafka.layer)),
        Effect.fnUntraced(function* (services) {
          yield* Effect.provideContext(open("eu", 1), services)
          return yield* Effect.provideContext(KafkaTables.make(pricesOf, known), services)
        })
      )
      const elsewhere = yield* Layer.build(Layer.fresh(MemoryKafka.layer))
      const table = yield* Effect.provideContext(prices.get("eu"), elsewhere)
      assert.deepStrictEqual(yield* table.get("apple"), Option.some(1))
    })
  )

  it.effect("of grouped topics are grouped tables, shared as others are", () =>
    onMemory(
      Effect.gen(function* () {
        const hosts = yield* KafkaTables.make(hostsOf)
        const writer = yield* GroupedKafkaTableWriter.make(hostsOf("eu"))
        const table = yield* hosts.get("eu")
        assert.strictEqual(yield* hosts.get("eu"), table)
        yield* table.awaitOffset(yield* writer.set("billing", "a", 1))
        const billing = yield* table.group("billing")
        assert.deepStrictEqual([yield* table.groups, [...billing.view]], [["billing"], [["a", 1]]])
      })
    )
  )

  it.effect("refuse options that cannot be meant", () =>
    onMemory(
      Effect.gen(function* () {
        const given = { idleTimeToLive: "soon" } as unknown as KafkaTables.Options
        assert.strictEqual((yield* Effect.flip(KafkaTables.make(pricesOf, given)))._tag, "InvalidOption")
        // Also what each table takes, before anybody asks for one.
        for (const wrong of [{ idleTimeToLife: "1 minute" }, { fetch: { maxWait: "never" } }, null]) {
          const made = KafkaTables.make(pricesOf, wrong as unknown as KafkaTables.Options)
          assert.strictEqual((yield* Effect.flip(made))._tag, "InvalidOption")
        }
        const prices = yield* KafkaTables.make(pricesOf, known)
        assert.strictEqual((yield* Effect.flip(prices.get("e u")))._tag, "InvalidTopic")
      })
    )
  )
})

describe("a service of tables by name", () => {
  class Prices extends KafkaTables.Service<Prices>()("test/Prices", pricesOf) {}

  it.effect("gives the same tables wherever its layer is provided", () =>
    onMemory(
      Effect.gen(function* () {
        yield* open("eu", 1)
        const table = Effect.flatMap(Prices, (prices) => prices.get("eu"))
        const [one, other] = yield* Effect.all([table, Effect.provide(table, Prices.layer)]).pipe(
          Effect.provide(Prices.layer)
        )
        assert.strictEqual(one, other)
        assert.strictEqual(one.view.get("apple"), 1)
      })
    )
  )

  it.effect("gives grouped tables of grouped topics", () =>
    onMemory(
      Effect.gen(function* () {
        class Hosts extends KafkaTables.Service<Hosts>()("test/Hosts", hostsOf) {}
        const writer = yield* GroupedKafkaTableWriter.make(hostsOf("eu"))
        yield* writer.set("billing", "a", 1)
        const members = Effect.gen(function* () {
          const hosts = yield* Hosts
          return yield* (yield* hosts.get("eu")).members("billing")
        })
        assert.deepStrictEqual(yield* Effect.provide(members, Hosts.layer), [["a", 1]])
        const layer = KafkaTables.layer(Hosts, hostsOf, { idleTimeToLive: 0 })
        assert.deepStrictEqual(yield* Effect.provide(members, layer), [["a", 1]])
      })
    )
  )

  it("needs what its codecs need to decode, and fails with what a start fails with", () => {
    class Currency extends Context.Service<Currency, string>()("test/Currency") {}
    const value = Codec.string as Codec.Codec<string, Currency>
    const topicOf = (name: string) => TableTopic.make({ name, key: Codec.string, value })
    class Named extends KafkaTables.Service<Named>()("test/Named", topicOf) {}
    expectTypeOf<Layer.Services<typeof Named.layer>>().toEqualTypeOf<KafkaClient.KafkaClient | Currency>()
    type Got = ReturnType<(typeof Named)["Service"]["get"]>
    expectTypeOf<Got>().toEqualTypeOf<
      Effect.Effect<KafkaTable.KafkaTable<string, string>, KafkaTable.StartError, Scope.Scope>
    >()
  })
})
