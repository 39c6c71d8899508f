/**
 * The last record of every raw key of one partition while its log is replayed, tombstones included.
 *
 * Keyed by the key's bytes, in typed arrays: no string and no object per record, and one cache line per entry. Values stay
 * where they were fetched; a chunk is let go once no survivor lies in it, and chunks that are mostly superseded are copied
 * together, so that what is retained stays in proportion to the survivors and not to the log.
 *
 * Records are taken in groups: the places of a whole group's keys are looked up first, so that memory which no cache holds
 * is waited for together, not one after another.
 */
import { randomFillSync } from "node:crypto"
import type { Mutable } from "effect/Types"
import type { AnswerMemory } from "./answerMemory.ts"
import type { RecordWalk } from "./recordWalk.ts"

/** How much there is: entries, and bytes of their records' keys and values. */
export interface Extent {
  readonly entries: number
  readonly bytes: number
}

/** Superseded bytes that may be retained beyond the survivors' own before chunks are copied together. */
const slack = 1024 * 1024

/** Bytes of a partition's keys: their places are 32-bit numbers. */
const MOST_KEYS = 2 ** 31 - 1

/** Entries of a partition: places in their numbers have 32 bits, too. */
const MOST_ENTRIES = 2 ** 27

/** An entry is sixteen 32-bit numbers, a cache line; its offset and timestamp are doubles in the place of two each. */
const WIDTH = 4
const HASH = 0
const KEY_LENGTH = 1
const KEY_AT = 2
const CHUNK = 3
const VALUE_AT = 4
/** With that of the headers, which follow the value, where they are kept. -1 for a tombstone. */
const VALUE_LENGTH = 5
const OFFSET = 3
const TIMESTAMP = 4
/** The key's first bytes: most keys are compared without a look at the arena. */
const WORDS = 10
const WORD_COUNT = 6
const WORD_BYTES = 4 * WORD_COUNT

/** Where the numbers of record `i` of a group begin; its doubles begin at half of it. */
const numbersOf = (i: number): number => i << WIDTH

/** Entries lie in segments of so many, which are never copied once they are full: one that doubled would stall its reader. */
const SEGMENT_BITS = 12
const SEGMENT = 1 << SEGMENT_BITS
/** Where the numbers of an entry begin in its segment. */
const placeOf = (entry: number): number => (entry & (SEGMENT - 1)) << WIDTH
/** The same for the bytes of keys. */
const PAGE_BITS = 18
const PAGE = 1 << PAGE_BITS

const LEAST_SLOTS = 1 << 10
/** Entries that enter the new slots with each group after these were doubled: all of a large table at once would be a stall. */
const MOVED_WITH_A_GROUP = 1 << 11

/** Records that are looked up together; they have the form of entries. */
const GROUP = 64
const groupNumbers = new Int32Array(GROUP << WIDTH)
const groupDoubles = new Float64Array(groupNumbers.buffer)
/** The entry that a record of the group is expected to replace; -1 where its slot says nothing. */
const expected = new Int32Array(GROUP)
/** How long the values alone are, where headers are kept. */
const groupValueLengths = new Int32Array(GROUP)
/** What `find` looks for. */
const wanted = new Int32Array(1 << WIDTH)

/**
 * Secrets of this process. Whoever writes to a topic chooses its keys, and could choose ever so many with one hash if he
 * could compute it: then every look-up would walk past all of them. A word's halves are multiplied by factors that nobody
 * knows, so that no difference between two keys has a known result. Whole words would have one: a difference of the
 * highest bit stays what it is under every odd factor, and the next word can cancel it.
 */
const secrets = randomFillSync(new Int32Array(3))
const SEED = secrets[0]!
const LOW_FACTOR = secrets[1]! | 1
const HIGH_FACTOR = secrets[2]! | 1

