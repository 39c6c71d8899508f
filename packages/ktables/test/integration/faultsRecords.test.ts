/** Records that are written to harm a table: by another partitioner, against its codec, and against its hashes. */
import { TestKafka } from "@effect-ktables/testing"
import { assert, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Codec, KafkaTable, KafkaTableWriter, TableTopic } from "effect-ktables"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { crc32 } from "node:zlib"
import { collidingText } from "../support/collidingText.ts"
import { until } from "./faults/until.ts"
import { onTestKafka, transports } from "./support.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** Megabytes in use. */
const heap = (): number => {
  for (let round = 0; round < 3; round++) collectGarbage()
  return process.memoryUsage().heapUsed / 1e6
}

const PARTITIONS = 4
const CHUNK = 10_000

const chunks = <A>(count: number, make: (n: number) => A): ReadonlyArray<ReadonlyArray<A>> =>
  Array.from({ length: Math.ceil(count / CHUNK) }, (_, chunk) =>
    Array.from({ length: Math.min(CHUNK, count - chunk * CHUNK) }, (_, n) => make(chunk * CHUNK + n))
  )

const setMany = <K, V>(
  writer: KafkaTableWriter.KafkaTableWriter<K, V>,
  count: number,
  entry: (n: number) => readonly [K, V]
) => Effect.forEach(chunks(count, entry), (chunk) => writer.setAll(chunk), { discard: true })

const timed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const since = performance.now()
    return Effect.map(effect, (value) => ({ value, millis: performance.now() - since }))
  })

/** Bytes that an older, unseeded hash gave one place: a step of it can be undone, so that the last four make up for others. */
const chosenBytes = (n: number): Uint8Array => {
  const step = (hash: number): number => {
    const mixed = Math.imul(hash, 0x2c1b3c6d)
    return mixed ^ (mixed >>> 15)
  }
  const key = Buffer.alloc(8)
  key.writeInt32LE(n, 0)
  key.writeInt32LE(step(8 ^ n) ^ 1234, 4)
  return new Uint8Array(key)
}

interface Tree {
  readonly children: ReadonlyArray<Tree>
}
const Tree = Schema.Struct({ children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)) })
const deepTree = `${'{"children":['.repeat(20_000)}${"]}".repeat(20_000)}`

const parsed = Codec.string.pipe(
  Codec.map(
    (text): unknown => JSON.parse(text),
    (value) => JSON.stringify(value)
  )
)

/** Codecs, each with a text that breaks it. */
const poisons: ReadonlyArray<readonly [name: string, codec: Codec.Codec<unknown>, good: string, bad: string]> = [
  ["a codec that throws", parsed, "1", "{"],
  ["deep JSON under a recursive schema", Codec.json(Tree) as Codec.Codec<unknown>, '{"children":[]}', deepTree]
]

