/** What tables on real brokers say in the log without being asked. */
import { assert, describe, layer } from "@effect/vitest"
import { TestKafka } from "@effect-ktables/testing"
import { Context, Effect, Fiber, Layer, Option, Schema } from "effect"
import { Codec, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import { withLines } from "./faults/lines.ts"
import { assertNoSockets, clients, heal, transports } from "./faults/scenario.ts"
import { until } from "./faults/until.ts"

class Broker extends Context.Service<Broker, TestKafka.Cluster>()("test/faults/Broker") {}

const broker = Layer.effect(Broker, TestKafka.startCluster({ nodes: 1, heap: "192m", proxies: true }))

const newTopic = Effect.map(TestKafka.uniqueName("said"), (name) => ({
  name,
  topic: TableTopic.make({ name, key: Schema.String, value: Schema.Int, partitions: 2 })
}))

/** A broker reads the end of a connection only once its long poll is over. */
const QUICK = { fetch: { maxWait: "500 millis" } } as const

const healed = Effect.flatMap(Broker, (cluster) =>
  Effect.andThen(Effect.orDie(heal(cluster)), assertNoSockets(cluster))
)

describe("a table on a real broker says", () => {
  layer(broker, { excludeTestServices: true, timeout: 300_000 })((it) => {
    for (const transport of transports) {
      const connected = Layer.unwrap(Effect.map(Broker, ({ brokers }) => clients[transport]({ brokers })))

      it.effect(`how it started, in one line, and that it created a topic unasked, through ${transport}`, () =>
        withLines((lines) =>
          Effect.gen(function* () {
            const { name, topic } = yield* newTopic
            const said = () => lines.filter((line) => line.includes(name))
            yield* KafkaTable.make(topic, QUICK)
            const [warned, ...others] = said().filter((line) => line.startsWith("Warn"))
            assert.include(warned, `${name} did not exist, and this table created it, empty: is its name right?`)
            assert.deepStrictEqual(others, [])
            assert.match(said().at(-1)!, new RegExp(`^Info ${name}: 0 entries from 2 partitions in \\d+ ms$`))
            const before = said().length
            const writer = yield* KafkaTableWriter.make(topic)
            yield* writer.setAll(Array.from({ length: 20 }, (_, n) => [`key-${n}`, n] as const))
            yield* KafkaTable.make(topic, QUICK)
            assert.match(said().at(-1)!, new RegExp(`^Info ${name}: 20 entries from 2 partitions in \\d+ ms$`))
            assert.lengthOf(said(), before + 1)
          }).pipe(Effect.provide(connected))
        ).pipe(Effect.scoped, Effect.andThen(healed))
      )

      it.effect(`which records of a load it cannot show, through ${transport}`, () =>
        withLines((lines) =>
          Effect.gen(function* () {
            const { name, topic } = yield* newTopic
            const texts = TableTopic.make({ name, key: Schema.String, value: Codec.string, partitions: 1 })
            const writer = yield* KafkaTableWriter.make(texts)
            yield* writer.set("good", "1")
            yield* writer.setAll(Array.from({ length: 100 }, (_, n) => [`bad-${n}`, "x"] as const))
            const table = yield* KafkaTable.make(topic, { ...QUICK, ensureTopic: false })
            const [line, ...others] = lines.filter((one) => one.includes(name) && one.includes("do not decode"))
            assert.match(line!, /^Warn /)
            assert.include(line, "the values of 100 of 101 keys do not decode")
            assert.include(line, 'the first: key "bad-0" at 0:1: ')
            assert.include(line, 'the last: key "bad-99" at 0:100: ')
            assert.deepStrictEqual(others, [])
            assert.strictEqual((yield* table.health).stats.valueDecodeErrors, 100)
          }).pipe(Effect.provide(connected))
        ).pipe(Effect.scoped, Effect.andThen(healed))
      )

      for (const [what, fault] of [
        ["refuses connections", "refuse"],
        ["is silent", "freeze"]
      ] as const) {
        it.effect(
          `after three seconds that its only broker ${what}, and that it started when it came, through ${transport}`,
          () =>
            withLines((lines) =>
              Effect.gen(function* () {
                const cluster = yield* Broker
                const { address, proxy } = cluster.nodes[0]!
                const { name, topic } = yield* newTopic
                yield* fault === "refuse" ? proxy!.refuse : proxy!.freeze()
                const starting = yield* Effect.forkScoped(KafkaTable.make(topic, QUICK), { startImmediately: true })
                yield* until(
                  () => `it is said that nobody answers: ${lines.join("\n")}`,
                  () => lines.length > 0,
                  "15 seconds"
                )
                assert.include(lines[0], `Warn ${name}: no broker has answered for 3 s: ${address} (`)
                yield* fault === "refuse" ? proxy!.accept : proxy!.thaw
                yield* Fiber.join(starting)
                assert.isTrue(lines.some((line) => line.startsWith(`Info ${name}: 0 entries from 2 partitions in `)))
                assert.lengthOf(
                  lines.filter((line) => line.includes("no broker has answered")),
                  1
                )
              }).pipe(Effect.provide(connected))
            ).pipe(Effect.scoped, Effect.ensuring(healed))
        )
      }

      it.effect(`that its broker is lost, with the address, and how long, when it is back, through ${transport}`, () =>
        withLines((lines) =>
          Effect.gen(function* () {
            const cluster = yield* Broker
            const { address, proxy } = cluster.nodes[0]!
            const { name, topic } = yield* newTopic
            const about = (what: string) => lines.filter((line) => line.includes(`${name}: ${what}`))
            const table = yield* KafkaTable.make(topic, QUICK)
            yield* proxy!.refuse
            yield* proxy!.cut
            yield* until("it is said to be lost", () => about("disconnected").length > 0, "30 seconds")
            const [lost] = about("disconnected")
            assert.match(lost!, /^Warn /)
            assert.include(lost, address)
            const away = yield* table.health
            assert.isFalse(away.connected)
            assert.isTrue(Option.isSome(away.disconnectedSince))
            yield* proxy!.accept
            yield* until("it is said to be back", () => about("connected again").length > 0, "30 seconds")
            assert.match(about("connected again")[0]!, new RegExp(`^Info ${name}: connected again after \\d+\\.\\d s$`))
            assert.isTrue((yield* table.health).connected)
            assert.lengthOf(about("disconnected"), 1)
          }).pipe(Effect.provide(connected))
        ).pipe(Effect.scoped, Effect.ensuring(healed))
      )
    }
  })
})