/** Puts the key's hash, place, length and first bytes into the entry whose numbers begin at `at`. */
const describeKey = (numbers: Int32Array, at: number, buffer: Buffer, start: number, length: number): void => {
  const end = start + length
  const lastWord = at + WORDS + WORD_COUNT
  let word = at + WORDS
  let state = SEED ^ length
  let i = start
  for (; i + 3 < end; i += 4) {
    const four = buffer[i]! | (buffer[i + 1]! << 8) | (buffer[i + 2]! << 16) | (buffer[i + 3]! << 24)
    if (word < lastWord) numbers[word++] = four
    state ^= four
    state = Math.imul(state & 0xffff, LOW_FACTOR) + Math.imul(state >>> 16, HIGH_FACTOR)
  }
  if (i < end) {
    let rest = buffer[i]!
    if (i + 1 < end) rest |= buffer[i + 1]! << 8
    if (i + 2 < end) rest |= buffer[i + 2]! << 16
    if (word < lastWord) numbers[word] = rest
    state ^= rest
    state = Math.imul(state & 0xffff, LOW_FACTOR) + Math.imul(state >>> 16, HIGH_FACTOR)
  }
  const hash = Math.imul(state ^ (state >>> 15), 0x297a2d39)
  numbers[at + HASH] = hash ^ (hash >>> 13)
  numbers[at + KEY_AT] = start
  numbers[at + KEY_LENGTH] = length
}

const noBytes = Buffer.alloc(0)

export class Survivors {
  readonly partition: number
  /** Entries, one per raw key. */
  size = 0
  /** Those of them that are no tombstones, and the bytes of their keys and values, and of their headers where these are kept. */
  readonly extent: Mutable<Extent> = { entries: 0, bytes: 0 }
  /** Entries + 1 by their hashes; 0 is a free slot. */
  private slots: Int32Array = new Int32Array(LEAST_SLOTS)
  /** The slots from before they were doubled, until all entries from then are in the new ones, too. */
  private formerSlots: Int32Array | undefined
  /** How many entries there were when the slots were doubled, and how many of them are in the new ones. */
  private toMove = 0
  private moved = 0

  private readonly numbers: Array<Int32Array> = [new Int32Array(1 << (9 + WIDTH))]
  private readonly doubles: Array<Float64Array> = [new Float64Array(this.numbers[0]!.buffer)]

  /** As segments of entries: how long the values alone are; undefined where no headers are kept. */
  private readonly valueLengths: Array<Int32Array> | undefined

  private readonly pages: Array<Buffer> = [Buffer.allocUnsafeSlow(1 << 14)]
  private pagesUsed = 0

  private readonly memory: AnswerMemory
  private chunks: Array<Buffer> = []
  /** Their numbers that are free again. */
  private vacant: Array<number> = []
  /** The one that records were taken from last. */
  private current = 0
  /** Bytes of survivors' values in each chunk, and bytes of memory that it keeps from being used otherwise. */
  private live: Int32Array = new Int32Array(64)
  private held: Array<number> = []

  /** The records of the group, which lie in `source`. */
  private staged = 0
  private source: Buffer = noBytes
  /** The cursor, where it is at a record of the next group. */
  private ahead: RecordWalk | undefined

  /** Counts over every record seen, superseded ones included. */
  records = 0
  tombstones = 0
  keyless = 0

  /** @param memory where the cursors' records lie, or some of them. */
  constructor(partition: number, memory: AnswerMemory, keepsHeaders = false) {
    this.partition = partition
    this.memory = memory
    this.valueLengths = keepsHeaders ? [] : undefined
  }

  /**
   * Takes the cursor's records until it ends (true) or the deadline passes (false).
   *
   * @param deadline of `performance.now()`
   */
  take(cursor: RecordWalk, deadline: number): boolean {
    for (;;) {
      const goesOn = this.stage(cursor)
      this.settle()
      if (goesOn && performance.now() <= deadline) continue
      this.release()
      return !goesOn
    }
  }

