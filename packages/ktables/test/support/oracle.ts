/**
 * What a table must hold, from a full read of the log that shares no code with the engine: the last visible record of
 * every key, partition by partition.
 */
import type { KafkaTable } from "effect-ktables"
import type * as MemoryKafka from "effect-ktables/MemoryKafka"
import { javaPartitioner } from "../../src/internal/records/partitioner.ts"

export interface Decoding<K, V> {
  /** Undefined for a key that does not decode. */
  readonly key: (bytes: Buffer) => K | undefined
  /** Undefined for a value that does not decode. */
  readonly value: (bytes: Buffer) => V | undefined
  readonly onDecodeError?: Extract<KafkaTable.OnDecodeError, string> | undefined
  readonly isolation?: "read_committed" | "read_uncommitted" | undefined
}

interface Last<V> {
  readonly raw: Buffer
  /** Undefined for a tombstone. */
  readonly value: { readonly it: V } | undefined
}

/** The contents that the log stands for. */
export const contentsOf = <K, V>(
  log: ReadonlyArray<MemoryKafka.LoggedRecord>,
  partitions: number,
  decoding: Decoding<K, V>
): Map<K, V> => {
  const last = new Map<K, Map<number, Last<V>>>()
  for (const record of log) {
    if (record.key === null) continue
    const isVisible = record.state === "plain" || record.state === "committed"
    if (!isVisible && decoding.isolation !== "read_uncommitted") continue
    const key = decoding.key(record.key)
    if (key === undefined) continue
    const value = record.value === null ? undefined : decoding.value(record.value)
    if (record.value !== null && value === undefined && decoding.onDecodeError !== "remove") continue
    let byPartition = last.get(key)
    if (byPartition === undefined) {
      byPartition = new Map()
      last.set(key, byPartition)
    }
    byPartition.set(record.partition, { raw: record.key, value: value === undefined ? undefined : { it: value } })
  }
  const contents = new Map<K, V>()
  for (const [key, byPartition] of last) {
    let found: Last<V> | undefined
    for (const [partition, candidate] of byPartition) {
      const isOwner = javaPartitioner(candidate.raw, partitions) === partition
      if (byPartition.size === 1 || isOwner) found = candidate
    }
    if (found?.value !== undefined) contents.set(key, found.value.it)
  }
  return contents
}

/** UTF-8 keys and whole numbers as JSON. */
export const numberDecoding: Decoding<string, number> = {
  key: (bytes) => bytes.toString("utf8"),
  value: (bytes) => {
    const text = bytes.toString("utf8")
    return /^-?\d+$/.test(text) ? Number(text) : undefined
  }
}
