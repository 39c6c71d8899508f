/** What keeping a checkpoint costs a table whose topic is written to all the time: with it and without, one after the other. */
import { Effect, Schedule } from "effect"
import { randomBytes } from "node:crypto"
import type { Measurement } from "../harness/Measurement.ts"
import type { Benchmark } from "../suite.ts"
import { keyIds } from "../topics/logs.ts"
import { append, createCompacted, openAppender, remove } from "../topics/provision.ts"
import type { ClusterClient } from "../topics/source.ts"

const PER_SECOND = 5000
/** Milliseconds between two writes, which are then of as many batches as the topic has partitions. */
const PACE = 20

/** A topic that holds each key once, and goes away with the scope: it is written to. */
const filled = (brokers: ReadonlyArray<string>, keys: number, partitions: number) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const topic = `ktables-bench-tmp-${randomBytes(6).toString("hex")}`
      await createCompacted(brokers, topic, partitions)
      await append(brokers, topic, keyIds({ distribution: "unique", records: keys, keys }))
      return topic
    }),
    (topic) => Effect.promise(() => remove(brokers, topic))
  )

export const checkpoint: Benchmark = Effect.fnUntraced(function* ({ brokers, options, repeat }) {
  const measured: Array<Measurement> = []
  const addresses = yield* brokers
  const { partitions, seconds } = options
  const measure = Effect.fnUntraced(function* (client: ClusterClient, keys: number) {
    const topic = yield* filled(addresses, keys, partitions)
    const change = yield* openAppender(addresses, topic)
    let at = 0
    const ids = () => Int32Array.from({ length: (PER_SECOND * PACE) / 1000 }, () => (at = (at + 7919) % keys))
    yield* Effect.suspend(() => change(ids())).pipe(Effect.repeat(Schedule.fixed(PACE)), Effect.forkScoped)
    const input = { source: { client, brokers: addresses, topic }, perSecond: PER_SECOND, seconds }
    measured.push(...(yield* repeat("checkpoint", { ...input, isKept: false }, { ...input, isKept: true })))
  }, Effect.scoped)
  for (const keys of options.sizes.length > 0 ? options.sizes : [100_000]) {
    for (const client of options.clients) {
      if (client !== "memory") yield* measure(client, keys)
    }
  }
  return measured
})
