/**
 * The floor of a raw table: one loop fills a native Map with the keys as text and copies of the values, straight from the
 * socket. Nothing is checked, and nothing is kept of a record but these two. What a fresh process costs it beside a warm one
 * is what V8 and the kernel take from any reader.
 */
import { Effect } from "effect"
import type { Cell } from "../harness/cells.ts"
import { rssMiB } from "../harness/memory.ts"
import { stopwatch } from "../harness/stopwatch.ts"
import { TopicConnections } from "../topics/provision.ts"
import { replay } from "../topics/replay.ts"

export interface Input {
  readonly brokers: ReadonlyArray<string>
  readonly topic: string
  /** What the map has to hold, where it is known. */
  readonly keys: number | undefined
  /** What a fetch asks of each partition, in bytes. */
  readonly partitionBytes: number
}

export const cell: Cell<Input> = ({ brokers, keys, partitionBytes, topic }) =>
  Effect.promise(async () => {
    let connections: TopicConnections | undefined
    const measure = async (detail: string) => {
      const elapsed = stopwatch()
      connections ??= await TopicConnections.open(brokers, topic)
      const map = new Map<string, Uint8Array>()
      const { records } = await replay(connections, partitionBytes, (set) => fill(map, set))
      const { cpuMs, loopMs, ms } = elapsed()
      if (keys !== undefined && map.size !== keys) throw new Error(`${topic} holds ${keys} keys, the map ${map.size}`)
      return {
        metric: "bareMap",
        client: "socket",
        topic,
        detail,
        ms,
        cpuMs,
        loopMs,
        records,
        rps: (records / ms) * 1000,
        keys: map.size,
        rssMiB: rssMiB()
      }
    }
    const fresh = await measure("fresh process")
    // As the table's cell does it.
    await measure("warm-up")
    const warm = await measure("warm")
    connections!.close()
    return [fresh, warm]
  })

/** As the table's codec copies them: small arrays share memory. */
const slabBytes = 16_384
let slab = new ArrayBuffer(slabBytes)
let slabUsed = 0

const copyOf = (set: Buffer, start: number, end: number): Uint8Array => {
  const length = end - start
  if (length > slabBytes) return new Uint8Array(set.subarray(start, end))
  if (slabUsed + length > slabBytes) {
    slab = new ArrayBuffer(slabBytes)
    slabUsed = 0
  }
  const copy = new Uint8Array(slab, slabUsed, length)
  slabUsed += length
  set.copy(copy, 0, start, end)
  return copy
}

let at = 0
const varint = (set: Buffer): number => {
  let byte = 0
  let value = 0
  let shift = 0
  do {
    byte = set[at++]!
    value |= (byte & 127) << shift
    shift += 7
  } while (byte > 127)
  return (value >>> 1) ^ -(value & 1)
}

/** Uncompressed batches outside transactions, as the benchmarks' topics have: their whole ones. */
const fill = (map: Map<string, Uint8Array>, set: Buffer): number | undefined => {
  let next: number | undefined
  for (let start = 0; start + 61 <= set.length;) {
    const end = start + 12 + set.readInt32BE(start + 8)
    if (end > set.length) break
    next = Number(set.readBigInt64BE(start)) + set.readInt32BE(start + 23) + 1
    at = start + 61
    for (let left = set.readInt32BE(start + 57); left > 0; left--) {
      const length = varint(set)
      const recordEnd = at + length
      at++
      varint(set)
      varint(set)
      const keyLength = varint(set)
      const key = set.toString("utf8", at, at + keyLength)
      at += keyLength
      const valueLength = varint(set)
      map.set(key, copyOf(set, at, at + valueLength))
      at = recordEnd
    }
    start = end
  }
  return next
}
