/**
 * A table under fault tests, with everybody who could notice a fault watching it: a subscriber that folds the changes, a
 * sampler of positions, and a clock that counts the timers the table holds. `verify` is the checker that ends every test.
 */
import { assert } from "@effect/vitest"
import { Clock, Effect, Exit, HashMap, Layer, Option, Scope, Stream } from "effect"
import {
  CheckpointStore,
  type KafkaClient,
  type KafkaError,
  KafkaTable,
  type TableChange,
  type TableError,
  type TableStatus,
  type TableTopic
} from "effect-ktables"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { contentsOf, type Decoding } from "./oracle.ts"
import { pass, settle, until, within } from "./time.ts"

/** What a subscriber that hears every change believes the table to hold. */
export class Fold<K, V> {
  model: Map<K, V> | undefined
  changes = 0
  resyncs = 0
  ended = false
  readonly faults: Array<string> = []
  readonly #heard = new Set<string>()

  /** Values are unique per write, so one that is heard again without a rebuild was applied twice. */
  hear(change: TableChange.TableChange<K, V>, rebuilds: number): void {
    if (change._tag === "Snapshot") {
      if (change.resync) this.resyncs++
      else if (this.model !== undefined) this.faults.push("a second first snapshot")
      this.model = new Map(HashMap.entries(change.entries))
      return
    }
    this.changes++
    const model = this.model
    if (model === undefined) {
      this.faults.push("a change before the snapshot")
      return
    }
    if (change._tag === "Deleted") {
      if (!model.has(change.key) || model.get(change.key) !== change.previous) {
        this.faults.push(
          `deleted ${String(change.key)} with previous ${String(change.previous)}, not ${String(model.get(change.key))}`
        )
      }
      model.delete(change.key)
      return
    }
    const known = model.has(change.key) ? Option.some(model.get(change.key)) : Option.none()
    if (JSON.stringify(known) !== JSON.stringify(change.previous)) {
      this.faults.push(
        `set ${String(change.key)} with previous ${JSON.stringify(change.previous)}, not ${JSON.stringify(known)}`
      )
    }
    const id = `${rebuilds} ${String(change.key)} ${JSON.stringify(change.value)}`
    if (this.#heard.has(id)) this.faults.push(`heard twice: ${id}`)
    this.#heard.add(id)
    model.set(change.key, change.value)
  }
}

export interface Subject<K, V> {
  readonly table: KafkaTable.KafkaTable<K, V>
  readonly fold: Fold<K, V>
  /** Every status that was seen, in order. */
  readonly statuses: Array<TableStatus.TableStatus>
  /** Lets virtual time pass while positions are sampled. */
  readonly pass: (millis: number, step?: number) => Effect.Effect<void>
  /** Runs an effect to its end within virtual time. */
  readonly within: <A, E, R>(what: string, millis: number, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  readonly until: (what: string, millis: number, condition: () => boolean) => Effect.Effect<void>
  /** Waits for a status. */
  readonly become: (tag: TableStatus.TableStatus["_tag"], millis?: number) => Effect.Effect<void>
  /** Waits until a status was seen, however shortly. */
  readonly saw: <Tag extends TableStatus.TableStatus["_tag"]>(
    tag: Tag,
    millis?: number
  ) => Effect.Effect<Extract<TableStatus.TableStatus, { readonly _tag: Tag }>>
  readonly contents: () => Map<K, V>
  /** Checks that the table equals the oracle now, behind a barrier. */
  readonly agrees: (millis?: number) => Effect.Effect<void>
  /** Closes the table: it must end in bounded time and leave nothing behind. */
  readonly close: Effect.Effect<void>
  /** The invariants that hold after every fault, and the table's end. */
  readonly verify: (millis?: number) => Effect.Effect<void>
  /** As `verify`, for a table that has failed for good: its contents are frozen, so they are not compared with the log. */
  readonly verifyFailed: (tag: TableError.ReaderError["_tag"]) => Effect.Effect<void>
}

export interface SubjectOptions<K, V> {
  readonly decoding: Decoding<K, V>
  readonly table?: KafkaTable.Options | undefined
  /** Where it keeps a checkpoint, as long as it is open. Default: it keeps none. */
  readonly checkpoints?: Map<string, Uint8Array> | undefined
  /** What the log holds, where a script puts other records in its place. Default: what the embedded Kafka holds. */
  readonly log?: Effect.Effect<ReadonlyArray<MemoryKafka.LoggedRecord>, KafkaError.BrokerError> | undefined
  /** Contents allowed beside the log's own, for what a live table has seen and the log no longer holds. */
  readonly alsoAllowed?: (() => ReadonlyMap<K, V> | undefined) | undefined
  /** Whether nobody else makes requests, so that none may come after the table was closed. Default: true. */
  readonly isAlone?: boolean | undefined
  /** Milliseconds of virtual time that building may take. */
  readonly build?: number | undefined
}

/** A clock that knows how many sleep. */
export class CountingClock implements Clock.Clock {
  sleeping = 0
  readonly #clock: Clock.Clock
  constructor(clock: Clock.Clock) {
    this.#clock = clock
  }
  currentTimeMillisUnsafe() {
    return this.#clock.currentTimeMillisUnsafe()
  }
  currentTimeNanosUnsafe() {
    return this.#clock.currentTimeNanosUnsafe()
  }
  monotonicTimeNanosUnsafe() {
    return this.#clock.monotonicTimeNanosUnsafe()
  }
  get currentTimeMillis() {
    return this.#clock.currentTimeMillis
  }
  get currentTimeNanos() {
    return this.#clock.currentTimeNanos
  }
  get monotonicTimeNanos() {
    return this.#clock.monotonicTimeNanos
  }
  sleep(...args: Parameters<Clock.Clock["sleep"]>) {
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        this.sleeping++
      }),
      () => this.#clock.sleep(...args),
      () =>
        Effect.sync(() => {
          this.sleeping--
        })
    )
  }
}

