/** A producer with another partitioner than Java's and ours, as librdkafka's default is: CRC-32 of the key. */
import { Effect } from "effect"
import { crc32 } from "node:zlib"
import type { JavaPeer } from "@effect-ktables/testing/interop"
import type { Random } from "./random.ts"

const KEYS = 20
const BURST = 5

/**
 * Sets and deletes keys of its own until `isOver`, by a process that no proxy cuts off. Each key stays in one partition: of
 * a key in several partitions, none of which is the one that our partitioner names, nobody knows the newest record.
 */
export const writeForeign = Effect.fnUntraced(function* (options: {
  readonly java: JavaPeer.Service
  readonly topic: string
  readonly partitions: number
  readonly random: Random
  readonly isOver: () => boolean
}) {
  const { isOver, java, partitions, random, topic } = options
  for (let number = 0; !isOver();) {
    const records = Array.from({ length: BURST }, () => {
      const key = `foreign-${random.between(0, KEYS - 1)}`
      return { key, value: random.next() < 0.4 ? null : String(++number), partition: crc32(key) % partitions }
    })
    // A broker that is away fails it, and the next one follows.
    yield* Effect.ignore(java.produce({ topic, records, idempotent: true }))
    yield* Effect.sleep(random.between(100, 400))
  }
})
