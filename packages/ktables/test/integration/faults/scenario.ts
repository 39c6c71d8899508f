/**
 * A topic under load, followed and written through every transport at once, while a test does harm to its brokers; and
 * the check of everything that must hold afterwards.
 */
import assert from "node:assert/strict"
import { KafkaJsClient } from "@effect-ktables/kafkajs"
import { PlatformaticClient } from "@effect-ktables/platformatic"
import { Clock, Effect, Exit, Layer, Schema, Scope, Semaphore } from "effect"
import { type KafkaClient, KafkaTable, KafkaTableWriter, type TableStatus, TableTopic } from "effect-ktables"
import type { KeysMoved, ReaderError } from "effect-ktables/TableError"
import { TestKafka } from "@effect-ktables/testing"
import type { JavaPeer } from "@effect-ktables/testing/interop"
import { assertExactlyOnceInOrder, assertNewestKept, differences, readLog, tableOf } from "./invariants.ts"
import { until } from "./until.ts"
import { watch, type Witness } from "./witness.ts"
import { PACE, startWorkload, type Workload } from "./workload.ts"

export interface ClientOptions {
  readonly brokers: ReadonlyArray<string>
  /** Default: 2 seconds, so that silence is noticed within a test's patience. */
  readonly requestTimeout?: string
}

export const clients = {
  kafkajs: ({ brokers, requestTimeout = "2 seconds" }: ClientOptions) =>
    KafkaJsClient.layer({ brokers, requestTimeout: requestTimeout as "2 seconds", connectionTimeout: "2 seconds" }),
  platformatic: ({ brokers, requestTimeout = "2 seconds" }: ClientOptions) =>
    PlatformaticClient.layer({ brokers, requestTimeout: requestTimeout as "2 seconds", connectionTimeout: "2 seconds" })
} satisfies Record<string, (options: ClientOptions) => Layer.Layer<KafkaClient.KafkaClient>>

export type Transport = keyof typeof clients
export const transports: ReadonlyArray<Transport> = ["kafkajs", "platformatic"]

/** One process's share: a client of its own, a table and a writer. */
export interface Party {
  readonly name: string
  readonly table: KafkaTable.KafkaTable<string, number>
  readonly writer: KafkaTableWriter.KafkaTableWriter<string, number>
  /** Another writer of the same client. */
  readonly write: (
    options: KafkaTableWriter.Options
  ) => Effect.Effect<KafkaTableWriter.KafkaTableWriter<string, number>, KafkaTableWriter.StartError>
  readonly witness: Witness
  readonly workload: Workload
  /** What a table of the same client holds that begins now. */
  readonly fresh: Effect.Effect<ReadonlyMap<string, number>>
}

export interface Run {
  readonly topic: string
  readonly parties: ReadonlyArray<Party>
  /** Succeeds once each party has had more writes acknowledged, and then reads everything that is in the log. */
  readonly flows: Effect.Effect<void>
  /** Succeeds once each party's table is in a state. */
  readonly each: (what: string, holds: (party: Party) => Effect.Effect<boolean>) => Effect.Effect<void>
}

export interface ScenarioOptions {
  readonly cluster: TestKafka.Cluster
  readonly java: JavaPeer.Service
  readonly name: string
  /** Default: one of each transport. */
  readonly transports?: ReadonlyArray<Transport>
  /** Default: all brokers. */
  readonly brokers?: ReadonlyArray<string>
  readonly requestTimeout?: string
  /** Default: 3 partitions, on all brokers. */
  readonly partitions?: number
  /** Replicas per partition, the leader first, instead. */
  readonly assignments?: ReadonlyArray<ReadonlyArray<number>>
  readonly config?: Readonly<Record<string, string>>
  readonly table?: KafkaTable.Options
  /** The fault loses acknowledged records: only tables and logs are compared. Default: false. */
  readonly isLossy?: boolean
  /** The fault ends the tables for good: they keep what they had. Default: false. */
  readonly isFinal?: boolean
  /** The log loses what newer records outdo: of each key only the newest write is looked for. Default: false. */
  readonly isCleaned?: boolean
  /** The log belongs to another cluster than at the start: only what was acknowledged in it is looked for. Default: false. */
  readonly isReplaced?: boolean
  /** Milliseconds between two writes of a fiber. Default: 5. */
  readonly pace?: number
}

