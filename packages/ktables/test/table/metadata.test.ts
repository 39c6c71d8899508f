/** What a table knows of its entries beside keys and values: places, timestamps, headers. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, HashMap, Option, Schema, Stream } from "effect"
import { Codec, KafkaTable, Table, type TableEntry, TableTopic } from "effect-ktables"
import { type Chance, chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { memory, onCluster } from "../support/kafka.ts"
import { headersOf, makeRandomLog, randomOptions, tableOptionsOf, topicOf } from "../support/randomLog.ts"
import { pass, settle, until, within } from "../support/time.ts"
import { fetched, onScript, Script } from "../support/script.ts"
import { ATTRIBUTES, BATCH_LENGTH, CRC, LOG_OVERHEAD } from "../../src/internal/records/batchFormat.ts"
import { crc32c } from "../../src/internal/records/crc32c.ts"
import { eventually, numbers, onMemory, services } from "./fixtures.ts"

type Entry = TableEntry.WithHeaders<string | number, number>

/** A codec that needs an effect for some values, and so interrupts the loop that applies records. */
const lateValue = Codec.make<number>({
  decode: (bytes) => {
    const text = Buffer.from(bytes).toString()
    if (!/^-?\d+$/.test(text)) return Effect.fail(new Codec.CodecError({ detail: "no number" }))
    return Number(text) % 3 === 0 ? Effect.as(Effect.yieldNow, Number(text)) : Effect.succeed(Number(text))
  },
  encode: (value) => Effect.succeed(Buffer.from(String(value)))
})

const plainHeaders = (headers: ReadonlyArray<TableEntry.Header>) =>
  headers.map(({ key, value }) => [key, value === null ? null : Buffer.from(value).toString("latin1")])

const shown = (entries: Iterable<readonly [string | number, Entry]>) =>
  Array.from(entries, ([key, { headers, offset, partition, timestamp, value }]) =>
    JSON.stringify([key, value, partition, offset, timestamp, plainHeaders(headers)])
  ).sort()

/** The length of the last header's value says one more byte than there is. */
const damagedAfterFirst = (records: Buffer): Buffer => {
  for (let start = 0; start < records.length;) {
    const end = start + LOG_OVERHEAD + records.readInt32BE(start + BATCH_LENGTH)
    const batch = records.subarray(start, end)
    if (batch.readBigInt64BE(0) > 0n) {
      batch[batch.length - 2] = 4
      batch.writeUInt32BE(crc32c(batch, ATTRIBUTES, batch.length), CRC)
    }
    start = end
  }
  return records
}

const randomFetch = (random: Chance): KafkaTable.Options => ({
  fetch: { maxPartitionBytes: random.pick([1, 300, 1_000_000]) },
  metadataRefresh: 1000
})

