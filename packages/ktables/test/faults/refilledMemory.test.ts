/**
 * Random logs replayed by a client that puts its answers where the reader says, and spoils that memory whenever it gets it:
 * what is filled again while something still lies there comes out wrong. `SEED=n` runs one case again.
 */
import { assert, describe, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { Codec, type KafkaClient, KafkaTable, TableTopic } from "effect-ktables"
import type * as MemoryKafka from "effect-ktables/MemoryKafka"
import { createHash } from "node:crypto"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"
import { chance, forEachSeed, propertyTimeout, seedsOf } from "../support/chance.ts"
import { memory } from "../support/kafka.ts"
import { contentsOf } from "../support/oracle.ts"
import { altered, onScript, Script } from "../support/script.ts"
import { pass, within } from "../support/time.ts"

const topic = TableTopic.make({ name: "log", key: Codec.string, value: Codec.bytes })

const digest = (bytes: Uint8Array): string => `${bytes.length} ${createHash("sha1").update(bytes).digest("hex")}`

/** Lengths about the one up to which keys are told apart by words. */
const keyOf = (n: number): string => `${n}`.padEnd(n % 40, "k")

/** Puts the record sets of an answer one behind the other into memory of the reader's. */
const putInto = (
  answer: KafkaClient.FetchAnswer,
  allocate: (bytes: number) => Buffer,
  onMemory: (memory: ArrayBufferLike) => void
): KafkaClient.FetchAnswer => {
  const into = allocate(answer.partitions.reduce((sum, { records }) => sum + records.length, 100))
  onMemory(into.buffer)
  Buffer.from(into.buffer).fill(0xff)
  let at = 50
  return {
    ...answer,
    partitions: answer.partitions.map((partition) => {
      const from = at
      at += partition.records.copy(into, at)
      return { ...partition, records: into.subarray(from, at) }
    })
  }
}

describe("a replay whose memory is filled again", () => {
  it.effect(
    "shows what the log holds, whatever its slices, its brokers and its time-outs",
    () => {
      let refilled = 0
      const seeds = seedsOf(25, 1000)
      return forEachSeed(seeds, (seed, trace) => {
        const random = chance(seed)
        const brokers = 1 + random.below(2)
        const partitions = 1 + random.below(4)
        return onScript(
          Effect.gen(function* () {
            const kafka = yield* memory
            const script = yield* Script
            yield* kafka.createTopic("log", { partitions })
            let written = 0
            const keys = 1 + random.below(400)
            const record = (partition: number, largest: number): MemoryKafka.MemoryRecord => {
              let key = ""
              do key = keyOf(random.below(keys) + 1000 * random.below(20))
              while (javaPartitioner(Buffer.from(key), partitions) !== partition)
              if (random.happens(0.15)) return { key, value: null }
              const value = Buffer.alloc(random.happens(0.05) ? 0 : 1 + random.below(largest), ++written)
              if (value.length >= 4) value.writeInt32BE(written)
              return { key, value }
            }
            const producers: Array<MemoryKafka.Transaction["producer"]> = []
            const batches = 100 + random.below(400)
            for (let n = 0; n < batches; n++) {
              const partition = random.below(partitions)
              // Values grow with the log.
              const largest = 200 + Math.floor((n / batches) * random.pick([1000, 10_000, 40_000]))
              const records = Array.from({ length: 1 + random.below(12) }, () => record(partition, largest))
              const compression = random.pick(["none", "none", "none", "gzip", "snappy", "lz4", "zstd"] as const)
              if (random.happens(0.3)) {
                const transaction = yield* kafka.beginTransaction({
                  producer: producers.length > 0 && random.happens(0.7) ? random.pick(producers) : undefined
                })
                producers.push(transaction.producer)
                yield* transaction.append("log", records, { partition, compression })
                yield* random.happens(0.5) ? transaction.commit : transaction.abort
              } else yield* kafka.append("log", records, { partition, compression })
            }
            if (random.happens(0.3)) yield* kafka.compact("log")

            const memories = new Set<ArrayBufferLike>()
            script.on("fetch", (asks, next) => {
              const { allocate } = asks
              const answered =
                allocate === undefined
                  ? next
                  : altered<"fetch">((answer) =>
                      putInto(answer, allocate, (given) => {
                        if (memories.has(given)) refilled++
                        memories.add(given)
                      })
                    )(asks, next)
              const roll = random.next()
              // Late, or not at all.
              if (roll < 0.2) return Effect.delay(answered, random.below(300))
              if (roll < 0.25) return Effect.andThen(answered, Effect.delay(next, 200))
              return answered
            })

            // Every look at the clock finds a slice over.
            const isHasty = random.happens(0.5)
            let now = performance.now()
            if (isHasty) {
              const clock = vi.spyOn(performance, "now").mockImplementation(() => (now += 9))
              yield* Effect.addFinalizer(() => Effect.sync(() => clock.mockRestore()))
            }
            const table = yield* within(
              "building the table",
              60_000,
              KafkaTable.make(topic, {
                fetch: {
                  maxPartitionBytes: random.pick([50_000, 200_000, 400_000]),
                  maxBytes: random.pick([250_000, 500_000, 1_000_000])
                },
                metadataRefresh: 500,
                catchUp: random.happens(0.5)
                  ? { mode: "background" }
                  : { mode: "await", timeout: random.pick([100, 60_000]) }
              })
            )
            for (let n = random.below(8); n > 0; n--) {
              const partition = random.below(partitions)
              const broker = 1 + random.below(brokers)
              trace.push(`[${partition}] to ${broker}`)
              yield* kafka.moveLeader("log", partition, broker)
              yield* pass(random.below(200))
            }
            yield* within("the catch-up", 60_000, table.awaitCaughtUp)
            yield* within("a barrier", 60_000, table.barrier())

            const expected = contentsOf(yield* kafka.log("log"), partitions, {
              key: (bytes) => bytes.toString(),
              value: digest
            })
            const actual = new Map(Array.from(table.view, ([key, value]) => [key, digest(value)]))
            assert.deepStrictEqual([...actual].sort(), [...expected].sort())
          }),
          { brokers }
        )
      }).pipe(Effect.tap(() => Effect.sync(() => assert.isAtLeast(refilled, seeds.length > 1 ? seeds.length : 0))))
    },
    propertyTimeout
  )
})