const disconnected = (party: Party) =>
  Effect.map(party.table.health, ({ partitions }) => partitions.some(({ connected }) => !connected))
const connected = (party: Party) =>
  Effect.map(party.table.health, ({ partitions }) => partitions.every(({ connected }) => connected))
const has = (tag: TableStatus.TableStatus["_tag"]) => (party: Party) =>
  Effect.map(party.table.status, (status) => status._tag === tag)

/** It has built its contents again for this reason, and is complete again. */
const rebuilt = (reason: (ReaderError | KeysMoved)["_tag"]) => (party: Party) =>
  Effect.map(
    party.table.status,
    ({ _tag }) =>
      _tag === "CaughtUp" &&
      party.witness.statuses.some((status) => status._tag === "Rebuilding" && status.reason._tag === reason)
  )

/** States of a party to wait for. */
export const is = { disconnected, connected, rebuilt, caughtUp: has("CaughtUp"), failed: has("Failed") }

/** Long polls and metadata short enough that a test sees what they lead to soon. */
const QUICK: KafkaTable.Options = { fetch: { maxWait: "500 millis" }, metadataRefresh: "1 second" }

const QUICK_WRITES = { metadataMaxAge: "1 second", closeTimeout: "1 second" } as const

const BARRIER = "60 seconds"

/** Runs `faults` under load, then checks every invariant, and that everything closes. */
export const scenario = <E, R>(
  options: ScenarioOptions,
  faults: (run: Run) => Effect.Effect<void, E, R>
): Effect.Effect<void, never, R> => Effect.orDie(underLoad(options, faults))

const underLoad = Effect.fnUntraced(function* <E, R>(
  options: ScenarioOptions,
  faults: (run: Run) => Effect.Effect<void, E, R>
) {
  const { cluster, isFinal = false, isLossy = false } = options
  const topic = yield* TestKafka.uniqueName(options.name)
  yield* cluster.admin.createTopic({
    topic,
    ...(options.assignments === undefined
      ? { partitions: options.partitions ?? 3 }
      : { assignments: options.assignments }),
    config: { "cleanup.policy": "compact", ...options.config }
  })
  const definition = TableTopic.make({ name: topic, key: Schema.String, value: Schema.Int })
  const scope = yield* Scope.make()

  const open = Effect.fnUntraced(function* (transport: Transport, index: number) {
    const client = clients[transport]({
      brokers: options.brokers ?? cluster.brokers,
      ...(options.requestTimeout === undefined ? {} : { requestTimeout: options.requestTimeout })
    })
    const context = yield* Layer.buildWithScope(client, scope)
    const table = yield* KafkaTable.make(definition, { ensureTopic: false, ...QUICK, ...options.table }).pipe(
      Effect.provide(context)
    )
    const write: Party["write"] = (options) =>
      KafkaTableWriter.make(definition, { ensureTopic: false, ...QUICK_WRITES, ...options }).pipe(
        Effect.provide(context),
        Scope.provide(scope)
      )
    const writer = yield* write({})
    const name = `${transport}-${index}`
    const witness = yield* watch(table)
    const workload = yield* startWorkload({ name, table, writer, isLossy, pace: options.pace ?? PACE })
    const fresh = Effect.gen(function* () {
      const one = yield* KafkaTable.make(definition, { ensureTopic: false, ...QUICK, ...options.table })
      yield* one.barrier({ timeout: BARRIER })
      return new Map(yield* one.entries)
    }).pipe(Effect.scoped, Effect.provide(context), Effect.orDie)
    return { name, table, writer, write, witness, workload, fresh }
  })

  yield* Effect.gen(function* () {
    const parties = yield* Effect.forEach(options.transports ?? transports, open, { concurrency: "unbounded" })
    const flows = Effect.gen(function* () {
      const before = parties.map(({ workload }) => workload.acknowledged())
      yield* until("writes go on", () => parties.every(({ workload }, i) => workload.acknowledged() > before[i]! + 30))
      yield* Effect.forEach(parties, ({ table }) => Effect.orDie(table.barrier({ timeout: BARRIER })))
    })
    const each: Run["each"] = (what, holds) =>
      Effect.forEach(parties, (party) => until(`${party.name} is ${what}`, holds(party)), { discard: true })
    const harm = Effect.andThen(flows, faults({ topic, parties, flows, each }))
    yield* Effect.raceAllFirst([harm, ...parties.map(({ workload }) => workload.died)])
    if (!isFinal) {
      yield* Effect.forEach(parties, ({ workload }) => workload.stop, { concurrency: "unbounded" })
      yield* check(topic, parties, options)
    }
    for (const { name, witness } of parties) assert.deepEqual(witness.violations, [], name)
  }).pipe(
    Scope.provide(scope),
    Effect.onExit((exit) => Effect.ensuring(Effect.orDie(heal(cluster)), close(scope, exit)))
  )
})

