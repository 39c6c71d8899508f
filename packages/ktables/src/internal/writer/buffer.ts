/**
 * Bounds the bytes of all records on their way: a record that finds the buffer full waits, in order, until others are
 * settled.
 */
import { Exit } from "effect"
import type { WriteError } from "../../TableError.ts"
import type { WriteAck } from "../../WriteAck.ts"
import type { PendingRecord } from "./pendingRecord.ts"
import { RecordQueue } from "./recordQueue.ts"

export class WriteBuffer {
  private readonly maxBytes: number
  /** Takes a record into its partition's queue. */
  private readonly admit: (record: PendingRecord) => void
  private readonly retract: (record: PendingRecord) => void
  private readonly waiting = new RecordQueue()
  private bytes = 0
  private unsettled = 0
  private listeners: Array<() => void> = []

  constructor(options: {
    readonly maxBytes: number
    readonly admit: (record: PendingRecord) => void
    readonly retract: (record: PendingRecord) => void
  }) {
    this.maxBytes = options.maxBytes
    this.admit = options.admit
    this.retract = options.retract
  }

  offer(record: PendingRecord): void {
    this.unsettled++
    if (this.waiting.isEmpty && this.fits(record)) this.enter(record)
    else this.waiting.push(record)
  }

  /** Tells a record's writer what became of it, once. The record is in no queue any more. */
  settle(record: PendingRecord, exit: Exit.Exit<WriteAck, WriteError>): void {
    if (record.state === "done") return
    if (record.state !== "waiting") this.bytes -= record.size
    this.left(record)
    record.settle(exit)
    this.notify()
  }

  fail(record: PendingRecord, error: WriteError): void {
    this.settle(record, Exit.fail(error))
  }

  /** Takes back a record that is in no batch yet; its writer no longer listens. */
  withdraw(record: PendingRecord): void {
    if (record.state === "waiting") {
      record.state = "done"
      this.waiting.withdrawn(record)
    } else if (record.state === "queued") {
      record.state = "done"
      this.bytes -= record.size
      this.retract(record)
    } else {
      return
    }
    this.left(record)
    this.notify()
  }

  /** The records that wait for room, taken out; for a writer that closes. */
  takeWaiting(): ReadonlyArray<PendingRecord> {
    const taken: Array<PendingRecord> = []
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) taken.push(next)
    return taken
  }

  get hasRoom(): boolean {
    return this.waiting.isEmpty && this.bytes < this.maxBytes
  }

  get isIdle(): boolean {
    return this.unsettled === 0
  }

  /** Calls `listener` once, when a record has left. */
  onceLeft(listener: () => void): void {
    this.listeners.push(listener)
  }

  // A record larger than the whole buffer passes alone instead of never.
  private fits(record: PendingRecord): boolean {
    return this.bytes === 0 || this.bytes + record.size <= this.maxBytes
  }

  private enter(record: PendingRecord): void {
    this.bytes += record.size
    record.state = "queued"
    this.admit(record)
  }

  private left(record: PendingRecord): void {
    record.state = "done"
    this.unsettled--
    for (let next = this.waiting.peek(); next !== undefined && this.fits(next); next = this.waiting.peek()) {
      this.waiting.shift()
      this.enter(next)
    }
  }

  private notify(): void {
    if (this.listeners.length === 0) return
    const listeners = this.listeners
    this.listeners = []
    for (const listener of listeners) listener()
  }
}
