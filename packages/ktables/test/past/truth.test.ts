/**
 * What a topic's table is said to have been, against everything that was ever written: over random logs that are compacted
 * before and while they are read, cut below, and hold transactions. `SEED=n` runs one case again, `SOAK=1` thousands.
 */
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import { KafkaTable } from "effect-ktables"
import type * as MemoryKafka from "effect-ktables/MemoryKafka"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { type Chance, chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { memory } from "../support/kafka.ts"
import { onScript, Script } from "../support/script.ts"
import { within } from "../support/time.ts"
import { numbers } from "../table/fixtures.ts"

interface Written {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  /** Undefined for the marker of a transaction. */
  readonly key: string | undefined
  readonly value: number | null
  /** Of its transaction; undefined while that is open. */
  readonly outcome: { isCommitted: boolean | undefined }
}

/** What happened, over all seeds: each has to have been tried. */
const counts = { complete: 0, incomplete: 0, missing: 0, races: 0, again: 0, timed: 0, whole: 0 }

const names = ["a", "b", "c", "d", "e", "f"]
const HOUR = 3_600_000

const play = Effect.fnUntraced(function* (chance: Chance, trace: Array<string>) {
  const kafka = yield* memory
  const script = yield* Script
  const partitions = 1 + chance.below(2)
  const lag = chance.pick([0, 0, 10 * HOUR])
  const isMonotone = chance.happens(0.8)
  yield* kafka.createTopic("numbers", {
    partitions,
    config: { "min.compaction.lag.ms": String(lag), "delete.retention.ms": String(1000 * HOUR) }
  })
  const written: Array<Written> = []
  const ends = new Map(Array.from({ length: partitions }, (_, partition) => [partition, 0]))
  const starts = new Map(ends)
  let open: { transaction: MemoryKafka.Transaction; outcome: Written["outcome"]; in: Set<number> } | undefined
  let value = 0
  let isCompacted = false

  const append = Effect.gen(function* () {
    yield* TestClock.adjust(chance.below(4) * HOUR)
    const now = yield* Clock.currentTimeMillis
    const first = chance.pick(names)
    const partition = javaPartitioner(Buffer.from(first), partitions)
    const records = Array.from({ length: 1 + chance.below(3) }, () => chance.pick(names))
      .filter((key) => javaPartitioner(Buffer.from(key), partitions) === partition)
      .concat(first)
      .map((key) => ({
        key,
        value: chance.happens(0.3) ? null : ++value,
        timestamp: isMonotone ? now : Math.max(1, now - chance.below(6) * HOUR)
      }))
    const raw = records.map(({ key, timestamp, value }) => ({
      key,
      timestamp,
      value: value === null ? null : `${value}`
    }))
    const inTransaction = open !== undefined && chance.happens(0.7) ? open : undefined
    const base = yield* inTransaction === undefined
      ? kafka.append("numbers", raw, { partition })
      : inTransaction.transaction.append("numbers", raw, { partition })
    inTransaction?.in.add(partition)
    for (const [i, record] of records.entries()) {
      const outcome = inTransaction?.outcome ?? { isCommitted: true }
      written.push({ partition, offset: base + i, ...record, outcome })
    }
    ends.set(partition, base + records.length)
    trace.push(
      `[${partition}]@${base} ${raw.map(({ key, value }) => `${key}=${value}`).join(" ")}${inTransaction ? " in" : ""}`
    )
  })

  const end = Effect.gen(function* () {
    const isCommitted = chance.happens(0.5)
    trace.push(isCommitted ? "commit" : "abort")
    const { in: enlisted, outcome, transaction } = open!
    open = undefined
    yield* isCommitted ? transaction.commit : transaction.abort
    outcome.isCommitted = isCommitted
    const timestamp = yield* Clock.currentTimeMillis
    for (const partition of enlisted) {
      const offset = ends.get(partition)!
      written.push({ partition, offset, timestamp, key: undefined, value: null, outcome })
      ends.set(partition, offset + 1)
    }
  })

  /** As a broker's cleaner, which keeps away from what is younger than the lag. */
  const compact = (dropTombstones: boolean) =>
    Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      isCompacted = true
      for (const partition of ends.keys()) {
        const young = written.find((one) => one.partition === partition && one.timestamp > now - lag)?.offset
        const below = Math.min(
          lag > 0 && young !== undefined ? young : Infinity,
          chance.below(ends.get(partition)! + 2)
        )
        trace.push(`compact [${partition}] below ${below}${dropTombstones ? " away" : ""}`)
        yield* kafka.compact("numbers", { partition, below, dropTombstones })
      }
    })

  const cut = Effect.gen(function* () {
    const partition = chance.below(partitions)
    const before = chance.below(ends.get(partition)! + 1)
    trace.push(`cut [${partition}] below ${before}`)
    yield* kafka.deleteRecords("numbers", partition, before)
    starts.set(partition, Math.max(starts.get(partition)!, before))
  })

  const step = Effect.suspend((): Effect.Effect<unknown, unknown> => {
    const roll = chance.next()
    if (roll < 0.15) {
      return open === undefined
        ? Effect.map(kafka.beginTransaction(), (transaction) => {
            open = { transaction, outcome: { isCommitted: undefined }, in: new Set() }
          })
        : end
    }
    if (roll < 0.3) return compact(chance.happens(0.3))
    if (roll < 0.32) return cut
    return append
  })
  for (let n = 4 + chance.below(25); n > 0; n--) yield* step

  /** Where what a reader sees ends. */
  const visibleEnd = (partition: number): number =>
    Math.max(
      starts.get(partition)!,
      written.find((one) => one.partition === partition && one.outcome.isCommitted === undefined)?.offset ??
        ends.get(partition)!
    )

  /** The entries that the records below an offset of a partition come to, and from another one on. */
  const truth = (partition: number, offset: number, from = 0): Map<string, Written> => {
    const entries = new Map<string, Written>()
    for (const one of written) {
      if (one.partition !== partition || one.offset >= offset || one.offset < from || one.key === undefined) continue
      if (one.outcome.isCommitted !== true) continue
      if (one.value === null) entries.delete(one.key)
      else entries.set(one.key, one)
    }
    return entries
  }

  const ask = Effect.fnUntraced(function* (point: KafkaTable.LogPoint, isRacing: boolean) {
    if (isRacing) {
      script.on("fetch", (_asks, next) =>
        chance.happens(0.3)
          ? Effect.andThen(
              Effect.sync(() => counts.races++),
              Effect.andThen(Effect.orDie(compact(false)), next)
            )
          : next
      )
    }
    const before = script.requests.describeTopic.length
    const past = yield* within(
      "an answer",
      600_000,
      KafkaTable.at(numbers, point, { timeout: "1 hour", fetch: { maxPartitionBytes: 1 } })
    )
    if (script.requests.describeTopic.length > before + 1) counts.again++
    script.clear("fetch")
    for (const { completeFrom, logStart, offset, partition } of past.partitions) {
      assert.strictEqual(logStart, starts.get(partition))
      const isComplete = offset >= completeFrom
      counts[isComplete ? "complete" : "incomplete"]++
      const expected = truth(partition, offset)
      const told = new Map<string, readonly [number, number]>()
      for (const [key, value] of past.view) {
        const entry = yield* past.getEntry(key)
        if (entry._tag === "Some" && entry.value.partition === partition) told.set(key, [value, entry.value.offset])
      }
      for (const [key, [value, at]] of told) {
        const right = expected.get(key)
        assert.deepStrictEqual([value, at], [right?.value, right?.offset], `${key} below ${offset} of ${partition}`)
      }
      // Where records were cut off, an answer is complete at the log's end only, where a table does not show them either.
      const all = [...expected.values()].filter((one) => one.offset >= logStart)
      if (logStart > 0 && isComplete) assert.strictEqual(offset, visibleEnd(partition))
      if (told.size < all.length) counts.missing++
      if (isComplete) assert.strictEqual(told.size, all.length, `all below ${offset} of ${partition}`)
      if (!isCompacted && starts.get(partition) === 0) {
        counts.whole++
        assert.strictEqual(completeFrom, 0)
      }
      if (starts.get(partition) === 0) assert.isAtMost(completeFrom, visibleEnd(partition))
    }
    return past
  })

  for (let n = 0; n < 4; n++) {
    const point = new Map(
      Array.from(ends.keys(), (partition) => [partition, chance.below(visibleEnd(partition) + 1)] as const)
    )
    trace.push(`at ${[...point.values()].join(", ")}`)
    const isRacing = chance.happens(0.5)
    const past = yield* ask(point, isRacing)
    assert.deepStrictEqual(past.offsets, point)
    // What was in the log then may have been removed since.
    if (isRacing) continue
    // From there on, everywhere.
    const from = new Map(
      past.partitions.map(({ completeFrom, partition }) => {
        const last = Math.max(completeFrom, visibleEnd(partition))
        return [
          partition,
          Math.min(completeFrom + chance.below(last - completeFrom + 1), visibleEnd(partition))
        ] as const
      })
    )
    trace.push(`at ${[...from.values()].join(", ")}, from where on it is complete`)
    const later = yield* ask(from, false)
    for (const { completeFrom, offset, partition } of past.partitions) {
      // Below the offset that was asked for before where that was complete by having no gap.
      const isUpTo = completeFrom > 0 || from.get(partition)! <= offset
      if (isUpTo) assert.isTrue(later.partitions[partition]!.completeFrom <= from.get(partition)!)
    }
  }

  for (let n = 0; n < 2; n++) {
    const from = new Map(Array.from(ends, ([partition, end]) => [partition, chance.below(end + 2)] as const))
    trace.push(`from ${[...from.values()].join(", ")}`)
    const contents = yield* within(
      "a table from there on",
      60_000,
      Effect.scoped(Effect.flatMap(KafkaTable.make(numbers, { from }), ({ entries }) => entries))
    )
    const right = Array.from(from, ([partition, offset]) => {
      const start = Math.max(starts.get(partition)!, Math.min(offset, visibleEnd(partition)))
      return Array.from(truth(partition, visibleEnd(partition), start), ([key, { value }]) => [key, value] as const)
    })
    assert.deepStrictEqual(contents.toSorted(), right.flat().toSorted() as Array<readonly [string, number]>)
  }

  for (let n = 0; n < 4; n++) {
    const now = yield* Clock.currentTimeMillis
    const time = chance.below(now + 2)
    trace.push(`at the time ${time}`)
    const past = yield* ask(new Date(time), chance.happens(0.3))
    if (!isMonotone) continue
    for (const { completeFrom, logStart, offset, partition } of past.partitions) {
      if (offset < completeFrom) continue
      counts.timed++
      // What was there when the first record of the time was written, whether that is still in the log or not.
      const first = written.find((one) => one.partition === partition && one.timestamp >= time)?.offset ?? Infinity
      const right = [...truth(partition, Math.min(first, visibleEnd(partition)))]
      const told = [...past.view].filter(([key]) => javaPartitioner(Buffer.from(key), partitions) === partition)
      assert.deepStrictEqual(
        told.sort(),
        right
          .flatMap(([key, { offset, value }]) => (offset < logStart ? [] : [[key, value] as [string, number]]))
          .sort(),
        `at the time ${time} in ${partition}`
      )
    }
  }
})

describe("a table as it was", () => {
  it.effect(
    "is right about every key that it has, and misses none where it says so, and one that is read from an offset on is right",
    () =>
      Effect.gen(function* () {
        yield* forEachSeed(seedsOf(150, 5000), (seed, trace) => onScript(play(chance(seed), trace)))
        if (process.env["SEED"] !== undefined) return
        for (const [what, count] of Object.entries(counts)) assert.isAbove(count, 5, what)
      }),
    propertyTimeout
  )
})
