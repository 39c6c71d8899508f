/** A first-in, first-out queue of records from which interrupted writers withdraw theirs. */
import type { PendingRecord } from "./pendingRecord.ts"

const COMPACT_FROM = 64

export class RecordQueue {
  private records: Array<PendingRecord | undefined> = []
  private head = 0
  /** Withdrawn records still in place. */
  private gone = 0
  private bytes = 0

  push(record: PendingRecord): void {
    this.records.push(record)
    this.bytes += record.size
  }

  /** The oldest record, without removing it. */
  peek(): PendingRecord | undefined {
    while (this.head < this.records.length) {
      const record = this.records[this.head]!
      if (record.state !== "done") return record
      this.head++
      this.gone--
    }
    this.clear()
    return undefined
  }

  shift(): PendingRecord | undefined {
    const record = this.peek()
    if (record === undefined) return undefined
    // Cleared, so that the queue does not keep what is already sent.
    this.records[this.head++] = undefined
    this.bytes -= record.size
    if (this.head === this.records.length) this.clear()
    else if (this.head >= COMPACT_FROM && this.head * 2 >= this.records.length) this.compact()
    return record
  }

  /** To be called for a record of this queue whose state has just become `done`. */
  withdrawn(record: PendingRecord): void {
    this.bytes -= record.size
    this.gone++
    if (this.gone >= COMPACT_FROM && this.gone * 2 >= this.records.length - this.head) this.compact()
  }

  get isEmpty(): boolean {
    return this.peek() === undefined
  }

  /** The most bytes that its records take. */
  get size(): number {
    return this.bytes
  }

  private compact(): void {
    this.records = this.records.slice(this.head).filter((record) => record!.state !== "done")
    this.head = 0
    this.gone = 0
  }

  private clear(): void {
    this.records = []
    this.head = 0
    this.gone = 0
  }
}