for (const transport of transports) {
  layer(onTestKafka(transport.client), { excludeTestServices: true, timeout: 300_000 })(
    `records on Kafka, through ${transport.name},`,
    (it) => {
      it.effect(
        "all in other partitions than Java's hash names cost no rebuild and no memory, and are read right",
        () =>
          Effect.gen(function* () {
            const name = yield* TestKafka.uniqueName("foreign")
            const topic = TableTopic.make({ name, key: Schema.String, value: Schema.Int, partitions: PARTITIONS })
            // As librdkafka's default does it: by a checksum.
            const writer = yield* KafkaTableWriter.make(topic, {
              partitioner: (key, partitions) => crc32(key) % partitions
            })
            const early = yield* KafkaTable.make(topic)
            const expected = new Map(Array.from({ length: 3000 }, (_, n) => [`key-${n}`, n]))
            yield* writer.setAll([...expected])
            const loaded = yield* KafkaTable.make(topic)
            for (let n = 0; n < 3000; n += 3) {
              expected.set(`key-${n}`, -n)
              yield* Effect.asVoid(writer.set(`key-${n}`, -n))
            }
            for (let n = 0; n < 3000; n += 10) {
              expected.delete(`key-${n}`)
              yield* Effect.asVoid(writer.delete(`key-${n}`))
            }
            yield* Effect.forEach([early, loaded], (table) => table.barrier())
            const before = heap()
            yield* setMany(writer, 150_000, (n) => [`short-${n}`, n])
            yield* Effect.forEach(
              chunks(150_000, (n) => `short-${n}`),
              (chunk) =>
                Effect.forEach(chunk, (key) => writer.delete(key), { concurrency: "unbounded", discard: true }),
              { discard: true }
            )
            yield* Effect.forEach([early, loaded], (table) => table.barrier())
            // Two tables that remember every deletion would hold 30 MB more.
            assert.isBelow(heap() - before, 12)
            const fresh = yield* KafkaTable.make(topic)
            for (const table of [early, loaded, fresh]) {
              assert.deepStrictEqual(new Map(yield* table.entries), expected)
              assert.strictEqual((yield* table.health).stats.rebuilds, 0)
            }
          })
      )

      for (const [what, codec, good, bad] of poisons) {
        for (const policy of ["skip", "remove"] as const) {
          it.effect(`that break it (${what}) are one DecodeError each under ${policy}, loaded and followed`, () =>
            Effect.gen(function* () {
              const name = yield* TestKafka.uniqueName("poison")
              const texts = yield* KafkaTableWriter.make(
                TableTopic.make({ name, key: Schema.String, value: Codec.string, partitions: 1 })
              )
              yield* texts.setAll([
                ["a", good],
                ["b", good],
                ["a", bad],
                ["c", good]
              ])
              const topic = TableTopic.make({ name, key: Schema.String, value: codec })
              const open = KafkaTable.make(topic, { onDecodeError: policy })
              const table = yield* open
              const first = policy === "skip" ? ["a", "b", "c"] : ["b", "c"]
              assert.deepStrictEqual((yield* table.keys).toSorted(), first)
              yield* texts.setAll([
                ["b", bad],
                ["d", good]
              ])
              yield* table.barrier()
              const { stats, status } = yield* table.health
              assert.strictEqual(status._tag, "CaughtUp")
              assert.strictEqual(stats.valueDecodeErrors, 2)
              const later = policy === "skip" ? ["a", "b", "c", "d"] : ["c", "d"]
              for (const one of [table, yield* open]) assert.deepStrictEqual((yield* one.keys).toSorted(), later)
            })
          )
        }
      }

      it.effect("whose keys were chosen to have one hash load in the time of any others", () =>
        Effect.gen(function* () {
          const count = 80_000
          const load = Effect.fnUntraced(function* (kind: string, key: (n: number) => Uint8Array) {
            const name = yield* TestKafka.uniqueName(kind)
            const topic = TableTopic.make({ name, key: Codec.bytes, value: Schema.Int, partitions: 1 })
            const writer = yield* KafkaTableWriter.make(topic)
            yield* setMany(writer, count, (n) => [key(n), n])
            const { millis, value: table } = yield* timed(KafkaTable.make(topic))
            assert.strictEqual(yield* table.size, count)
            const live = yield* timed(
              Effect.andThen(
                setMany(writer, count, (n) => [key(n), -n]),
                table.barrier()
              )
            )
            assert.strictEqual(table.view.get(key(7)), -7)
            return { load: millis, live: live.millis }
          })
          const others = yield* load("any", (n) => new Uint8Array(Buffer.from(`${n}`.padStart(8))))
          const chosen = yield* load("chosen", chosenBytes)
          // Forty seconds, where each is looked for in a list of all.
          assert.isBelow(chosen.load, 5 * others.load + 3000)
          assert.isBelow(chosen.live, 5 * others.live + 3000)
        })
      )

      it.effect("whose keys are structs of texts that were chosen to have one hash load and are followed", () =>
        Effect.gen(function* () {
          const name = yield* TestKafka.uniqueName("structs")
          const topic = TableTopic.make({
            name,
            key: Codec.json(Schema.Struct({ shop: Schema.String, kind: Schema.String })),
            value: Schema.Int,
            partitions: 2
          })
          const id = (n: number) => ({ shop: collidingText(n), kind: "order" })
          const writer = yield* KafkaTableWriter.make(topic)
          yield* writer.setAll(Array.from({ length: 6000 }, (_, n) => [id(n), 1] as const))
          const { millis, value: table } = yield* timed(KafkaTable.make(topic))
          // It did not end within 45 seconds where all of them were compared with each other.
          assert.isBelow(millis, 15_000)
          yield* writer.setAll(Array.from({ length: 2000 }, (_, n) => [id(6000 + n), 2] as const))
          yield* writer.delete(id(0))
          yield* until(
            "all are read",
            Effect.map(table.size, (size) => size === 7999),
            "30 seconds"
          )
          assert.deepStrictEqual(
            [0, 1, 7999].map((n) => table.view.get(id(n))),
            [undefined, 1, 2]
          )
        })
      )
    }
  )
}
