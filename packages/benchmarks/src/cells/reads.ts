/**
 * Reads of a table beside the same reads of a native Map and of an immutable HashMap with the same keys, in nanoseconds.
 * Keys are asked for in random order by strings of their own, as they come off a request.
 */
import * as KafkaTable from "effect-ktables/KafkaTable"
import { Effect, HashMap } from "effect"
import type { Cell } from "../harness/cells.ts"
import { median } from "../harness/Measurement.ts"
import { schemaTopic } from "../topics/decoding.ts"
import { openSource } from "../topics/source.ts"
import { keyOf, type Service } from "../topics/values.ts"
import { replay } from "./catchUp.ts"

export interface Input {
  readonly size: number
  /** Rounds per read, the first third of which warm up. */
  readonly rounds: number
}

/** Reads per round. */
const reads = 100_000

export const cell: Cell<Input> = Effect.fnUntraced(function* ({ rounds, size }) {
  const log = { distribution: "unique", records: size, keys: size } as const
  const { client, topic } = yield* openSource({ client: "memory", partitions: 1, log })
  const table = yield* KafkaTable.make(schemaTopic(topic), replay).pipe(Effect.provideContext(client))
  const { view } = table
  const hashMap = yield* table.snapshot
  const map = new Map(hashMap)
  // A multiplier without common factors walks all ids in an order that no cache foresees.
  const asked = Array.from({ length: reads }, (_, i) => keyOf((i * 7_919) % size))

  const kinds: ReadonlyArray<readonly [string, number, () => Effect.Effect<number>]> = [
    ["Map.get", reads, () => Effect.succeed(count(asked, (key) => map.get(key)))],
    ["HashMap.get", reads, () => Effect.succeed(count(asked, (key) => HashMap.get(hashMap, key)))],
    ["view.get", reads, () => Effect.succeed(count(asked, (key) => view.get(key)))],
    ["view.has", reads, () => Effect.succeed(count(asked, (key) => view.has(key) || undefined))],
    ["yield* get", reads, () => getAll(table, asked)],
    ["yield* snapshot", reads, () => snapshotAll(table, asked)],
    ["Map iteration", size, () => Effect.succeed(iterate(map))],
    ["view iteration", size, () => Effect.succeed(iterate(view))]
  ]
  const times = new Map<string, Array<number>>()
  for (let round = 0; round < rounds; round++) {
    // One after another within a round, so that a slow moment of the machine falls on all of them.
    for (const [kind, operations, run] of kinds) {
      const started = performance.now()
      const found = yield* Effect.suspend(run)
      const ns = ((performance.now() - started) * 1e6) / operations
      if (found !== operations) return yield* Effect.die(`${kind} found ${found} of ${operations}`)
      if (round * 3 >= rounds) times.set(kind, [...(times.get(kind) ?? []), ns])
    }
  }
  const of = (kind: string): number => median(times.get(kind)!)
  return kinds.map(([kind]) => ({
    metric: "reads",
    client: kind.startsWith("Map") ? "Map" : kind.startsWith("HashMap") ? "HashMap" : "effect-ktables",
    detail: `${kind}, ${size} keys`,
    keys: size,
    nsPerOp: of(kind),
    ratio: of(kind) / of(kind.endsWith("iteration") ? "Map iteration" : "Map.get")
  }))
})

const count = (keys: ReadonlyArray<string>, read: (key: string) => unknown): number => {
  let found = 0
  for (const key of keys) if (read(key) !== undefined) found++
  return found
}

const getAll = Effect.fnUntraced(function* (
  table: KafkaTable.KafkaTable<string, Service>,
  keys: ReadonlyArray<string>
) {
  let found = 0
  for (const key of keys) if ((yield* table.get(key))._tag === "Some") found++
  return found
})

const snapshotAll = Effect.fnUntraced(function* (
  table: KafkaTable.KafkaTable<string, Service>,
  keys: ReadonlyArray<string>
) {
  for (const _ of keys) yield* table.snapshot
  return keys.length
})

const iterate = (entries: Iterable<readonly [string, Service]>): number => {
  let found = 0
  for (const [key, value] of entries) if (value.name === key) found++
  return found
}
