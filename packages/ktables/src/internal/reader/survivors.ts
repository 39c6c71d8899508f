/**
 * The last record of every raw key of one partition while its log is replayed, tombstones included.
 *
 * Keyed by the key's bytes, in one typed array and an arena: no string and no object per record, and one cache line per
 * entry. Values stay where they were fetched; a chunk is let go once no survivor lies in it, and chunks that are mostly
 * superseded are copied together, so that what is retained stays in proportion to the survivors and not to the log.
 */
import type { RecordCursor } from "../records/batchReader.ts"

/** Superseded bytes that may be retained beyond the survivors' own before chunks are copied together. */
const slack = 4 * 1024 * 1024
/** Records between two looks at the clock. */
const stride = 512

/** An entry is sixteen 32-bit numbers: a cache line. */
const WIDTH = 4
const HASH = 0
const KEY_AT = 1
const KEY_LENGTH = 2
const CHUNK = 3
const VALUE_AT = 4
/** -1 for a tombstone. */
const VALUE_LENGTH = 5
const OFFSET_HIGH = 6
const OFFSET_LOW = 7
const TIMESTAMP_HIGH = 8
const TIMESTAMP_LOW = 9

const TWO_32 = 4294967296

/** FNV-1a over the key's bytes, finished by a murmur mix so that the low bits are usable as a slot. */
const hashKey = (buffer: Buffer, start: number, length: number): number => {
  let hash = -2128831035
  for (let i = start, end = start + length; i < end; i++) hash = Math.imul(hash ^ buffer[i]!, 16777619)
  hash ^= hash >>> 15
  hash = Math.imul(hash, 0x2c1b3c6d)
  return hash ^ (hash >>> 13)
}

export class Survivors {
  readonly partition: number
  /** Entries, one per raw key. */
  size = 0
  private mask = (1 << 10) - 1
  private slots: Int32Array = new Int32Array(1 << 10).fill(-1)
  private entries: Int32Array = new Int32Array(1 << (9 + WIDTH))

  private arena: Buffer = Buffer.allocUnsafeSlow(1 << 14)
  private arenaUsed = 0

  private chunks: Array<Buffer> = []
  /** Bytes of survivors' values, and bytes that the chunk stands for, by chunk. */
  private live: Array<number> = []
  private held: Array<number> = []
  private liveBytes = 0
  private heldBytes = 0

  /** Counts over every record seen, superseded ones included. */
  records = 0
  tombstones = 0
  keyless = 0

  constructor(partition: number) {
    this.partition = partition
  }

  /**
   * Takes the cursor's records until it ends (true) or the deadline passes (false).
   *
   * @param deadline of `performance.now()`
   */
  take(cursor: RecordCursor, deadline: number): boolean {
    let buffer: Buffer | undefined
    let chunk = -1
    let n = 0
    while (cursor.next()) {
      n++
      const keyLength = cursor.keyLength
      const valueLength = cursor.valueLength
      if (keyLength < 0) {
        this.keyless++
        continue
      }
      if (valueLength < 0) this.tombstones++
      if (cursor.buffer !== buffer) {
        buffer = cursor.buffer
        chunk = this.chunkFor(buffer)
      }
      const entry = this.entryFor(buffer, cursor.keyStart, keyLength)
      const entries = this.entries
      const at = entry << WIDTH
      const superseded = entries[at + VALUE_LENGTH]!
      if (superseded > 0) {
        this.live[entries[at + CHUNK]!]! -= superseded
        this.liveBytes -= superseded
      }
      const { offset, timestamp } = cursor
      const offsetHigh = Math.floor(offset / TWO_32)
      const timestampHigh = Math.floor(timestamp / TWO_32)
      entries[at + CHUNK] = chunk
      entries[at + VALUE_AT] = cursor.valueStart
      entries[at + VALUE_LENGTH] = valueLength
      entries[at + OFFSET_HIGH] = offsetHigh
      entries[at + OFFSET_LOW] = offset - offsetHigh * TWO_32
      entries[at + TIMESTAMP_HIGH] = timestampHigh
      entries[at + TIMESTAMP_LOW] = timestamp - timestampHigh * TWO_32
      if (valueLength > 0) {
        this.live[chunk]! += valueLength
        this.liveBytes += valueLength
      }
      if (n % stride === 0 && performance.now() > deadline) {
        this.records += n
        this.release()
        return false
      }
    }
    this.records += n
    this.release()
    return true
  }

  /** The entry of a raw key; -1 when there is none. */
  find(buffer: Buffer, keyStart: number, keyLength: number): number {
    return this.slots[this.slotOf(hashKey(buffer, keyStart, keyLength), buffer, keyStart, keyLength)]!
  }

  /** The slot that holds the key, or the free one where it belongs. */
  private slotOf(hash: number, buffer: Buffer, keyStart: number, keyLength: number): number {
    const { arena, entries, mask, slots } = this
    let slot = hash & mask
    for (;;) {
      const entry = slots[slot]!
      if (entry < 0) return slot
      const at = entry << WIDTH
      if (entries[at + HASH] === hash && entries[at + KEY_LENGTH] === keyLength) {
        const keyAt = entries[at + KEY_AT]!
        let i = 0
        while (i < keyLength && arena[keyAt + i] === buffer[keyStart + i]) i++
        if (i === keyLength) return slot
      }
      slot = (slot + 1) & mask
    }
  }

