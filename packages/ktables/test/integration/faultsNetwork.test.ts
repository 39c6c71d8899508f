/** A slow way to a broker, and one that does not lead there. */
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Logger, Option, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, TableError, TableTopic } from "effect-ktables"
import { Kafka, kafka } from "./faults/kafka.ts"
import { assertNoSockets, clients, heal, transports } from "./faults/scenario.ts"
import { until } from "./faults/until.ts"

const missing = JavaPeer.unavailable()
const because = missing === undefined ? "" : ` (skipped: ${missing})`

const OFFSET_FOR_LEADER_EPOCH = 23
/** Looks at the log's end, one a second, under which writes go on. */
const LOOKS = 6

/** A topic of one partition on one broker. */
const topicOn = Effect.fnUntraced(function* (name: string, broker: number) {
  const { cluster } = yield* Kafka
  const topic = TableTopic.make({ name: yield* TestKafka.uniqueName(name), key: Schema.String, value: Schema.Int })
  yield* cluster.admin.createTopic({
    topic: topic.name,
    assignments: [[broker]],
    config: { "cleanup.policy": "compact" }
  })
  return topic
})

describe.skipIf(missing !== undefined)(`the way to a broker${because}`, () => {
  layer(kafka({ nodes: 2, heap: "192m" }), { excludeTestServices: true, timeout: 300_000 })((it) => {
    for (const transport of transports) {
      it.effect(
        `that takes 5 ms lets no wait for an acknowledged write fail while a transaction is open, through ${transport}`,
        () =>
          Effect.gen(function* () {
            const { cluster, java } = yield* Kafka
            const topic = yield* topicOn("slow-way", 1)
            const { proxy } = cluster.nodes[0]!
            const slow = yield* Layer.build(clients[transport]({ brokers: cluster.brokers }))
            const table = yield* Effect.provide(KafkaTable.make(topic), slow)
            // The writer's way is a short one: acknowledgements overtake what the table asks.
            const short = yield* Layer.build(clients[transport]({ brokers: cluster.innerBrokers }))
            const writer = yield* Effect.provide(KafkaTableWriter.make(topic), short)
            const transactionalId = topic.name
            yield* java.beginTransaction({ transactionalId })
            yield* java.produce({
              topic: topic.name,
              records: [{ key: "open", value: "1" }],
              transactionalId
            })
            yield* proxy!.delay("5 millis")

            const looks = Effect.map(proxy!.traffic, ({ requests }) => requests.get(OFFSET_FOR_LEADER_EPOCH) ?? 0)
            const before = yield* looks
            const waits: Array<Fiber.Fiber<void, TableError.AwaitOffsetError>> = []
            const writing = yield* Effect.forkScoped(
              Effect.forEach(
                Array.from({ length: 4 }, (_, fiber) => fiber),
                Effect.fnUntraced(function* (fiber) {
                  for (let n = 0; ; n++) {
                    const ack = yield* writer.set(`${fiber}-${n % 1000}`, n)
                    waits.push(yield* Effect.forkScoped(table.awaitOffset(ack)))
                    yield* Effect.sleep(2)
                  }
                }),
                { concurrency: "unbounded", discard: true }
              )
            )
            const ended = () => waits.flatMap((wait) => wait.pollUnsafe() ?? [])
            yield* until(
              "the log's end was looked at, or a wait ended",
              Effect.map(looks, (now) => now - before >= LOOKS || ended().length > 0)
            )
            assert.deepStrictEqual(ended().map(String), [])
            assert.isUndefined(writing.pollUnsafe(), "writes go on")
            yield* Fiber.interrupt(writing)
            assert.isAbove(waits.length, 100)

            yield* java.commitTransaction(transactionalId)
            yield* until("every wait has ended", () => ended().length === waits.length)
            assert.deepStrictEqual(ended().filter(Exit.isFailure).map(String), [])
            assert.strictEqual((yield* table.health).stats.rebuilds, 0)
            assert.deepStrictEqual(yield* table.get("open"), Option.some(1))
          }).pipe(Effect.scoped, Effect.ensuring(healed), Effect.andThen(noSockets))
      )

      for (const [what, fault, patience] of [
        ["refuses connections", "refuse", "5 seconds"],
        // It is given up after twice the connection time-out.
        ["accepts them and is silent", "freeze", "9 seconds"]
      ] as const) {
        it.effect(
          `to its advertised address, which ${what}, is named within seconds of a start, through ${transport}`,
          () => {
            const lines: Array<string> = []
            const logger = Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))])
            return Effect.gen(function* () {
              const { cluster } = yield* Kafka
              const [bootstrap, leader] = cluster.nodes
              const topic = yield* topicOn("astray", 2)
              yield* fault === "refuse" ? leader!.proxy!.refuse : leader!.proxy!.freeze()
              yield* Effect.gen(function* () {
                const options = { ensureTopic: false } as const
                const table = yield* KafkaTable.make(topic, { ...options, catchUp: { mode: "background" } })
                const starting = yield* Effect.forkScoped(
                  Effect.flip(
                    KafkaTable.make(topic, {
                      ...options,
                      catchUp: { mode: "await", timeout: patience, onTimeout: "fail" }
                    })
                  )
                )
                yield* until(
                  () => `the log names ${leader!.address}: ${lines.join("\n")}`,
                  () => lines.some((line) => line.includes(leader!.address)),
                  "20 seconds"
                )
                const [partition] = (yield* table.health).partitions
                assert.include(Option.getOrThrow(partition!.disconnectedBecause), leader!.address)
                const error = yield* Fiber.join(starting)
                assert.instanceOf(error, TableError.CatchUpTimeout)
                assert.include(error.message, leader!.address)

                yield* fault === "refuse" ? leader!.proxy!.accept : leader!.proxy!.thaw
                yield* until("it is complete", table.isCaughtUp)
              }).pipe(Effect.provide(clients[transport]({ brokers: [bootstrap!.address] })))
            }).pipe(Effect.provide(logger), Effect.scoped, Effect.ensuring(healed), Effect.andThen(noSockets))
          }
        )
      }
    }
  })
})

const healed = Effect.flatMap(Kafka, ({ cluster }) => Effect.orDie(heal(cluster)))
const noSockets = Effect.flatMap(Kafka, ({ cluster }) => assertNoSockets(cluster))
