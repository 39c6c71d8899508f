import { Effect, HashMap, Layer, Option, Schema } from "effect"
import { KafkaTable, TableTopic } from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"

export const Service = Schema.Struct({ host: Schema.String, port: Schema.Int })

export const services = TableTopic.make({ name: "services", key: Schema.String, value: Service })
export const numbers = TableTopic.make({ name: "numbers", key: Schema.String, value: Schema.Int })

/** A fresh embedded cluster for a test's effect. */
export const onMemory = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  effect.pipe(Effect.scoped, Effect.provide(Layer.fresh(MemoryKafka.layer)))

export const toRecord = <V>(map: HashMap.HashMap<string, V>): Record<string, V> =>
  Object.fromEntries(HashMap.entries(map))

/** Appends JSON values by key; null is a tombstone. */
export const put = Effect.fnUntraced(function* (
  topic: string,
  entries: ReadonlyArray<readonly [key: string | null, value: unknown]>,
  partition = 0
) {
  const memory = yield* MemoryKafka.MemoryKafka
  return yield* memory.append(
    topic,
    entries.map(([key, value]) => ({ key, value: value === null ? null : JSON.stringify(value) })),
    { partition }
  )
})

/** Lets other fibers run until the condition holds; fails when it does not within many turns. */
export const eventually = Effect.fnUntraced(function* (what: string, condition: () => boolean) {
  for (let turn = 0; turn < 2000; turn++) {
    if (condition()) return
    yield* Effect.yieldNow
  }
  return yield* Effect.die(new Error(`never: ${what}`))
})

export const valueOf = <V>(option: Option.Option<V>): V | undefined => Option.getOrUndefined(option)

export const tableOf = KafkaTable.make