  private entryFor(buffer: Buffer, keyStart: number, keyLength: number): number {
    const hash = hashKey(buffer, keyStart, keyLength)
    const slot = this.slotOf(hash, buffer, keyStart, keyLength)
    const known = this.slots[slot]!
    if (known >= 0) return known

    if ((this.size + 1) << WIDTH > this.entries.length) {
      const next = new Int32Array(this.entries.length * 2)
      next.set(this.entries)
      this.entries = next
    }
    if (this.arenaUsed + keyLength > this.arena.length) {
      const next = Buffer.allocUnsafeSlow(Math.max(this.arena.length * 2, this.arenaUsed + keyLength))
      this.arena.copy(next, 0, 0, this.arenaUsed)
      this.arena = next
    }
    const { arena, entries } = this
    const keyAt = this.arenaUsed
    for (let i = 0; i < keyLength; i++) arena[keyAt + i] = buffer[keyStart + i]!
    this.arenaUsed = keyAt + keyLength
    const entry = this.size++
    const at = entry << WIDTH
    entries[at + HASH] = hash
    entries[at + KEY_AT] = keyAt
    entries[at + KEY_LENGTH] = keyLength
    entries[at + VALUE_LENGTH] = -1
    this.slots[slot] = entry
    if (this.size * 2 > this.mask) this.rehash()
    return entry
  }

  private rehash(): void {
    const capacity = this.slots.length * 2
    const mask = capacity - 1
    const slots = new Int32Array(capacity).fill(-1)
    for (let entry = 0; entry < this.size; entry++) {
      let slot = this.entries[(entry << WIDTH) + HASH]! & mask
      while (slots[slot]! >= 0) slot = (slot + 1) & mask
      slots[slot] = entry
    }
    this.mask = mask
    this.slots = slots
  }

  private chunkFor(buffer: Buffer): number {
    const last = this.chunks.length - 1
    if (last >= 0 && this.chunks[last] === buffer) return last
    this.chunks.push(buffer)
    this.live.push(0)
    this.held.push(buffer.length)
    this.heldBytes += buffer.length
    return last + 1
  }

  /** Lets go of chunks without survivors, and copies the rest together when most of what is held is superseded. */
  private release(): void {
    if (this.heldBytes <= 2 * this.liveBytes + slack) return
    const { entries } = this
    const kept: Array<Buffer> = []
    const live: Array<number> = []
    const held: Array<number> = []
    const target = new Int32Array(this.chunks.length)
    let copyBytes = 0
    for (let i = 0; i < this.chunks.length; i++) {
      if (this.live[i]! * 2 >= this.held[i]!) {
        target[i] = kept.length
        kept.push(this.chunks[i]!)
        live.push(this.live[i]!)
        held.push(this.held[i]!)
      } else {
        target[i] = -1
        copyBytes += this.live[i]!
      }
    }
    const packed = Buffer.allocUnsafeSlow(copyBytes)
    const packedChunk = kept.length
    let used = 0
    for (let at = 0, end = this.size << WIDTH; at < end; at += 1 << WIDTH) {
      const chunk = entries[at + CHUNK]!
      if (target[chunk]! >= 0) {
        entries[at + CHUNK] = target[chunk]!
        continue
      }
      entries[at + CHUNK] = packedChunk
      const length = entries[at + VALUE_LENGTH]!
      if (length <= 0) continue
      const valueAt = entries[at + VALUE_AT]!
      this.chunks[chunk]!.copy(packed, used, valueAt, valueAt + length)
      entries[at + VALUE_AT] = used
      used += length
    }
    kept.push(packed)
    live.push(copyBytes)
    held.push(copyBytes)
    this.chunks = kept
    this.live = live
    this.held = held
    this.heldBytes = held.reduce((sum, bytes) => sum + bytes, 0)
  }

  /** Bytes of survivors' values, and of the record sets that are held for them. */
  get bytes(): { readonly live: number; readonly held: number } {
    return { live: this.liveBytes, held: this.heldBytes }
  }

  offsetOf(entry: number): number {
    const at = entry << WIDTH
    return this.entries[at + OFFSET_HIGH]! * TWO_32 + (this.entries[at + OFFSET_LOW]! >>> 0)
  }
  timestampOf(entry: number): number {
    const at = entry << WIDTH
    return this.entries[at + TIMESTAMP_HIGH]! * TWO_32 + (this.entries[at + TIMESTAMP_LOW]! >>> 0)
  }
  /** The memory that holds the entries' keys, from `keyStart` for `keyLength` bytes. */
  get keyBuffer(): Buffer {
    return this.arena
  }
  keyStart(entry: number): number {
    return this.entries[(entry << WIDTH) + KEY_AT]!
  }
  keyLength(entry: number): number {
    return this.entries[(entry << WIDTH) + KEY_LENGTH]!
  }
  valueBuffer(entry: number): Buffer {
    return this.chunks[this.entries[(entry << WIDTH) + CHUNK]!]!
  }
  valueStart(entry: number): number {
    return this.entries[(entry << WIDTH) + VALUE_AT]!
  }
  /** -1 for a tombstone. */
  valueLength(entry: number): number {
    return this.entries[(entry << WIDTH) + VALUE_LENGTH]!
  }
}