/** The error that an effect ends with; dies when it succeeds. */
export const failureOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<E, never, R> =>
  Effect.flatMap(Effect.result(effect), (result) =>
    result._tag === "Failure" ? Effect.succeed(result.failure) : Effect.die(new Error("it did not fail"))
  )

/** Builds a table in a scope of its own and watches it. Fails as building fails. */
export const observe = Effect.fnUntraced(function* <K, V>(
  topic: TableTopic.TableTopic<K, V>,
  options: SubjectOptions<K, V>
): Effect.fn.Return<
  Subject<K, V>,
  KafkaTable.StartError,
  KafkaClient.KafkaClient | MemoryKafka.MemoryKafka | Scope.Scope
> {
  const kafka = yield* MemoryKafka.MemoryKafka
  const clock = new CountingClock(yield* Clock.Clock)
  const scope = yield* Scope.make()
  const outer = yield* Scope.Scope
  yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
  const making =
    options.checkpoints === undefined
      ? KafkaTable.make(topic, options.table)
      : KafkaTable.make(topic, { ...options.table, checkpoint: { every: 1000 } }).pipe(
          Effect.provide(Layer.fresh(CheckpointStore.layerMemory(options.checkpoints)))
        )
  const table = yield* making.pipe(
    Scope.provide(scope),
    Effect.provideService(Clock.Clock, clock),
    (build) => within("building the table", options.build ?? 60_000, build),
    Effect.onError(() => Scope.close(scope, Exit.void))
  )

  const fold = new Fold<K, V>()
  const statuses: Array<TableStatus.TableStatus> = []
  let rebuilds = 0
  yield* Stream.runForEach(table.changes, (change) =>
    Effect.gen(function* () {
      rebuilds = (yield* table.health).stats.rebuilds
      fold.hear(change, rebuilds)
    })
  ).pipe(
    Effect.onExit(() => Effect.sync(() => (fold.ended = true))),
    Effect.ignore,
    Effect.forkIn(outer, { startImmediately: true })
  )
  yield* Stream.runForEach(table.statusChanges, (status) => Effect.sync(() => statuses.push(status))).pipe(
    Effect.forkIn(outer, { startImmediately: true })
  )
  yield* settle

  const positions = new Map<number, number>()
  const faults: Array<string> = []
  let generation = 0
  const sample: Effect.Effect<void> = Effect.gen(function* () {
    const { partitions, stats } = yield* table.health
    if (stats.rebuilds + stats.reloads !== generation) positions.clear()
    generation = stats.rebuilds + stats.reloads
    for (const { partition, position } of partitions) {
      const known = positions.get(partition)
      if (known !== undefined && position < known)
        faults.push(`partition ${partition} went from ${known} to ${position}`)
      positions.set(partition, position)
    }
  })

  const contents = () => new Map(table.view)
  const sorted = (map: ReadonlyMap<K, V>) => [...map].map((entry) => JSON.stringify(entry)).sort()

  const wanted = Effect.gen(function* () {
    const log = yield* options.log ?? kafka.log(topic.name)
    const { partitions } = yield* table.health
    return contentsOf(log, partitions.length, options.decoding)
  }).pipe(Effect.orDie)

  const matches = (oracle: ReadonlyMap<K, V>): void => {
    const also = options.alsoAllowed?.()
    const actual = contents()
    if (also === undefined) return assert.deepStrictEqual(sorted(actual), sorted(oracle))
    for (const key of new Set([...actual.keys(), ...oracle.keys(), ...also.keys()])) {
      const allowed = [oracle, also].map((map) => JSON.stringify(map.has(key) ? [map.get(key)] : []))
      const value = JSON.stringify(actual.has(key) ? [actual.get(key)] : [])
      assert.include(allowed, value, `the value of ${String(key)}`)
    }
  }

  const agrees = (millis: number = 60_000): Effect.Effect<void> =>
    Effect.gen(function* () {
      yield* within("a barrier", millis, table.barrier(), sample)
      matches(yield* wanted)
    }).pipe(Effect.orDie)

  const foldsUp = Effect.gen(function* () {
    yield* settle
    assert.deepStrictEqual(fold.faults, [])
    assert.deepStrictEqual(sorted(fold.model ?? new Map()), sorted(contents()), "the folded changes")
    assert.deepStrictEqual(sorted(new Map(HashMap.entries(yield* table.snapshot))), sorted(contents()), "the snapshot")
    assert.strictEqual(table.view.size, contents().size)
    assert.deepStrictEqual(faults, [])
  })

  const close = Effect.gen(function* () {
    const before = contents()
    const last = yield* table.status
    yield* within("closing the table", 1000, Scope.close(scope, Exit.void))
    yield* settle
    assert.strictEqual((yield* table.status)._tag, "Closed")
    assert.isTrue(fold.ended, "the changes have ended")
    assert.deepStrictEqual(sorted(contents()), sorted(before), "contents stay")
    assert.strictEqual(clock.sleeping, 0, "timers left")
    if (options.isAlone !== false) {
      const requests = JSON.stringify([...(yield* kafka.requests)])
      yield* pass(120_000, Effect.void, 10_000)
      assert.strictEqual(JSON.stringify([...(yield* kafka.requests)]), requests, "requests after the table was closed")
    }
    const error = yield* within("a barrier on a closed table", 1000, failureOf(table.barrier()))
    assert.strictEqual(error._tag, last._tag === "Failed" ? last.error._tag : "TableClosed")
  }).pipe(Effect.orDie)

  return {
    table,
    fold,
    statuses,
    contents,
    pass: (millis, step) => pass(millis, sample, step),
    within: (what, millis, effect) => within(what, millis, effect, sample),
    until: (what, millis, condition) => until(what, millis, Effect.sync(condition), sample),
    become: (tag, millis = 60_000) =>
      until(
        `the status ${tag}`,
        millis,
        Effect.map(table.status, (status) => status._tag === tag),
        sample
      ),
    saw: Effect.fnUntraced(function* <Tag extends TableStatus.TableStatus["_tag"]>(tag: Tag, millis: number = 60_000) {
      type Found = Extract<TableStatus.TableStatus, { readonly _tag: Tag }>
      const find = () => statuses.find((status): status is Found => status._tag === tag)
      yield* until(
        `the status ${tag}`,
        millis,
        Effect.sync(() => find() !== undefined),
        sample
      )
      return find()!
    }),
    agrees,
    close,
    verify: Effect.fnUntraced(function* (millis) {
      yield* agrees(millis)
      assert.strictEqual((yield* table.status)._tag, "CaughtUp")
      yield* foldsUp
      yield* close
    }),
    verifyFailed: Effect.fnUntraced(function* (tag) {
      const status = yield* table.status
      if (status._tag !== "Failed") return assert.fail(`the status is ${status._tag}`)
      assert.strictEqual(status.error._tag, tag)
      const error = yield* within("the failure", 1000, failureOf(table.failure))
      assert.strictEqual(error._tag, tag)
      yield* foldsUp
      const waiting = yield* within("a barrier on a failed table", 1000, failureOf(table.barrier()))
      assert.strictEqual(waiting._tag, tag)
      yield* close
    })
  }
})

/** How many requests of a kind come in while virtual time passes. */
export const requestsWhile = Effect.fnUntraced(function* <A, E, R>(effect: Effect.Effect<A, E, R>) {
  const kafka = yield* MemoryKafka.MemoryKafka
  const before = yield* kafka.requests
  yield* effect
  const after = yield* kafka.requests
  let all = 0
  for (const [name, count] of after) all += count - (before.get(name) ?? 0)
  return { all, of: (name: MemoryKafka.RequestName) => (after.get(name) ?? 0) - (before.get(name) ?? 0) }
})
