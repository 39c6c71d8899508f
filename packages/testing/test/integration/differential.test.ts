/**
 * The same random requests and administrative acts against the embedded Kafka and real brokers, whose answers must be the
 * same once ids and names are taken out of them, and what a client sees of its quotas. What the embedded Kafka answers is
 * believed only where this test, the contract suite or `cleaner.test.ts` compares it. `CASES` makes it longer, `SEED`
 * repeats one case; a failure names its seed.
 */
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { KafkaClientContract, TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Cause, Context, Effect, Layer } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { eventually } from "../../src/internal/contract/support.ts"
import { type Hands, NOTHING, play } from "./differential/play.ts"
import { playQuotas, playRequestQuotas } from "./differential/quotas.ts"

const brokerOf = <E>(kafka: Layer.Layer<TestKafka.TestKafka, E>) =>
  Layer.unwrap(Effect.map(TestKafka.TestKafka, ({ brokers }) => KafkaJsClient.layer({ brokers }))).pipe(
    Layer.merge(KafkaClientContract.brokerAdmin),
    Layer.provideMerge(kafka)
  )

const embedded = (brokers: number) =>
  KafkaClientContract.memoryAdmin.pipe(Layer.provideMerge(Layer.fresh(MemoryKafka.layerWith({ brokers }))))

const handsOfBroker = ({ admin, brokers: addresses }: TestKafka.Service, brokers: number, expires: boolean): Hands => ({
  everywhere: (_client, look) =>
    Effect.forEach(
      addresses,
      (address) =>
        Effect.scoped(
          Effect.flatMap(Layer.build(KafkaJsClient.layer({ brokers: [address] })), (built) =>
            look(Context.get(built, KafkaClient))
          )
        ),
      { discard: true }
    ),
  brokers,
  expires,
  roll: () => Effect.void,
  clean: (_topic, _partition, _below, isClean) => eventually(isClean, (is) => is),
  expire: (_topic, _partition, _before, isGone) => eventually(isGone, (is) => is),
  moveLeader: (topic, partition, broker) => Effect.orDie(admin.moveLeader(topic, partition, broker))
})

const handsOfMemory = (kafka: MemoryKafka.Service, brokers: number, expires: boolean): Hands => ({
  everywhere: (client, look) => Effect.asVoid(look(client)),
  brokers,
  expires,
  roll: (topic, partition) => Effect.orDie(kafka.roll(topic, partition)),
  clean: (topic, partition, below) => kafka.compact(topic, { partition, below }),
  expire: (topic, partition, before) => kafka.deleteRecords(topic, partition, before),
  moveLeader: (topic, partition, broker) => Effect.orDie(kafka.moveLeader(topic, partition, broker))
})

const given = process.env["SEED"]
const cases = Number(process.env["CASES"] ?? (given === undefined ? 9 : 1))
const first = given === undefined ? Math.floor(Math.random() * 1e9) : Number(given)

const named =
  (seed: number) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, never, R> =>
    Effect.catchCause(effect, (cause) => {
      const error = Cause.squash(cause)
      return Effect.die(new Error(`SEED=${seed}: ${error instanceof Error ? error.message : error}`, { cause: error }))
    })