describe("metadata", () => {
  it.effect(
    "of entries is that of their records, loaded and live, in transactions, compressed, rebuilt and decoded late",
    () =>
      forEachSeed(seedsOf(60, 4000), (seed, trace) => {
        const random = chance(seed)
        const options = { ...randomOptions(random), brokers: 1 }
        trace.push(JSON.stringify(options))
        return onCluster(
          Effect.gen(function* () {
            const kafka = yield* memory
            const log = yield* makeRandomLog(random, options, trace)
            for (let i = random.below(40); i > 0; i--) yield* log.write
            if (random.happens(0.2)) yield* log.compactAway
            log.beginReading()
            const topic = topicOf(options)
            const table = yield* within(
              "building the table",
              10_000,
              KafkaTable.make(random.happens(0.5) ? { ...topic, value: lateValue } : topic, {
                ...tableOptionsOf(options),
                ...randomFetch(random),
                headers: true,
                ensureTopic: false
              })
            )
            const derived = yield* KafkaTable.withMetadata(table)
            const stateful = yield* Table.filter(derived, ({ headers }) => headers.length % 2 === 0)
            let folded = new Map<string | number, Entry>()
            const problems: Array<string> = []
            yield* Effect.forkScoped(
              Stream.runForEach(derived.changes, (change) =>
                Effect.sync(() => {
                  if (change._tag === "Snapshot") folded = new Map(change.entries)
                  else {
                    const before = folded.get(change.key)
                    const previous = change._tag === "Set" ? Option.getOrUndefined(change.previous) : change.previous
                    if (JSON.stringify(before) !== JSON.stringify(previous))
                      problems.push(`the entry before that of ${change.key}`)
                    if (change._tag === "Set") folded.set(change.key, change.value)
                    else folded.delete(change.key)
                  }
                })
              ),
              { startImmediately: true }
            )
            const agrees = Effect.gen(function* () {
              yield* settle
              const records = new Map((yield* kafka.log("log")).map((one) => [`${one.partition}:${one.offset}`, one]))
              assert.strictEqual(derived.view.size, table.view.size)
              for (const [key, entry] of derived.view) {
                assert.strictEqual(entry.key, key)
                assert.strictEqual(table.view.get(key), entry.value)
                assert.deepStrictEqual(plainHeaders(entry.headers), plainHeaders(headersOf(entry.value)))
                assert.deepStrictEqual(yield* table.getEntry(key), Option.some(entry))
                const record = records.get(`${entry.partition}:${entry.offset}`)
                // It may be cleaned away, while a value after it does not decode.
                if (record === undefined) continue
                assert.strictEqual(record.value?.toString(), String(entry.value))
                assert.strictEqual(record.timestamp, entry.timestamp)
              }
              assert.deepStrictEqual(shown(folded), shown(derived.view), "the folded changes")
              assert.deepStrictEqual(
                shown(stateful.view),
                shown([...derived.view].filter(([, { headers }]) => headers.length % 2 === 0))
              )
            })
            yield* agrees
            for (let i = random.below(30); i > 0; i--) {
              const roll = random.next()
              if (roll < 0.7) yield* log.write
              else if (roll < 0.85) yield* pass(random.pick([0, 100, 1000]), Effect.void, 100)
              else if (roll < 0.9) yield* log.deleteRecords
              else if (roll < 0.93) yield* log.recreate
              else if (roll < 0.96) yield* log.grow
              else yield* log.truncate
            }
            yield* log.settleTransactions
            trace.push("end")
            // A log that was cut shows that with the next election.
            for (let p = 0; p < log.partitions(); p++) yield* kafka.moveLeader("log", p, 1)
            yield* pass(10_000, Effect.void, 500)
            yield* within("a barrier", 60_000, table.barrier())
            yield* until("completeness", 60_000, table.isCaughtUp)
            yield* agrees
            assert.deepStrictEqual(problems, [])
          }),
          { requestTimeout: 10_000 }
        )
      }),
    propertyTimeout
  )

  it.effect("shows a value that is written again, and of several records in one commit the last", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("services")
        const value = JSON.stringify({ host: "a", port: 1 })
        const record = (timestamp: number) => ({ key: "billing", value, timestamp })
        yield* kafka.append("services", [record(1)])
        const table = yield* KafkaTable.make(services)
        const entries = yield* KafkaTable.withMetadata(table)
        const hosts = yield* Table.map(entries, ({ value }) => value.host)
        const heard: Array<number> = []
        const hostsHeard: Array<string> = []
        const hear = <V>(from: Table.Table<string, V, unknown>, list: Array<V>) =>
          Effect.forkScoped(
            Stream.runForEach(from.changes, (change) =>
              Effect.sync(() => {
                if (change._tag === "Snapshot") list.push(...HashMap.values(change.entries))
                else if (change._tag === "Set") list.push(change.value)
              })
            ),
            { startImmediately: true }
          )
        yield* hear(yield* Table.map(entries, ({ timestamp }) => timestamp), heard)
        yield* hear(hosts, hostsHeard)
        yield* kafka.append("services", [record(2)])
        yield* table.barrier()
        yield* kafka.append("services", [record(3), record(4), { key: "other", value: null }, record(5)])
        yield* table.barrier()
        yield* eventually("all changes", () => heard.length === 3)
        assert.deepStrictEqual(heard, [1, 2, 5])
        assert.deepStrictEqual(hostsHeard, ["a"])
      })
    )
  )

  it.effect("of a table that was not asked to keep headers has none, and no more bytes count", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* memory
        const topic = TableTopic.make({ name: "plain", key: Schema.String, value: Schema.Int })
        yield* kafka.createTopic("plain")
        const headers = [{ key: "h", value: new Uint8Array(1000) }]
        yield* kafka.append("plain", [{ key: "k", value: "1", headers }])
        const table = yield* KafkaTable.make(topic, { maxBytes: 100 })
        assert.notProperty(Option.getOrThrow(yield* table.getEntry("k")), "headers")
        const failed = yield* Effect.flip(KafkaTable.make(topic, { maxBytes: 100, headers: true }))
        assert.strictEqual(failed._tag, "TableTooLarge")
        const keeping = yield* KafkaTable.make(topic, { maxBytes: 1100, headers: true })
        yield* kafka.append("plain", [{ key: "j", value: "1", headers }])
        assert.strictEqual((yield* Effect.flip(keeping.failure))._tag, "TableTooLarge")
        yield* table.barrier()
        assert.strictEqual(table.view.size, 2)
      })
    )
  )

  it.effect("that is damaged refuses the record's value, loaded and live, as one that does not decode", () =>
    onScript(
      Effect.gen(function* () {
        const kafka = yield* memory
        const script = yield* Script
        yield* kafka.createTopic("numbers")
        // A header of two bytes where there is one, in every batch but the first.
        script.on(
          "fetch",
          fetched(({ records }) => ({ records: damagedAfterFirst(Buffer.from(records)) }))
        )
        const write = (value: string) =>
          kafka.append("numbers", [{ key: "k", value, headers: [{ key: "h", value: Uint8Array.of(1) }] }])
        yield* write("1")
        yield* write("2")
        const headersOf = (table: KafkaTable.WithHeaders<string, number>) =>
          Effect.map(table.getEntry("k"), (entry) => {
            const { headers, offset, value } = Option.getOrThrow(entry)
            return [value, offset, plainHeaders(headers)] as const
          })
        const table = yield* KafkaTable.make(numbers, { headers: true })
        assert.deepStrictEqual(yield* headersOf(table), [1, 0, [["h", "\u0001"]]])
        yield* write("3")
        yield* table.barrier()
        assert.deepStrictEqual(yield* headersOf(table), [1, 0, [["h", "\u0001"]]])
        // One for each record of the key that was decided about.
        assert.strictEqual((yield* table.health).stats.valueDecodeErrors, 2)
        const removing = yield* KafkaTable.make(numbers, { headers: true, onDecodeError: "remove" })
        assert.strictEqual(removing.view.size, 0)
        // Whoever keeps none does not look at them.
        assert.strictEqual((yield* KafkaTable.make(numbers)).view.get("k"), 3)
      })
    )
  )

  it.effect("of a topic that stamps its records is the broker's time", () =>
    onMemory(
      Effect.gen(function* () {
        const kafka = yield* memory
        yield* kafka.createTopic("services", { config: { "message.timestamp.type": "LogAppendTime" } })
        yield* kafka.append("services", [{ key: "a", value: JSON.stringify({ host: "a", port: 1 }), timestamp: 5 }])
        yield* pass(1000)
        yield* kafka.append("services", [{ key: "b", value: JSON.stringify({ host: "b", port: 1 }), timestamp: 5 }])
        const table = yield* KafkaTable.make(services)
        const timeOf = (key: string) => Effect.map(table.getEntry(key), (entry) => Option.getOrThrow(entry).timestamp)
        assert.strictEqual(yield* timeOf("a"), 0)
        assert.strictEqual(yield* timeOf("b"), 1000)
      })
    )
  )
})
