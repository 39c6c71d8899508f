/**
 * Which partition a key goes to: as Java's default partitioner and its `Utils.murmur2`, so that every client of a topic
 * puts a key in the same place.
 */

/** Maps an encoded key to one of `partitions` partitions. */
export type Partitioner = (key: Uint8Array, partitions: number) => number

const SEED = 0x9747b28c
const M = 0x5bd1e995

/** 32-bit MurmurHash2, signed as in Java, of the bytes from `start` to `end`. */
export const murmur2 = (data: Uint8Array, start = 0, end: number = data.length): number => {
  let h = SEED ^ (end - start)
  let i = start
  for (; i + 4 <= end; i += 4) {
    let k = data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24)
    k = Math.imul(k, M)
    k ^= k >>> 24
    h = Math.imul(h, M) ^ Math.imul(k, M)
  }
  const rest = end - i
  if (rest >= 3) h ^= data[i + 2]! << 16
  if (rest >= 2) h ^= data[i + 1]! << 8
  if (rest >= 1) h = Math.imul(h ^ data[i]!, M)
  h ^= h >>> 13
  h = Math.imul(h, M)
  return h ^ (h >>> 15)
}

/**
 * Where Java's clients put a key, and every writer that has no partitioner of its own: `toPositive(murmur2(key)) % partitions`.
 *
 * @category partitioning
 * @since 0.1.0
 */
export const javaPartitioner: Partitioner = (key, partitions) => partitionOf(key, 0, key.length, partitions)

/** As `javaPartitioner`, of a key that lies in a larger buffer. */
export const partitionOf = (buffer: Uint8Array, start: number, end: number, partitions: number): number =>
  hashOf(buffer, start, end) % partitions

/** Of it the remainder is taken. */
export const hashOf = (buffer: Uint8Array, start: number, end: number): number =>
  murmur2(buffer, start, end) & 0x7fffffff
