/**
 * Tables that keep checkpoints, stopped and started again while anything may happen to their logs and their files, beside
 * tables that read the whole topic. `SEED=n` runs one case again, `SOAK=1` runs thousands.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Scope } from "effect"
import { CheckpointStore, Codec, KafkaClient, KafkaTable, type TableEntry, TableTopic } from "effect-ktables"
import { type Chance, chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { memory, onCluster } from "../support/kafka.ts"
import { makeRandomLog, type Options, randomOptions } from "../support/randomLog.ts"
import { pass, until, within } from "../support/time.ts"
import type { Files } from "./fixtures.ts"

const SECOND = 1000
const MINUTE = 60 * SECOND

/** Numbers by name; whether the codec knows what to make of poison. */
const topicThat = (isRepaired: boolean) =>
  TableTopic.make({
    name: "log",
    key: Codec.string,
    value: Codec.make<number>({
      decode: (bytes: Uint8Array) => {
        const text = Buffer.from(bytes).toString()
        if (/^\d+$/.test(text)) return Effect.succeed(Number(text))
        return isRepaired ? Effect.succeed(-1) : Effect.fail(new Codec.CodecError({ detail: "poison" }))
      },
      encode: (value: number) => Effect.succeed(Buffer.from(String(value)))
    })
  })

interface Counts {
  starts: number
  /** Partitions that went on from a checkpoint, and those that were there. */
  resumed: number
  partitions: number
  /** Starts of which only some partitions did. */
  partly: number
  /** Partitions that went on in a table of other partitions than the one before. */
  regrouped: number
  /** Reasons, without their numbers. */
  readonly reasons: Map<string, number>
}

type Table = KafkaTable.KafkaTable<string, number>