  /** Fills the group; false when the cursor has ended. */
  private stage(cursor: RecordWalk): boolean {
    let staged = 0
    if (this.ahead === cursor) this.stageOne(cursor, staged++)
    this.ahead = undefined
    let goesOn = true
    while (staged < GROUP) {
      if (!cursor.next()) {
        goesOn = false
        break
      }
      this.records++
      if (cursor.keyLength < 0) this.keyless++
      else if (cursor.buffer === this.source || staged === 0) this.stageOne(cursor, staged++)
      else {
        // A group lies in one buffer.
        this.ahead = cursor
        break
      }
    }
    this.staged = staged
    return goesOn
  }

  private stageOne(cursor: RecordWalk, i: number): void {
    const { buffer, valueLength } = cursor
    this.source = buffer
    if (valueLength < 0) this.tombstones++
    const at = numbersOf(i)
    describeKey(groupNumbers, at, buffer, cursor.keyStart, cursor.keyLength)
    groupNumbers[at + VALUE_AT] = cursor.valueStart
    groupNumbers[at + VALUE_LENGTH] = valueLength
    if (this.valueLengths !== undefined) {
      groupValueLengths[i] = valueLength
      if (valueLength >= 0) groupNumbers[at + VALUE_LENGTH] = cursor.recordEnd - cursor.valueStart
    }
    groupDoubles[(at >> 1) + OFFSET] = cursor.offset
    groupDoubles[(at >> 1) + TIMESTAMP] = cursor.timestamp
  }

  /** Enters the group's records. */
  private settle(): void {
    const { source, staged } = this
    if (staged === 0) return
    if (this.formerSlots !== undefined) this.moveEntries()
    this.expect()
    const chunk = this.chunkFor(source)
    const { live } = this
    const { doubles: allDoubles, numbers: allNumbers, valueLengths } = this
    let more = 0
    let moreBytes = 0
    for (let i = 0; i < staged; i++) {
      const from = numbersOf(i)
      let entry = expected[i]!
      if (entry < 0 || !this.isKeyOf(entry, groupNumbers, from, source)) {
        entry = this.entryFor(from, source)
      }
      const numbers = allNumbers[entry >> SEGMENT_BITS]!
      const doubles = allDoubles[entry >> SEGMENT_BITS]!
      const to = placeOf(entry)
      const superseded = numbers[to + VALUE_LENGTH]!
      const valueLength = groupNumbers[from + VALUE_LENGTH]!
      // 1 where the key comes to have a value, -1 where it is deleted. A missing value has the length -1, not 0.
      const gained = (valueLength >> 31) - (superseded >> 31)
      more += gained
      moreBytes += valueLength - superseded + gained * (groupNumbers[from + KEY_LENGTH]! - 1)
      if (superseded > 0) live[numbers[to + CHUNK]!]! -= superseded
      if (valueLength > 0) live[chunk]! += valueLength
      numbers[to + CHUNK] = chunk
      numbers[to + VALUE_AT] = groupNumbers[from + VALUE_AT]!
      numbers[to + VALUE_LENGTH] = valueLength
      doubles[(to >> 1) + OFFSET] = groupDoubles[(from >> 1) + OFFSET]!
      doubles[(to >> 1) + TIMESTAMP] = groupDoubles[(from >> 1) + TIMESTAMP]!
      if (valueLengths !== undefined) {
        const lengths = (valueLengths[entry >> SEGMENT_BITS] ??= new Int32Array(SEGMENT))
        lengths[entry & (SEGMENT - 1)] = groupValueLengths[i]!
      }
    }
    this.extent.entries += more
    this.extent.bytes += moreBytes
  }

  /** Looks at the first slot of every key of the group, and then at all the entries they name. */
  private expect(): void {
    const { numbers, slots, staged } = this
    const mask = slots.length - 1
    for (let i = 0; i < staged; i++) expected[i] = slots[groupNumbers[numbersOf(i) + HASH]! & mask]! - 1
    for (let i = 0; i < staged; i++) {
      const entry = expected[i]!
      if (entry < 0) continue
      const hash = numbers[entry >> SEGMENT_BITS]![placeOf(entry) + HASH]
      if (hash !== groupNumbers[numbersOf(i) + HASH]) expected[i] = -1
    }
  }

