/** How tests of the writer begin: a scripted cluster, and a writer of prices on it. */
import { Deferred, Effect, Schema } from "effect"
import { KafkaClient } from "effect-ktables/KafkaClient"
import * as KafkaTableWriter from "effect-ktables/KafkaTableWriter"
import * as TableTopic from "effect-ktables/TableTopic"
import { accept, eventually, lost, type ProduceAnswer, refuse, ScriptedKafka, TOPIC, until } from "./scriptedKafka.ts"

export const prices = TableTopic.make({ name: TOPIC, key: Schema.String, value: Schema.Finite })

/** A writer to a topic that it takes for being there. */
export const writerTo = <K, V, RD, RE>(
  topic: TableTopic.TableTopic<K, V, RD, RE>,
  kafka: ScriptedKafka,
  options: KafkaTableWriter.Options = {}
) => Effect.provideService(KafkaTableWriter.make(topic, { ensureTopic: false, ...options }), KafkaClient, kafka.client)

type Script = Pick<ScriptedKafka, "produces" | "otherwise" | "inits" | "describes" | "config">

export interface Setup extends Partial<Script> {
  /** How many partitions the topic has. Default: 1. */
  readonly partitions?: number
  readonly writer?: KafkaTableWriter.Options
}

/** A cluster that answers as the script says, from the writer's start on, and the writer. */
export const start = Effect.fnUntraced(function* ({ partitions, writer: options, ...script }: Setup = {}) {
  const kafka = Object.assign(new ScriptedKafka(partitions), script)
  return { kafka, writer: yield* writerTo(prices, kafka, options) }
})

/** An answer that accepts a batch, but not before the test says `answer`. */
export const heldAnswer = Effect.gen(function* () {
  const gate = yield* Deferred.make<void>()
  const held: ProduceAnswer = (produced, kafka) => Effect.andThen(Deferred.await(gate), accept(produced, kafka))
  return { held, answer: Deferred.succeed(gate, undefined) }
})

/** As `start`, with a write of `key` on its way, alone in a batch that is accepted when the test says `answer`. */
export const startUnanswered = Effect.fnUntraced(function* (
  key: string,
  options: KafkaTableWriter.Options = {},
  setup: Setup = {}
) {
  const { held, answer } = yield* heldAnswer
  const { kafka, writer } = yield* start({ ...setup, produces: [held], writer: options })
  const first = yield* Effect.forkChild(writer.set(key, 1))
  yield* until(() => kafka.produced.length === 1)
  return { kafka, writer, first, answer }
})

/** Writes keys at the same moment. */
export const setTogether = (writer: KafkaTableWriter.KafkaTableWriter<string, number>, keys: ReadonlyArray<string>) =>
  Effect.forEach(keys, (key) => writer.set(key, 1), { concurrency: "unbounded" })

/** The error that an effect ends with, while the test clock runs. */
export const failureOf = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<E, unknown> =>
  eventually(Effect.flip(effect))

/** Refuses batches that hold a key, and accepts the others. */
export const refuseKey =
  (key: string, errorCode: number): ProduceAnswer =>
  (produced, kafka) =>
    (produced.keys.includes(key) ? refuse(errorCode) : accept)(produced, kafka)

/** No connection is made, so that nothing is sent. */
export const unreachable: ProduceAnswer = () => Effect.fail(lost("connect"))

/** The request is taken, and no answer comes. */
export const silent: ProduceAnswer = () => Effect.never

/** Puts "b" into partition 0, and "a" and "c" into partition 1. */
export const byLastBit = (key: Uint8Array): number => key[0]! & 1
