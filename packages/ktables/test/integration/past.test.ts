/** Tables as they were, on a real Kafka whose cleaner has run, against everything that was written. */
import { KafkaClientContract, TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schedule, Schema, Stream } from "effect"
import { KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import { chance, forEachSeed } from "../support/chance.ts"
import { onTestKafka, transports } from "./support.ts"

const { ContractAdmin } = KafkaClientContract

const MINUTE = 60_000
const HOUR = 60 * MINUTE

interface Written {
  readonly offset: number
  readonly timestamp: number
  readonly key: string
  readonly value: number | null
}

const names = ["a", "b", "c", "d", "e", "f", "g", "h"]

/** What the records below an offset come to. */
const truth = (written: ReadonlyArray<Written>, offset: number): Map<string, Written> => {
  const entries = new Map<string, Written>()
  for (const one of written) {
    if (one.offset >= offset) continue
    if (one.value === null) entries.delete(one.key)
    else entries.set(one.key, one)
  }
  return entries
}

const valuesOf = (entries: ReadonlyMap<string, Written>) =>
  Object.fromEntries(Array.from(entries, ([key, { value }]) => [key, value]))

const run = Effect.fnUntraced(function* (seed: number) {
  const { admin } = yield* TestKafka.TestKafka
  const transactions = yield* ContractAdmin
  const { below, happens, pick } = chance(seed)
  const name = yield* TestKafka.uniqueName("past")
  const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Finite })
  const lag = seed % 2 === 0 ? 12 * HOUR : 0
  yield* admin.createTopic({
    topic: name,
    config: {
      "cleanup.policy": "compact",
      "segment.ms": String(MINUTE),
      "min.cleanable.dirty.ratio": "0",
      "delete.retention.ms": "86400000",
      "min.compaction.lag.ms": String(lag)
    }
  })
  const writer = yield* KafkaTableWriter.make(topic)
  const written: Array<Written> = []
  let last = 0
  const write = Effect.fnUntraced(function* (key: string, value: number | null, timestamp: number) {
    const { offset } = yield* value === null ? writer.delete(key, { timestamp }) : writer.set(key, value, { timestamp })
    written.push({ offset: offset!, timestamp, key, value })
    last = offset!
  })
  /** One that never counts, or that counts from its commit on; its marker has an offset, too. */
  const transact = Effect.fnUntraced(function* (
    key: string,
    value: number,
    timestamp: number,
    end: "abort" | "commit"
  ) {
    const transaction = yield* transactions.beginTransaction
    yield* transaction.append(name, 0, [{ key, value: String(value), timestamp }])
    if (end === "commit") written.push({ offset: last + 1, timestamp, key, value })
    yield* transaction[end]
    last += 2
    yield* Effect.repeat(
      Effect.map(KafkaTable.at(topic, new Date(8.64e15 - 1)), ({ offsets }) => offsets.get(0)!),
      { until: (end) => end > last, schedule: Schedule.spaced("50 millis") }
    )
  })

  // Two days, of which a lag of half a day keeps the last hours; each minute rolls a segment.
  let time = Date.now() - 48 * HOUR
  for (let n = 0; n < 60; n++) {
    time += n === 40 ? 46 * HOUR : below(2 * MINUTE)
    // Markers are stamped by the broker, later than all these records: no segment is rolled after them, and times go back.
    if (n > 40 && n % 10 === 7 && lag === 0) yield* transact(pick(names), 1000 + n, time, n < 50 ? "abort" : "commit")
    else yield* write(pick(names), happens(0.25) ? null : n, time)
  }
  const end = last + 1

  const offsets = (offset: number) => new Map([[0, offset]])
  const everything = yield* KafkaTable.at(topic, offsets(end))
  assert.isTrue(everything.isComplete)
  assert.deepStrictEqual(Object.fromEntries(everything.view), valuesOf(truth(written, end)))
  // Segments that are not written to any more are cleaned.
  for (let n = 0; n < 3; n++) yield* write(`roll ${n}`, n, (time += 2 * MINUTE))
  const isCleaned = Effect.map(KafkaTable.at(topic, offsets(30)), ({ view }) => view.size < truth(written, 30).size)
  yield* Effect.repeat(isCleaned, { until: (is) => is, schedule: Schedule.spaced("100 millis"), times: 300 })

  const counts = { complete: 0, incomplete: 0, missing: 0 }
  const check = (past: KafkaTable.Past<string, number>, right: ReadonlyMap<string, Written>, what: string) => {
    for (const [key, value] of past.view) assert.strictEqual(value, right.get(key)?.value, `${key} ${what}`)
    if (past.isComplete) assert.strictEqual(past.view.size, right.size, what)
    if (past.view.size < right.size) counts.missing++
    counts[past.isComplete ? "complete" : "incomplete"]++
  }
  for (const offset of [...Array.from({ length: 20 }, () => below(last)), 30, last + 1]) {
    check(yield* KafkaTable.at(topic, offsets(offset)), truth(written, offset), `below ${offset}`)
  }
  for (let n = 0; n < 15 && lag > 0; n++) {
    const moment = pick(written).timestamp + below(3) - 1
    const first = written.find(({ timestamp }) => timestamp >= moment)?.offset ?? Infinity
    check(yield* KafkaTable.at(topic, new Date(moment)), truth(written, first), `at ${moment}`)
  }
  const [partition] = (yield* KafkaTable.at(topic, offsets(last + 1))).partitions
  assert.isAbove(counts.incomplete, 0)
  assert.isAbove(counts.missing, 0)
  assert.isAbove(counts.complete, 0)
  if (lag > 0) {
    // All of the last hours is known, though the rest is thinned out.
    const young = written.find(({ timestamp }) => timestamp > Date.now() - lag)!
    assert.isAtMost(partition!.completeFrom, young.offset)
    assert.isAbove(counts.complete, 5)
  }
  // What is left of each key is the newest of what was written, and all of it from where on that is said.
  for (const key of names) {
    const items = yield* Stream.runCollect(KafkaTable.history(topic, key))
    const ended = items.at(-1)!
    assert(ended._tag === "End")
    const told = items.flatMap((item) => (item._tag === "End" ? [] : [[item.offset, item._tag]]))
    const all = written
      .filter((one) => one.key === key)
      .map(({ offset, value }) => [offset, value === null ? "Deleted" : "Set"])
    if (told.length > 0) assert.deepStrictEqual(told, all.slice(-told.length))
    assert.isAtLeast(told.length, all.filter(([offset]) => (offset as number) >= ended.completeFrom).length)
  }
  // A table from there on has what is newest from there on.
  const from = below(last)
  const table = yield* KafkaTable.make(topic, { from: offsets(from) })
  const newest = truth(
    written.filter(({ offset }) => offset >= from),
    Infinity
  )
  assert.deepStrictEqual(Object.fromEntries(table.view), valuesOf(newest))
}, Effect.scoped)

for (const [index, transport] of transports.entries()) {
  const onKafka = Layer.provideMerge(KafkaClientContract.brokerAdmin, onTestKafka(transport.client))
  layer(onKafka, { excludeTestServices: true, timeout: 300_000 })(
    `the past on Kafka through ${transport.name}`,
    (it) => {
      it.effect("is right about every key that it has, and complete where it says so, with and without a lag", () =>
        forEachSeed([2 * index + 1, 2 * index + 2], run)
      )
    }
  )
}
