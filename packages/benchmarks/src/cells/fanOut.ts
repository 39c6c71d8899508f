/** One table, many subscribers: how fast updates reach all of them, and what one costs that never takes anything. */
import * as KafkaTable from "effect-ktables/KafkaTable"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import type { TableChange } from "effect-ktables/TableChange"
import { Deferred, Effect, Fiber, HashMap, Layer, Option, Stream } from "effect"
import type { Cell } from "../harness/cells.ts"
import { memoryUse, mebibytes } from "../harness/memory.ts"
import { schemaTopic } from "../topics/decoding.ts"
import { keyOf, type Service, serviceOf } from "../topics/values.ts"

export interface Input {
  /** Of all changes. */
  readonly subscribers: number
  /** Of one key each. */
  readonly watchers: number
  /** Adds a subscriber that takes its first snapshot and nothing more. */
  readonly stuck: boolean
  readonly keys: number
  readonly updates: number
}

/** Updates per batch in the log. */
const batch = 100

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ keys, stuck, subscribers, updates, watchers }) {
  const services = yield* Layer.build(MemoryKafka.layer)
  const who = [
    ...(subscribers > 0 ? [`${subscribers} subscribers`] : []),
    ...(watchers > 0 ? [`${watchers} watchers of a key each`] : [])
  ].join(", ")
  const measure = Effect.gen(function* () {
    const kafka = yield* MemoryKafka.MemoryKafka
    yield* kafka.createTopic("table")
    const append = (from: number, to: number, version: number) =>
      kafka.append(
        "table",
        Array.from({ length: to - from }, (_, i) => ({
          key: keyOf((from + i) % keys),
          value: JSON.stringify(serviceOf((from + i) % keys, version))
        }))
      )
    for (let at = 0; at < keys; at += batch) yield* append(at, Math.min(keys, at + batch), 0)
    const table = yield* KafkaTable.make(schemaTopic("table"), { ensureTopic: false })

    const done = [
      ...(yield* Effect.replicateEffect(subscribe(table), subscribers)),
      ...(yield* Effect.forEach(Array.from({ length: watchers }).keys(), (i) => watch(table, keyOf(i % keys))))
    ]
    const stuckOne = stuck
      ? yield* table.changeBatches.pipe(
          Stream.runForEach(() => Effect.never),
          Effect.forkChild({ startImmediately: true })
        )
      : undefined
    const started = performance.now()
    for (let at = 0; at < updates; at += batch) yield* append(at, Math.min(updates, at + batch), 1)
    yield* append(0, 1, lastVersion)
    yield* Effect.forEach(done, Deferred.await)
    const ms = performance.now() - started
    const held = stuckOne === undefined ? {} : { heapMiB: yield* heldBy(stuckOne) }
    return [
      {
        metric: "fanout",
        client: "effect-ktables memory",
        detail: `${who}${stuck ? " and a stuck one" : ""}, ${keys} keys`,
        ms,
        records: updates,
        rps: (updates / ms) * 1000,
        ...held
      }
    ]
  })
  return yield* measure.pipe(Effect.provideContext(services))
})

/** The version a change tells of: of key 0 where it is a snapshot. */
const versionIn = (change: TableChange<string, Service>): number | undefined => {
  switch (change._tag) {
    case "Snapshot":
      return Option.getOrUndefined(HashMap.get(change.entries, keyOf(0)))?.version
    case "Set":
      return change.value.version
    case "Deleted":
      return undefined
  }
}

/** What is freed when a fiber ends, in MiB. */
const heldBy = Effect.fnUntraced(function* (fiber: Fiber.Fiber<unknown, unknown>) {
  const before = memoryUse()
  yield* Fiber.interrupt(fiber)
  return mebibytes(before.heap - memoryUse().heap)
})

/** The version of the last write, of key 0. */
const lastVersion = 2

/** Completed when something that is heard is the last. Returns once it listens, which the first thing heard shows. */
const listen = Effect.fnUntraced(function* <A, E>(stream: Stream.Stream<A, E>, isLast: (heard: A) => boolean) {
  const listening = Deferred.makeUnsafe<void>()
  const done = Deferred.makeUnsafe<void>()
  yield* stream.pipe(
    Stream.runForEach((heard) =>
      Effect.sync(() => {
        Deferred.doneUnsafe(listening, Effect.void)
        if (isLast(heard)) Deferred.doneUnsafe(done, Effect.void)
      })
    ),
    Effect.forkScoped
  )
  yield* Deferred.await(listening)
  return done
})

/** Completed when the subscriber has learned of the last write, be it in a fresh snapshot. */
const subscribe = (table: KafkaTable.KafkaTable<string, Service>) =>
  listen(table.changeBatches, (changes) => changes.some((change) => versionIn(change) === lastVersion))

/** Completed when the watcher has learned of its key's update. */
const watch = (table: KafkaTable.KafkaTable<string, Service>, key: string) =>
  listen(table.watch(key), (value) => Option.isSome(value) && value.value.version > 0)
