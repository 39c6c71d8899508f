/** Where the bytes of a record lie, live or surviving, without an object per record. */
import type { RecordCursor } from "../records/batchReader.ts"
import type { Survivors } from "./survivors.ts"

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
}

/** The record that a cursor is at. */
export class CursorSource implements Source {
  readonly partition: number
  readonly cursor: RecordCursor
  constructor(partition: number, cursor: RecordCursor) {
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
}

/** A surviving record; moved from entry to entry. */
export class SurvivorSource implements Source {
  entry = 0
  readonly survivors: Survivors
  constructor(survivors: Survivors) {
    this.survivors = survivors
  }
  get partition() {
    return this.survivors.partition
  }
  get offset() {
    return this.survivors.offsetOf(this.entry)
  }
  get timestamp() {
    return this.survivors.timestampOf(this.entry)
  }
  get keyBuffer() {
    return this.survivors.keyBuffer(this.entry)
  }
  get keyStart() {
    return this.survivors.keyStart(this.entry)
  }
  get keyLength() {
    return this.survivors.keyLength(this.entry)
  }
  get valueBuffer() {
    return this.survivors.valueBuffer(this.entry)
  }
  get valueStart() {
    return this.survivors.valueStart(this.entry)
  }
  get valueLength() {
    return this.survivors.valueLength(this.entry)
  }
}