/** Compares log, tables and what was learned of them with each other. */
const check = Effect.fnUntraced(function* (
  topic: string,
  parties: ReadonlyArray<Party>,
  { isCleaned = false, isLossy = false, isReplaced = false, java }: ScenarioOptions
) {
  yield* Effect.forEach(parties, ({ table }) => table.barrier({ timeout: BARRIER }), { concurrency: "unbounded" })
  const log = yield* readLog(java, topic)
  const { partitions, topicId } = yield* java.describeTopic(topic)
  const expected = tableOf(log, partitions.length)
  for (const { fresh, name, table, witness, workload } of parties) {
    const attempts = isReplaced
      ? workload.attempts.filter(({ exit }) => Exit.isFailure(exit) || exit.value.topicId === topicId)
      : workload.attempts
    if (isCleaned) {
      assert.ok(log.length < attempts.length, `no cleaner has been at the log: it holds ${log.length} records`)
      assertNewestKept(attempts, log)
    }
    if (!isCleaned && (!isLossy || isReplaced)) assertExactlyOnceInOrder(attempts, log)
    assert.equal((yield* table.status)._tag, "CaughtUp", name)
    assert.deepEqual(differences(new Map(yield* table.entries), expected), [], `${name} beside Java's read of the log`)
    assert.deepEqual(differences(yield* fresh, expected), [], `a fresh table beside Java's read of the log`)
    yield* until(
      () => `the changes that ${name} heard make the table: ${differences(witness.folded, expected)}`,
      () => differences(witness.folded, expected).length === 0,
      "10 seconds"
    )
    assert.equal((yield* table.health).stats.valueDecodeErrors, 0)
  }
})

/** Closing takes a moment, whatever the brokers do. */
const close = Effect.fnUntraced(function* (scope: Scope.Closeable, exit: Exit.Exit<unknown, unknown>) {
  const since = yield* Clock.currentTimeMillis
  yield* Scope.close(scope, exit)
  if (Exit.isFailure(exit)) return
  const took = (yield* Clock.currentTimeMillis) - since
  assert.ok(took < 10_000, `closing took ${took} ms`)
})

/** A broker that two would start at once would find its ports taken by itself. */
const oneAtATime = Semaphore.makeUnsafe(1)

/** Ends whatever a test did to the brokers and the way to them. */
export const heal = (cluster: TestKafka.Cluster) => oneAtATime.withPermit(healAll(cluster))

const healAll = (cluster: TestKafka.Cluster) =>
  Effect.forEach(
    cluster.nodes,
    Effect.fnUntraced(function* ({ proxy, resume, start }) {
      yield* resume
      yield* start
      if (proxy === undefined) return
      yield* proxy.thaw
      yield* proxy.delay(0)
      yield* proxy.limit(undefined)
      yield* proxy.accept
    }),
    { concurrency: "unbounded", discard: true }
  )

/** This process has no socket any more, also none that would let it exit, and no proxy a connection. */
export const assertNoSockets = (cluster: TestKafka.Cluster) =>
  Effect.gen(function* () {
    for (const { id, proxy } of cluster.nodes) {
      if (proxy === undefined) continue
      yield* until(
        `no connection is left to broker ${id}`,
        Effect.map(proxy.traffic, ({ open }) => open === 0),
        "5 seconds"
      )
    }
    yield* until(
      () => `no socket is left: ${process.getActiveResourcesInfo().join()}`,
      () => !process.getActiveResourcesInfo().includes("TCPSocketWrap"),
      "5 seconds"
    )
  })
