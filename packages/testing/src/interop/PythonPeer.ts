/**
 * Python's `ktables` 2.0.0, and the clients under and beside it, in a process beside the tests.
 *
 * The packages are installed once into a virtual environment of the workspace's cache, at the versions pinned in
 * `python/requirements.txt`. One process serves any number of tables; keep one per test file.
 */
import { readFileSync } from "node:fs"
import * as path from "node:path"
import { Context, Effect, Layer, type Scope } from "effect"
import { TestKafka } from "../TestKafka.ts"
import { cachedDirectory, packageFile } from "./cached.ts"
import { type PeerError, PeerUnavailable } from "./PeerError.ts"
import { runStep, startPeer, whyMissing } from "./peerProcess.ts"
import { type Compression, encodeRecord, type PeerAck, type PeerRecord } from "./PeerRecord.ts"

/** Anything JSON can say; the peer's tables hold it under `json.loads` and write it without blanks or escapes. */
export type Json = null | boolean | number | string | ReadonlyArray<Json> | { readonly [key: string]: Json }

export interface PythonTableOptions {
  /** Created compacted by ktables where it is not there. */
  readonly topic: string
  /** 1 when left out; has no effect on a topic that is there. */
  readonly partitions?: number
  /** ktables reads uncommitted records unless told otherwise, and so does the peer. */
  readonly isolation?: "read_committed" | "read_uncommitted"
}

export interface PythonTableState {
  readonly status: "unstarted" | "loading" | "caught_up" | "degraded" | "failed"
  readonly records: number
  readonly tombstones: number
  readonly keyless: number
  readonly keyDecodeErrors: number
  readonly valueDecodeErrors: number
  /** Keys that are no grouped ones; 0 for a flat table. */
  readonly foreignKeys: number
}

interface CommonTable {
  /** True once everything written before the call is in the table; false when ktables could not prove it in 30 s. */
  readonly barrier: Effect.Effect<boolean, PeerError>
  /** False when 30 s were not enough. */
  readonly waitCaughtUp: Effect.Effect<boolean, PeerError>
  readonly state: Effect.Effect<PythonTableState, PeerError>
}

/** A table with its writer. Writes are acknowledged by all replicas. */
export interface PythonTable extends CommonTable {
  readonly set: (key: string, value: Json) => Effect.Effect<void, PeerError>
  readonly delete: (key: string) => Effect.Effect<void, PeerError>
  readonly get: (key: string) => Effect.Effect<Json | undefined, PeerError>
  readonly dump: Effect.Effect<ReadonlyMap<string, Json>, PeerError>
}

/** A grouped table with its writer. */
export interface PythonGroupedTable extends CommonTable {
  readonly set: (group: string, member: string, value: Json) => Effect.Effect<void, PeerError>
  readonly delete: (group: string, member: string) => Effect.Effect<void, PeerError>
  readonly dump: Effect.Effect<ReadonlyMap<string, ReadonlyMap<string, Json>>, PeerError>
}

export interface Service {
  /** Opens a table that has caught up; closing the scope stops it. */
  readonly table: (options: PythonTableOptions) => Effect.Effect<PythonTable, PeerError, Scope.Scope>
  readonly groupedTable: (options: PythonTableOptions) => Effect.Effect<PythonGroupedTable, PeerError, Scope.Scope>
  /** Writes records through aiokafka or librdkafka, with Java's partitioner. */
  readonly produce: (options: {
    readonly client: "aiokafka" | "librdkafka"
    readonly topic: string
    readonly records: ReadonlyArray<PeerRecord>
    readonly compression?: Compression
    readonly idempotent?: boolean
  }) => Effect.Effect<ReadonlyArray<PeerAck>, PeerError>
}

/** Provided by `layer`. */
export class PythonPeer extends Context.Service<PythonPeer, Service>()("@effect-ktables/testing/interop/PythonPeer") {}

const seconds = 30

/** Why tests with this peer cannot run here, for their names; undefined where they can, and in CI. */
export const unavailable = (): string | undefined => whyMissing(["python3"])

const install = Effect.fnUntraced(function* () {
  const requirements = packageFile("python/requirements.txt")
  const environment = yield* cachedDirectory("python", [readFileSync(requirements)], (to) =>
    runStep("Python", "python3", ["-m", "venv", to]).pipe(
      Effect.andThen(
        runStep("Python", path.join(to, "bin", "python"), [
          "-m",
          "pip",
          "install",
          "--quiet",
          "--disable-pip-version-check",
          "--requirement",
          requirements
        ])
      )
    )
  )
  return path.join(environment, "bin", "python")
})

/** Starts the peer of one cluster; closing the scope ends it. */
export const make = Effect.fnUntraced(function* (options: {
  readonly brokers: ReadonlyArray<string>
}): Effect.fn.Return<Service, PeerError, Scope.Scope> {
  const missing = unavailable()
  if (missing !== undefined) return yield* new PeerUnavailable({ peer: "Python", detail: missing })
  const python = yield* install()
  const { request } = yield* startPeer("Python", python, [packageFile("python/peer.py"), options.brokers.join(",")])
  let opened = 0

  const open = Effect.fnUntraced(function* (table: PythonTableOptions & { readonly grouped: boolean }) {
    const id = opened++
    yield* Effect.acquireRelease(request<unknown>("open", { ...table, table: id }), () =>
      // A peer that has died has no table to stop.
      Effect.ignore(request("close", { table: id }))
    )
    return {
      id,
      common: {
        barrier: request<boolean>("barrier", { table: id, seconds }),
        waitCaughtUp: request<boolean>("waitCaughtUp", { table: id, seconds }),
        state: request<PythonTableState>("describe", { table: id })
      }
    }
  })

  return {
    table: Effect.fnUntraced(function* (table: PythonTableOptions) {
      const { common, id } = yield* open({ ...table, grouped: false })
      const dump = Effect.map(
        request<Record<string, Json>>("dump", { table: id }),
        (rows): ReadonlyMap<string, Json> => new Map(Object.entries(rows))
      )
      return {
        ...common,
        set: (key: string, value: Json) => request<void>("set", { table: id, key: [key], value }),
        delete: (key: string) => request<void>("delete", { table: id, key: [key] }),
        get: (key: string) => Effect.map(dump, (rows) => rows.get(key)),
        dump
      }
    }),
    groupedTable: Effect.fnUntraced(function* (table: PythonTableOptions) {
      const { common, id } = yield* open({ ...table, grouped: true })
      return {
        ...common,
        set: (group: string, member: string, value: Json) =>
          request<void>("set", { table: id, key: [group, member], value }),
        delete: (group: string, member: string) => request<void>("delete", { table: id, key: [group, member] }),
        dump: Effect.map(
          request<Record<string, Record<string, Json>>>("dump", { table: id }),
          (groups): ReadonlyMap<string, ReadonlyMap<string, Json>> =>
            new Map(Object.entries(groups).map(([group, members]) => [group, new Map(Object.entries(members))]))
        )
      }
    }),
    produce: (batch) => request("produce", { ...batch, records: batch.records.map(encodeRecord) })
  }
})

/** The peer of the test run's Kafka. */
export const layer: Layer.Layer<PythonPeer, PeerError, TestKafka> = Layer.effect(
  PythonPeer,
  Effect.flatMap(TestKafka, (kafka) => make({ brokers: kafka.brokers }))
)
