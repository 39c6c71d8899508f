/** The embedded Kafka as fault tests use it. */
import { Effect, Layer } from "effect"
import * as MemoryKafka from "effect-ktables/MemoryKafka"

export const memory = MemoryKafka.MemoryKafka

/** Runs a test's effect on a fresh embedded cluster. */
export const onCluster = <A, E, R>(effect: Effect.Effect<A, E, R>, options: MemoryKafka.Options = {}) =>
  effect.pipe(Effect.scoped, Effect.provide(Layer.fresh(MemoryKafka.layerWith(options))))

let written = 0

/** Appends keys with values that no other write of the process has, which are handed back; null is a tombstone. */
export const write = Effect.fnUntraced(function* (
  topic: string,
  keys: ReadonlyArray<string | readonly [key: string, value: null]>,
  options?: MemoryKafka.AppendOptions
) {
  const kafka = yield* memory
  const values: Array<number | null> = keys.map((key) => (typeof key === "string" ? ++written : null))
  yield* kafka.append(
    topic,
    keys.map((key, i) => ({
      key: typeof key === "string" ? key : key[0],
      value: values[i] === null ? null : String(values[i])
    })),
    options
  )
  return values
})

export const keys = (count: number, prefix = "k"): Array<string> =>
  Array.from({ length: count }, (_, i) => `${prefix}${i}`)
