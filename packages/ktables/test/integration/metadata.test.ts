/** Headers and timestamps on a real Kafka, beside Java's clients, both ways. */
import { TestKafka } from "@effect-ktables/testing"
import { JavaPeer } from "@effect-ktables/testing/interop"
import { assert, describe, layer } from "@effect/vitest"
import { Effect, Layer, Option, Schema } from "effect"
import { KafkaTable, KafkaTableWriter, type TableEntry, TableTopic } from "effect-ktables"
import { chance } from "../support/chance.ts"
import { onTestKafka, transports } from "./support.ts"

const missing = JavaPeer.unavailable()
const reason = missing === undefined ? "" : ` (skipped: ${missing})`

const base64 = (value: Uint8Array | null): string | null => value && Buffer.from(value).toString("base64")

const shown = (headers: ReadonlyArray<TableEntry.Header>) =>
  headers.map(({ key, value }) => ({ key, value: base64(value) }))

const compressions = ["none", "gzip", "snappy", "lz4", "zstd"] as const

/** Random headers: of one key, without a value, of every length, in the order that they are in. */
const records = (seed: number) => {
  const { below, happens, pick } = chance(seed)
  return Array.from({ length: 60 }, (_, n) => ({
    key: `k${below(25)}`,
    value: n,
    timestamp: 1_700_000_000_000 + below(1_000_000),
    headers: Array.from({ length: below(5) }, () => ({
      key: pick(["", "trace", "trace", "ключ 🗝️"]),
      value: happens(0.2) ? null : Uint8Array.from({ length: pick([0, 1, 16, 3000]) }, () => below(256))
    }))
  }))
}

for (const transport of transports) {
  const onKafka = JavaPeer.layer.pipe(Layer.provideMerge(onTestKafka(transport.client)))
  describe.skipIf(missing !== undefined)(`metadata beside Java's clients${reason}`, () => {
    layer(onKafka, { excludeTestServices: true, timeout: 300_000 })(
      `metadata on Kafka through ${transport.name}`,
      (it) => {
        it.effect("is what Java's producer wrote, loaded and live, in every compression", () =>
          Effect.gen(function* () {
            const java = yield* JavaPeer.JavaPeer
            const name = yield* TestKafka.uniqueName("headers")
            const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int, partitions: 2 })
            yield* java.createTopic({ topic: name, partitions: 2, config: { "cleanup.policy": "compact" } })
            const written = new Map<string, ReturnType<typeof records>[number]>()
            const write = (seed: number, compression: (typeof compressions)[number]) =>
              Effect.gen(function* () {
                const all = records(seed)
                for (const record of all) written.set(record.key, record)
                yield* java.produce({
                  topic: name,
                  compression,
                  records: all.map((record) => ({ ...record, value: String(record.value) }))
                })
              })
            for (const [seed, compression] of compressions.entries()) yield* write(seed, compression)
            const table = yield* KafkaTable.make(topic, { headers: true })
            const entries = yield* KafkaTable.withMetadata(table)
            const agrees = (derived: typeof entries) => {
              assert.strictEqual(derived.view.size, written.size)
              for (const [key, record] of written) {
                const entry = derived.view.get(key)!
                assert.deepStrictEqual(
                  { value: entry.value, timestamp: entry.timestamp, headers: shown(entry.headers) },
                  { value: record.value, timestamp: record.timestamp, headers: shown(record.headers) }
                )
              }
            }
            agrees(entries)
            for (const [seed, compression] of compressions.entries()) {
              yield* write(100 + seed, compression)
              yield* table.barrier()
              agrees(entries)
            }
          })
        )

        for (const compression of compressions) {
          it.effect(`that is written under compression ${compression} is what Java's consumer reads`, () =>
            Effect.gen(function* () {
              const java = yield* JavaPeer.JavaPeer
              const name = yield* TestKafka.uniqueName("written")
              const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int })
              const writer = yield* KafkaTableWriter.make(topic, { compression })
              const all = records(7)
              yield* writer.setAll(
                all.map(({ headers, key, timestamp, value }) => [key, value, { headers, timestamp }])
              )
              yield* writer.delete("k0", { headers: [{ key: "why", value: "gone" }], timestamp: 5 })
              const read = (yield* java.committedRecords(name)).map(({ headers, key, timestamp, value }) => ({
                key: Buffer.from(key!, "base64").toString(),
                value: value === null ? null : Number(Buffer.from(value, "base64").toString()),
                timestamp,
                headers
              }))
              assert.deepStrictEqual(read, [
                ...all.map((record) => ({ ...record, headers: shown(record.headers) })),
                { key: "k0", value: null, timestamp: 5, headers: [{ key: "why", value: base64(Buffer.from("gone")) }] }
              ])
            })
          )
        }

        it.effect("has the broker's time where the topic stamps its records, in acknowledgement and entry", () =>
          Effect.gen(function* () {
            const name = yield* TestKafka.uniqueName("stamped")
            const topic = TableTopic.make({
              name,
              key: Schema.String,
              value: Schema.Int,
              config: { "message.timestamp.type": "LogAppendTime" }
            })
            const writer = yield* KafkaTableWriter.make(topic)
            const table = yield* KafkaTable.make(topic)
            const before = Date.now()
            for (const key of ["live", "loaded"]) {
              const ack = yield* writer.set(key, 1, { timestamp: 5 })
              assert.isAtLeast(ack.timestamp, before - 60_000)
              yield* table.awaitOffset(ack)
              const reader = key === "live" ? table : yield* KafkaTable.make(topic)
              const entry = Option.getOrThrow(yield* reader.getEntry(key))
              assert.deepStrictEqual([entry.timestamp, entry.offset], [ack.timestamp, ack.offset])
            }
          })
        )
      }
    )
  })
}