const differential = (
  name: string,
  kafka: Layer.Layer<TestKafka.TestKafka, TestKafka.TestKafkaError>,
  options: { readonly brokers: number; readonly expires: boolean; readonly cases: number }
) =>
  layer(brokerOf(kafka), { excludeTestServices: true, timeout: "3 minutes" })(name, (it) => {
    const { brokers, cases: count, expires } = options
    const done = new Set<string>()
    for (let seed = first; seed < first + count; seed++) {
      it.effect(
        given === undefined ? `in a random case (${seed - first + 1} of ${count})` : `in the case of seed ${seed}`,
        () =>
          Effect.gen(function* () {
            const since = Date.now()
            const expected = yield* play(seed, since, handsOfBroker(yield* TestKafka.TestKafka, brokers, expires))
            const actual = yield* Effect.flatMap(MemoryKafka.MemoryKafka, (memory) =>
              play(seed, since, handsOfMemory(memory, brokers, expires))
            ).pipe(Effect.provide(embedded(brokers)))
            for (const [i, answer] of expected.entries()) {
              assert.deepStrictEqual(actual[i], answer, "the embedded Kafka beside the broker")
              if (answer[1] !== NOTHING) done.add(/[a-zA-Z]+/.exec(answer[0])![0])
            }
          }).pipe(named(seed)),
        180_000
      )
    }

    // Three cases have every cleanup policy.
    if (count < 3) return
    it.effect("and every kind of act was among them", () =>
      Effect.sync(() => {
        const acts = ["append", "end", "deleteRecords", "clean", "expire", "grow", "recreate", "alterConfig"]
        // In the few cases with two brokers an act may have had nothing to do each time; an election always has.
        assert.includeMembers([...done], brokers > 1 ? ["elect"] : acts, `SEED=${first}`)
      })
    )
  })

differential("the embedded Kafka answers as a broker does", TestKafka.layer, { brokers: 1, expires: false, cases })

differential(
  "two embedded brokers answer as two brokers do",
  TestKafka.layerWith({
    nodes: 2,
    properties: { "log.initial.task.delay.ms": "500", "log.retention.check.interval.ms": "500" }
  }),
  { brokers: 2, expires: true, cases: Math.ceil(cases / 3) }
)

layer(TestKafka.layer, { excludeTestServices: true })("the embedded Kafka throttles as a broker does", (it) => {
  it.effect(
    "fetches are held back without topics, and produces are answered and followed by silence",
    () =>
      Effect.gen(function* () {
        const { admin, brokers } = yield* TestKafka.TestKafka
        const clientId = yield* TestKafka.uniqueName("throttled")
        const [expected, actual] = yield* Effect.all(
          [
            playQuotas(first, (quotas) =>
              admin.setClientQuotas({ consumer_byte_rate: null, producer_byte_rate: null, ...quotas }, clientId)
            ).pipe(Effect.provide(KafkaJsClient.layer({ brokers, clientId }))),
            Effect.flatMap(MemoryKafka.MemoryKafka, ({ setQuotas }) => playQuotas(first, setQuotas)).pipe(
              Effect.provide(Layer.fresh(MemoryKafka.layer))
            )
          ],
          { concurrency: 2 }
        )
        assert.deepStrictEqual(actual, expected, `SEED=${first}: the embedded Kafka beside the broker`)
        assert.isTrue(
          JSON.stringify(expected).includes('{"isThrottled":true,"partitions":[]}'),
          "a fetch was held back"
        )
        assert.isTrue(JSON.stringify(expected).includes('"hasWaited":true'), "a produce waited")
      }),
    120_000
  )

  it.effect(
    "requests over their share of a broker's time are answered, but for fetches, and the next ones on the connection wait",
    () =>
      Effect.gen(function* () {
        const { admin, brokers } = yield* TestKafka.TestKafka
        const clientId = yield* TestKafka.uniqueName("throttled")
        const [expected, actual] = yield* Effect.all(
          [
            playRequestQuotas(first, (quotas) => admin.setClientQuotas(quotas, clientId)).pipe(
              Effect.provide(KafkaJsClient.layer({ brokers, clientId }))
            ),
            Effect.flatMap(MemoryKafka.MemoryKafka, ({ setQuotas }) => playRequestQuotas(first, setQuotas)).pipe(
              Effect.provide(Layer.fresh(MemoryKafka.layer))
            )
          ],
          { concurrency: 2 }
        )
        assert.deepStrictEqual(actual, expected, `SEED=${first}: the embedded Kafka beside the broker`)
      }),
    120_000
  )
})