const livesOf = Effect.fnUntraced(function* (random: Chance, options: Options, trace: Array<string>, counts: Counts) {
  const kafka = yield* memory
  const client = yield* KafkaClient.KafkaClient
  const log = yield* makeRandomLog(random, options, trace)
  const retention = random.pick([10, 60]) * SECOND
  const retain = Effect.orDie(client.alterConfig("log", { "delete.retention.ms": String(retention) }))
  yield* retain
  const broker = () => 1 + random.below(options.brokers)
  let files: Files = new Map()
  const isTelling = options.poison && options.onDecodeError === "skip"
  log.beginReading()
  let isRepaired = false
  let headers = random.happens(0.5)
  /** The partitions that tables read; undefined for all. */
  let part: ReadonlyArray<number> | undefined
  const partOf = (): ReadonlyArray<number> | undefined => {
    const some = Array.from({ length: log.partitions() }, (_, partition) => partition).filter(() => random.happens(0.6))
    return some.length === 0 || random.happens(0.5) ? undefined : some
  }

  /** What happens to logs, whoever reads them. */
  const change = (isAway: boolean): Effect.Effect<void> =>
    Effect.suspend(() => {
      const roll = random.next()
      if (roll < 0.6) return log.write
      // Of two live tables that read at their own pace, one may see a value that is gone before the other does, and keep it.
      if (roll < 0.7) return isTelling && !isAway ? Effect.void : log.compactOn(broker())
      if (roll < 0.8) {
        const partition = random.below(log.partitions())
        const to = broker()
        trace.push(`[${partition}] is led by ${to}`)
        return Effect.orDie(kafka.moveLeader("log", partition, to))
      }
      if (roll < 0.9) {
        const millis = random.pick(
          isAway ? [SECOND, retention / 4, retention, 2 * retention] : [100, SECOND, 6 * SECOND]
        )
        trace.push(`pass ${millis}`)
        return pass(millis, Effect.void, Math.max(50, millis / 20))
      }
      if (roll < 0.93) return log.truncate
      if (roll < 0.96) return log.deleteRecords
      if (roll < 0.975) return Effect.andThen(log.recreate, retain)
      if (roll < 0.985) return log.grow
      return Effect.void
    })

  const open = Effect.fnUntraced(function* (kept: Files | undefined) {
    const scope = yield* Scope.make()
    yield* Effect.addFinalizer(() => Scope.close(scope, Exit.void))
    const given = {
      onDecodeError: options.onDecodeError,
      headers,
      partitions: part,
      fetch: { maxPartitionBytes: kept === undefined ? 1_000_000 : random.pick([1, 300, 1_000_000]) },
      metadataRefresh: random.pick([1000, 30_000])
    } as const
    const topic = topicThat(isRepaired)
    const making =
      kept === undefined
        ? KafkaTable.make(topic, given)
        : Effect.provide(
            KafkaTable.make(topic, { ...given, checkpoint: { every: random.pick([200, SECOND, 5 * SECOND]) } }),
            Layer.fresh(CheckpointStore.layerMemory(kept))
          )
    const table: Table = yield* within("building a table", MINUTE, Scope.provide(making, scope))
    return { table, close: within("closing a table", 10 * SECOND, Scope.close(scope, Exit.void)) }
  })

  const entriesOf = (table: Table) =>
    Effect.map(
      Effect.forEach([...table.view.keys()].sort(), (key) => table.getEntry(key)),
      (entries) => entries.map((entry): TableEntry.TableEntry<string, number> => Option.getOrThrow(entry))
    )
  const isComplete = (table: Table) => Effect.map(table.status, ({ _tag }) => _tag === "CaughtUp")
  const complete = (table: Table) => until("a complete table", 2 * MINUTE, isComplete(table))
  const agree = Effect.fnUntraced(function* (kept: Table, whole: Table) {
    trace.push("compare")
    assert.deepStrictEqual(yield* entriesOf(kept), yield* entriesOf(whole))
  })
  /** An open transaction would hold up a barrier: two long polls show what there is to be seen. */
  const settle = (kept: Table, whole: Table) =>
    Effect.andThen(pass(11 * SECOND, Effect.void, 200), Effect.andThen(complete(kept), complete(whole)))

  for (let i = random.below(40); i > 0; i--) yield* log.write
  for (let life = 2 + random.below(4); life > 0; life--) {
    const partBefore = part
    if (random.happens(0.3)) part = partOf()
    trace.push(`start of ${part?.join() ?? "all"} with ${[...files.values()].map(({ length }) => length).join()} bytes`)
    const kept = yield* open(files)
    const checkpoint = Option.getOrThrow((yield* kept.table.health).checkpoint)
    trace.push(`resumed ${checkpoint.resumed.join()} ${checkpoint.discarded.map(({ reason }) => reason).join("; ")}`)
    if (files.size > 0) {
      counts.starts++
      const read = part?.filter((partition) => partition < log.partitions()).length ?? log.partitions()
      counts.partitions += read
      counts.resumed += checkpoint.resumed.length
      if (checkpoint.resumed.length > 0 && checkpoint.resumed.length < read) counts.partly++
      if (partBefore?.join() !== part?.join()) counts.regrouped += checkpoint.resumed.length
    }
    for (const { reason } of checkpoint.discarded) {
      const kind = reason.replaceAll(/[\d.]+|[0-9a-f]{8,}\S*/g, "n")
      counts.reasons.set(kind, (counts.reasons.get(kind) ?? 0) + 1)
    }
    const whole = yield* open(undefined)
    yield* complete(kept.table)
    yield* complete(whole.table)
    yield* agree(kept.table, whole.table)
    for (let i = random.below(20); i > 0; i--) yield* change(false)
    // Of two live tables one may have read what was committed, of which the other finds the marker lost.
    yield* log.settleTransactions
    yield* settle(kept.table, whole.table)
    yield* agree(kept.table, whole.table)
    yield* whole.close
    for (let i = random.below(5); i > 0; i--) yield* log.write
    if (random.happens(0.5)) {
      trace.push("close")
      yield* kept.close
    } else {
      // What is there when the process is gone; the last write may be torn.
      const left = new Map(Array.from(files, ([name, bytes]) => [name, bytes.slice()]))
      yield* kept.close
      files = left
      trace.push("kill")
      for (const [name, bytes] of left) {
        const at = random.below(bytes.length + 1)
        if (random.happens(0.2)) {
          trace.push(`cut at ${at} of ${bytes.length}`)
          left.set(name, bytes.slice(0, at))
        } else if (random.happens(0.1) && at < bytes.length) {
          trace.push(`flip a bit of byte ${at} of ${bytes.length}`)
          bytes[at]! ^= 1 << random.below(8)
        }
      }
    }
    for (let i = random.pick([0, 2, 10, 20]); i > 0; i--) yield* change(true)
    if (random.happens(0.3)) isRepaired = !isRepaired
    if (random.happens(0.05)) headers = !headers
    if (random.happens(0.7)) yield* log.settleTransactions
  }
})

describe("a start from a checkpoint", () => {
  it.effect(
    "shows what a full replay shows, and so does what follows, whatever happened to log and file meanwhile",
    () =>
      Effect.gen(function* () {
        const counts: Counts = { starts: 0, resumed: 0, partitions: 0, partly: 0, regrouped: 0, reasons: new Map() }
        yield* forEachSeed(seedsOf(60, 4000), (seed, trace) => {
          const random = chance(seed)
          const options: Options = { ...randomOptions(random), isolation: "read_committed", keys: "names" }
          trace.push(JSON.stringify(options))
          return onCluster(livesOf(random, options, trace, counts), { brokers: options.brokers })
        })
        if (process.env["COUNTS"] !== undefined) {
          process.stdout.write(
            `${JSON.stringify({ ...counts, reasons: Object.fromEntries(counts.reasons) }, null, 2)}\n`
          )
        }
        // Starts that never go on from a checkpoint would prove nothing.
        if (counts.starts > 40) {
          assert.isAbove(counts.resumed, counts.partitions / 3)
          assert.isAbove(counts.regrouped, counts.resumed / 20)
        }
      }),
    propertyTimeout
  )
})
