/**
 * The last record of every raw key while a log is replayed, tombstones included.
 *
 * Keyed by the key's bytes, in typed arrays and an arena: no string and no object per record. Values stay where they were
 * fetched; a chunk is let go once no survivor lies in it, and chunks that are mostly superseded are copied together, so
 * that what is retained stays in proportion to the survivors and not to the log.
 */
import type { RecordCursor } from "../records/batchReader.ts"

/** Superseded bytes that may be retained beyond the survivors' own before chunks are copied together. */
const slack = 32 * 1024 * 1024
/** Records between two looks at the clock. */
const stride = 512

const grow = <A extends Int32Array | Float64Array>(array: A): A => {
  const next = new (array.constructor as new (length: number) => A)(array.length * 2)
  next.set(array)
  return next
}

/** FNV-1a over the key's bytes, finished by a murmur mix so that the low bits are usable as a slot. */
const hashKey = (partition: number, buffer: Buffer, start: number, length: number): number => {
  let hash = -2128831035 ^ partition
  for (let i = start, end = start + length; i < end; i++) hash = Math.imul(hash ^ buffer[i]!, 16777619)
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x2c1b3c6d)
  return hash ^ (hash >>> 13)
}

export class Survivors {
  #mask = (1 << 12) - 1
  #slots = new Int32Array(1 << 12).fill(-1)
  /** Entries, one per raw key. */
  size = 0
  #hash = new Int32Array(1 << 11)
  #keyAt = new Float64Array(1 << 11)
  #keyLength = new Int32Array(1 << 11)
  #chunkOf = new Int32Array(1 << 11)
  #valueAt = new Int32Array(1 << 11)
  /** -1 for a tombstone. */
  #valueLength = new Int32Array(1 << 11)
  #partition = new Int32Array(1 << 11)
  #offset = new Float64Array(1 << 11)
  #timestamp = new Float64Array(1 << 11)

  #arena: Buffer = Buffer.allocUnsafeSlow(1 << 16)
  #arenaUsed = 0

  #chunks: Array<Buffer | undefined> = []
  #live: Array<number> = []
  #liveBytes = 0
  #retainedBytes = 0

  /** Counts over every record seen, superseded ones included. */
  records = 0
  tombstones = 0
  keyless = 0

