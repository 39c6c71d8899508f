/** Where the bytes of a record lie, live or surviving, without an object per record. */
import type { RecordWalk } from "../records/recordWalk.ts"
import type { Survivors } from "../records/survivors.ts"

const noBytes = Buffer.alloc(0)

/** Bytes in place: what a record is decoded from. */
export interface Source {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly keyBuffer: Buffer
  readonly keyStart: number
  readonly keyLength: number
  readonly valueBuffer: Buffer
  readonly valueStart: number
  /** -1 for a tombstone. */
  readonly valueLength: number
  /** Where the headers lie, in the memory of the value; they mean something where a load holds headers, and while following. */
  readonly headersStart: number
  readonly headersEnd: number
}

/** The record that a walk is at. */
export class CursorSource implements Source {
  readonly partition: number
  readonly cursor: RecordWalk
  constructor(partition: number, cursor: RecordWalk) {
    this.partition = partition
    this.cursor = cursor
  }
  get offset() {
    return this.cursor.offset
  }
  get timestamp() {
    return this.cursor.timestamp
  }
  get keyBuffer() {
    return this.cursor.buffer
  }
  get keyStart() {
    return this.cursor.keyStart
  }
  get keyLength() {
    return this.cursor.keyLength
  }
  get valueBuffer() {
    return this.cursor.buffer
  }
  get valueStart() {
    return this.cursor.valueStart
  }
  get valueLength() {
    return this.cursor.valueLength
  }
  get headersStart() {
    return this.cursor.valueStart + Math.max(0, this.cursor.valueLength)
  }
  get headersEnd() {
    return this.cursor.recordEnd
  }
}

/** A surviving record. It is looked up once, since its parts are asked for several times. */
export class SurvivorSource implements Source {
  readonly partition: number
  offset = -1
  timestamp = -1
  keyBuffer: Buffer = noBytes
  keyStart = 0
  keyLength = 0
  valueBuffer: Buffer = noBytes
  valueStart = 0
  valueLength = -1
  #entry = -1
  readonly #survivors: Survivors
  constructor(survivors: Survivors) {
    this.partition = survivors.partition
    this.#survivors = survivors
  }
  moveTo(entry: number): void {
    const survivors = this.#survivors
    this.#entry = entry
    this.offset = survivors.offsetOf(entry)
    this.timestamp = survivors.timestampOf(entry)
    this.keyBuffer = survivors.keyBuffer(entry)
    this.keyStart = survivors.keyStart(entry)
    this.keyLength = survivors.keyLength(entry)
    this.valueBuffer = survivors.valueBuffer(entry)
    this.valueStart = survivors.valueStart(entry)
    this.valueLength = survivors.valueLength(entry)
  }
  get headersStart() {
    return this.valueStart + Math.max(0, this.valueLength)
  }
  get headersEnd() {
    return this.#survivors.headersEnd(this.#entry)
  }
}