  /** The entry of a raw key; -1 when there is none. */
  find(buffer: Buffer, keyStart: number, keyLength: number): number {
    describeKey(wanted, 0, buffer, keyStart, keyLength)
    return this.entryOf(wanted, 0, buffer)
  }

  /** Whether the entry is of the key that was described at `at`, and lies in `buffer`. */
  private isKeyOf(entry: number, described: Int32Array, at: number, buffer: Buffer): boolean {
    const numbers = this.numbers[entry >> SEGMENT_BITS]!
    const from = placeOf(entry)
    const length = numbers[from + KEY_LENGTH]!
    if (described[at + KEY_LENGTH] !== length) return false
    const end = WORDS + (length < WORD_BYTES ? (length + 3) >> 2 : WORD_COUNT)
    for (let word = WORDS; word < end; word++) if (numbers[from + word] !== described[at + word]) return false
    return length <= WORD_BYTES || this.endsAlike(numbers[from + KEY_AT]!, buffer, described[at + KEY_AT]!, length)
  }

  private endsAlike(keyAt: number, buffer: Buffer, start: number, length: number): boolean {
    const page = this.pages[keyAt >> PAGE_BITS]!
    const at = keyAt & (PAGE - 1)
    for (let i = WORD_BYTES; i < length; i++) if (page[at + i] !== buffer[start + i]) return false
    return true
  }

  /** The entry of the key described at `at`; -1 when there is none. */
  private entryOf(described: Int32Array, at: number, buffer: Buffer): number {
    const entry = this.entryIn(this.slots, described, at, buffer)
    if (entry >= 0 || this.formerSlots === undefined) return entry
    return this.entryIn(this.formerSlots, described, at, buffer)
  }