  /**
   * Takes the cursor's records until it ends (true) or the deadline passes (false).
   *
   * @param deadline of `performance.now()`
   */
  take(partition: number, cursor: RecordCursor, deadline: number): boolean {
    let buffer: Buffer | undefined
    let chunk = -1
    let n = 0
    while (cursor.next()) {
      this.records++
      const keyLength = cursor.keyLength
      const valueLength = cursor.valueLength
      if (keyLength < 0) {
        this.keyless++
        continue
      }
      if (valueLength < 0) this.tombstones++
      if (cursor.buffer !== buffer) {
        buffer = cursor.buffer
        chunk = this.#chunkFor(buffer)
      }
      this.#put(
        partition,
        buffer,
        chunk,
        cursor.keyStart,
        keyLength,
        cursor.valueStart,
        valueLength,
        cursor.offset,
        cursor.timestamp
      )
      if (++n % stride === 0 && performance.now() > deadline) {
        this.#release()
        return false
      }
    }
    this.#release()
    return true
  }

  #chunkFor(buffer: Buffer): number {
    const last = this.#chunks.length - 1
    if (last >= 0 && this.#chunks[last] === buffer) return last
    this.#chunks.push(buffer)
    this.#live.push(0)
    // A view pins the whole memory behind it.
    this.#retainedBytes += buffer.buffer.byteLength
    return last + 1
  }

  #put(
    partition: number,
    buffer: Buffer,
    chunk: number,
    keyStart: number,
    keyLength: number,
    valueStart: number,
    valueLength: number,
    offset: number,
    timestamp: number
  ): void {
    const hash = hashKey(partition, buffer, keyStart, keyLength)
    const slots = this.#slots
    const mask = this.#mask
    let slot = hash & mask
    let entry = slots[slot]!
    while (entry >= 0) {
      if (
        this.#hash[entry] === hash &&
        this.#keyLength[entry] === keyLength &&
        this.#partition[entry] === partition &&
        this.#sameKey(entry, buffer, keyStart, keyLength)
      )
        break
      slot = (slot + 1) & mask
      entry = slots[slot]!
    }
    const bytes = valueLength > 0 ? valueLength : 0
    if (entry < 0) {
      entry = this.#add(buffer, keyStart, keyLength)
      this.#hash[entry] = hash
      this.#partition[entry] = partition
      slots[slot] = entry
    } else if (this.#valueLength[entry]! > 0) {
      this.#live[this.#chunkOf[entry]!]! -= this.#valueLength[entry]!
      this.#liveBytes -= this.#valueLength[entry]!
    }
    this.#chunkOf[entry] = chunk
    this.#valueAt[entry] = valueStart
    this.#valueLength[entry] = valueLength
    this.#offset[entry] = offset
    this.#timestamp[entry] = timestamp
    this.#live[chunk]! += bytes
    this.#liveBytes += bytes
    if (this.size * 2 > mask) this.#rehash()
  }

  #sameKey(entry: number, buffer: Buffer, keyStart: number, keyLength: number): boolean {
    const arena = this.#arena
    const at = this.#keyAt[entry]!
    for (let i = 0; i < keyLength; i++) if (arena[at + i] !== buffer[keyStart + i]) return false
    return true
  }

  #add(buffer: Buffer, keyStart: number, keyLength: number): number {
    if (this.size === this.#hash.length) {
      this.#hash = grow(this.#hash)
      this.#keyAt = grow(this.#keyAt)
      this.#keyLength = grow(this.#keyLength)
      this.#chunkOf = grow(this.#chunkOf)
      this.#valueAt = grow(this.#valueAt)
      this.#valueLength = grow(this.#valueLength)
      this.#partition = grow(this.#partition)
      this.#offset = grow(this.#offset)
      this.#timestamp = grow(this.#timestamp)
    }
    if (this.#arenaUsed + keyLength > this.#arena.length) {
      const next = Buffer.allocUnsafeSlow(Math.max(this.#arena.length * 2, this.#arenaUsed + keyLength))
      this.#arena.copy(next, 0, 0, this.#arenaUsed)
      this.#arena = next
    }
    const arena = this.#arena
    const at = this.#arenaUsed
    for (let i = 0; i < keyLength; i++) arena[at + i] = buffer[keyStart + i]!
    this.#arenaUsed = at + keyLength
    const entry = this.size++
    this.#keyAt[entry] = at
    this.#keyLength[entry] = keyLength
    return entry
  }

  #rehash(): void {
    const capacity = this.#slots.length * 2
    this.#mask = capacity - 1
    this.#slots = new Int32Array(capacity).fill(-1)
    for (let entry = 0; entry < this.size; entry++) {
      let slot = this.#hash[entry]! & this.#mask
      while (this.#slots[slot]! >= 0) slot = (slot + 1) & this.#mask
      this.#slots[slot] = entry
    }
  }

  /** Lets go of chunks without survivors, and copies the rest together when most of what is retained is superseded. */
  #release(): void {
    if (this.#retainedBytes <= 2 * this.#liveBytes + slack) return
    const kept: Array<Buffer | undefined> = []
    const live: Array<number> = []
    const target = new Int32Array(this.#chunks.length)
    let copyBytes = 0
    let retained = 0
    for (let i = 0; i < this.#chunks.length; i++) {
      const chunk = this.#chunks[i]!
      if (this.#live[i]! * 2 >= chunk.buffer.byteLength) {
        target[i] = kept.length
        kept.push(chunk)
        live.push(this.#live[i]!)
        retained += chunk.buffer.byteLength
      } else {
        target[i] = -1
        copyBytes += this.#live[i]!
      }
    }
    const packed = Buffer.allocUnsafeSlow(copyBytes)
    const packedAt = kept.length
    let used = 0
    for (let entry = 0; entry < this.size; entry++) {
      const chunk = this.#chunkOf[entry]!
      if (target[chunk]! >= 0) {
        this.#chunkOf[entry] = target[chunk]!
        continue
      }
      const length = this.#valueLength[entry]!
      this.#chunkOf[entry] = packedAt
      if (length <= 0) continue
      const at = this.#valueAt[entry]!
      this.#chunks[chunk]!.copy(packed, used, at, at + length)
      this.#valueAt[entry] = used
      used += length
    }
    kept.push(packed)
    live.push(copyBytes)
    this.#chunks = kept
    this.#live = live
    this.#retainedBytes = retained + copyBytes
  }

  /** Bytes of survivors' values, and of the memory that holds them. */
  get bytes(): { readonly live: number; readonly retained: number } {
    return { live: this.#liveBytes, retained: this.#retainedBytes }
  }

  partitionOf(entry: number): number {
    return this.#partition[entry]!
  }
  offsetOf(entry: number): number {
    return this.#offset[entry]!
  }
  timestampOf(entry: number): number {
    return this.#timestamp[entry]!
  }
  /** The memory that holds the entry's key, from `keyStart` for `keyLength` bytes. */
  keyBuffer(): Buffer {
    return this.#arena
  }
  keyStart(entry: number): number {
    return this.#keyAt[entry]!
  }
  keyLength(entry: number): number {
    return this.#keyLength[entry]!
  }
  valueBuffer(entry: number): Buffer {
    return this.#chunks[this.#chunkOf[entry]!]!
  }
  valueStart(entry: number): number {
    return this.#valueAt[entry]!
  }
  /** -1 for a tombstone. */
  valueLength(entry: number): number {
    return this.#valueLength[entry]!
  }

  /** The entry of a raw key in a partition; -1 when there is none. */
  find(partition: number, buffer: Buffer, keyStart: number, keyLength: number): number {
    const hash = hashKey(partition, buffer, keyStart, keyLength)
    let slot = hash & this.#mask
    for (;;) {
      const entry = this.#slots[slot]!
      if (entry < 0) return -1
      if (
        this.#hash[entry] === hash &&
        this.#keyLength[entry] === keyLength &&
        this.#partition[entry] === partition &&
        this.#sameKey(entry, buffer, keyStart, keyLength)
      )
        return entry
      slot = (slot + 1) & this.#mask
    }
  }
}