  private entryIn(slots: Int32Array, described: Int32Array, at: number, buffer: Buffer): number {
    const hash = described[at + HASH]!
    const mask = slots.length - 1
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const entry = slots[slot]! - 1
      if (entry < 0 || (this.numberOf(entry, HASH) === hash && this.isKeyOf(entry, described, at, buffer))) return entry
    }
  }

  private enterSlot(hash: number, entry: number): void {
    const { slots } = this
    const mask = slots.length - 1
    let slot = hash & mask
    while (slots[slot] !== 0) slot = (slot + 1) & mask
    slots[slot] = entry + 1
  }

  /** Doubles the slots. */
  private growSlots(): void {
    this.formerSlots = this.slots
    this.slots = new Int32Array(2 * this.slots.length)
    this.moved = 0
    this.toMove = this.size
    this.moveEntries()
  }

  private moveEntries(): void {
    const end = Math.min(this.moved + MOVED_WITH_A_GROUP, this.toMove)
    for (let entry = this.moved; entry < end; entry++) this.enterSlot(this.numberOf(entry, HASH), entry)
    this.moved = end
    if (end === this.toMove) this.formerSlots = undefined
  }

  /** The entry of the group's key described at `from`, made if there is none. */
  private entryFor(from: number, buffer: Buffer): number {
    const known = this.entryOf(groupNumbers, from, buffer)
    if (known >= 0) return known

    if (this.size === MOST_ENTRIES) throw new RangeError(`partition ${this.partition} has above 2 ** 27 different keys`)
    const entry = this.size++
    const numbers = this.segmentFor(entry)
    const to = placeOf(entry)
    for (let n = 0; n < 1 << WIDTH; n++) numbers[to + n] = groupNumbers[from + n]!
    numbers[to + KEY_AT] = this.keep(buffer, numbers[to + KEY_AT]!, numbers[to + KEY_LENGTH]!)
    numbers[to + VALUE_LENGTH] = -1
    this.enterSlot(numbers[to + HASH]!, entry)
    // A growth ends long before the next begins: a group brings 64 entries, and moves 2,048.
    if (this.size * 2 > this.slots.length) this.growSlots()
    return entry
  }

  /** The segment of a new entry, made or enlarged where it has no place. Only the first is small, and doubles. */
  private segmentFor(entry: number): Int32Array {
    const at = entry >> SEGMENT_BITS
    const known = this.numbers[at]
    if (known !== undefined && placeOf(entry) < known.length) return known
    const next = new Int32Array(known === undefined ? SEGMENT << WIDTH : 2 * known.length)
    if (known !== undefined) next.set(known)
    this.numbers[at] = next
    this.doubles[at] = new Float64Array(next.buffer)
    return next
  }

  /** Copies a key into the pages; one that is larger than a page has the place of several. */
  private keep(buffer: Buffer, start: number, length: number): number {
    let keyAt = this.pagesUsed
    let at = keyAt & (PAGE - 1)
    const isFull = at + length > PAGE
    if (isFull) {
      keyAt = Math.ceil(keyAt / PAGE) * PAGE
      at = 0
    }
    if (keyAt + length > MOST_KEYS) throw new RangeError(`the keys of partition ${this.partition} are above 2 GiB`)
    const page = this.pageFor(keyAt, length)
    for (let i = 0; i < length; i++) page[at + i] = buffer[start + i]!
    this.pagesUsed = keyAt + length
    return keyAt
  }

  /** As `segmentFor`. */
  private pageFor(keyAt: number, length: number): Buffer {
    const number = keyAt >> PAGE_BITS
    const used = keyAt & (PAGE - 1)
    const known = this.pages[number]
    if (known !== undefined && used + length <= known.length) return known
    const next = Buffer.allocUnsafeSlow(
      number > 0 ? Math.max(PAGE, length) : Math.max(2 * (known?.length ?? 0), used + length)
    )
    known?.copy(next, 0, 0, used)
    this.pages[number] = next
    return next
  }

  private chunkFor(buffer: Buffer): number {
    if (this.chunks[this.current] !== buffer) this.current = this.addChunk(buffer, 0, this.memory.retain(buffer))
    return this.current
  }

  private addChunk(buffer: Buffer, live: number, held: number): number {
    const chunk = this.vacant.pop() ?? this.chunks.length
    if (chunk === this.live.length) {
      const next = new Int32Array(2 * chunk)
      next.set(this.live)
      this.live = next
    }
    this.chunks[chunk] = buffer
    this.live[chunk] = live
    this.held[chunk] = held
    return chunk
  }

  /** Lets go of chunks without survivors, and copies the rest together when most of what is held is superseded. */
  private release(): void {
    for (let chunk = 0; chunk < this.chunks.length; chunk++) {
      if (this.live[chunk] === 0 && this.held[chunk]! > 0) this.drop(chunk)
    }
    const { held, live } = this.bytes
    if (held <= 2 * live + slack) return
    const before = this.chunks
    const liveBefore = this.live
    const heldBefore = this.held
    const { moving, stays } = this.stayers()
    this.chunks = []
    this.vacant = []
    this.live = new Int32Array(Math.max(64, before.length + 1))
    this.held = []
    /** Where a chunk is from now on; -1 where its survivors move. */
    const target = new Int32Array(before.length)
    for (const [i, chunk] of before.entries()) {
      target[i] = stays[i] === 1 ? this.addChunk(chunk, liveBefore[i]!, heldBefore[i]!) : -1
    }
    this.move(before, target, moving)
    for (const [i, chunk] of before.entries()) if (target[i]! < 0) this.memory.release(chunk)
  }

  /** Lets go of a chunk that no survivor has bytes in. */
  private drop(chunk: number): void {
    this.memory.release(this.chunks[chunk]!)
    this.chunks[chunk] = noBytes
    this.held[chunk] = 0
    this.vacant.push(chunk)
  }

  /**
   * The chunks that stay where they are, and the survivors' bytes in the others. What was copied together once moves again
   * with as much, or each little that is copied would keep a block of its own.
   */
  private stayers(): { readonly stays: Uint8Array; readonly moving: number } {
    const { chunks, held, live } = this
    const stays = new Uint8Array(chunks.length)
    let moving = 0
    for (let i = 0; i < chunks.length; i++) {
      if (live[i]! > 0 && live[i]! * 2 >= held[i]!) stays[i] = 1
      else moving += live[i]!
    }
    for (let i = chunks.length - 1; i >= 0; i--) {
      if (stays[i] === 0 || held[i] !== chunks[i]!.length || live[i]! > moving) continue
      stays[i] = 0
      moving += live[i]!
    }
    return { stays, moving }
  }

  /** @param moving the bytes of all survivors that move. */
  private move(from: ReadonlyArray<Buffer>, target: Int32Array, moving: number): void {
    const { memory } = this
    let left = moving
    let packed: Buffer = noBytes
    let packedChunk = this.addChunk(packed, 0, 0)
    let used = 0
    for (let entry = 0; entry < this.size; entry++) {
      const numbers = this.numbers[entry >> SEGMENT_BITS]!
      const at = placeOf(entry)
      const chunk = numbers[at + CHUNK]!
      const to = target[chunk]!
      const length = numbers[at + VALUE_LENGTH]!
      if (to < 0 && length > packed.length - used) {
        packed = memory.allocatePacked(Math.max(length, Math.min(left, memory.mostPacked)))
        packedChunk = this.addChunk(packed, 0, packed.length)
        used = 0
      }
      numbers[at + CHUNK] = to < 0 ? packedChunk : to
      if (to >= 0 || length <= 0) continue
      const valueAt = numbers[at + VALUE_AT]!
      numbers[at + VALUE_AT] = used
      from[chunk]!.copy(packed, used, valueAt, valueAt + length)
      this.live[packedChunk]! += length
      used += length
      left -= length
    }
  }

  /** Bytes of survivors' values, with their headers where these are kept, and of the memory that is held for them. */
  get bytes(): { readonly live: number; readonly held: number } {
    let live = 0
    let held = 0
    for (let i = 0; i < this.chunks.length; i++) {
      live += this.live[i]!
      held += this.held[i]!
    }
    return { live, held }
  }

  offsetOf(entry: number): number {
    return this.doubleOf(entry, OFFSET)
  }
  timestampOf(entry: number): number {
    return this.doubleOf(entry, TIMESTAMP)
  }
  /** The memory that holds the entry's key, from `keyStart` for `keyLength` bytes. */
  keyBuffer(entry: number): Buffer {
    return this.pages[this.numberOf(entry, KEY_AT) >> PAGE_BITS]!
  }
  keyStart(entry: number): number {
    return this.numberOf(entry, KEY_AT) & (PAGE - 1)
  }
  keyLength(entry: number): number {
    return this.numberOf(entry, KEY_LENGTH)
  }
  valueBuffer(entry: number): Buffer {
    return this.chunks[this.numberOf(entry, CHUNK)]!
  }
  valueStart(entry: number): number {
    // Where no bytes were, the chunk may be another by now.
    return this.numberOf(entry, VALUE_LENGTH) > 0 ? this.numberOf(entry, VALUE_AT) : 0
  }
  /** -1 for a tombstone. */
  valueLength(entry: number): number {
    return this.valueLengths === undefined
      ? this.numberOf(entry, VALUE_LENGTH)
      : this.valueLengths[entry >> SEGMENT_BITS]![entry & (SEGMENT - 1)]!
  }
  /** Where the headers end that follow the value, where they are kept. */
  headersEnd(entry: number): number {
    return this.valueStart(entry) + Math.max(0, this.numberOf(entry, VALUE_LENGTH))
  }
  private numberOf(entry: number, which: number): number {
    return this.numbers[entry >> SEGMENT_BITS]![placeOf(entry) + which]!
  }
  private doubleOf(entry: number, which: number): number {
    return this.doubles[entry >> SEGMENT_BITS]![(placeOf(entry) >> 1) + which]!
  }
}
