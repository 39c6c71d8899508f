/** Waits for acknowledged records of one partition, by their offsets. */
import type { ReaderError, TableClosed, WriteSuperseded } from "../../TableError.ts"
import type { Effect } from "effect"
import type { PlacedAck } from "./recentBatches.ts"

/** What a wait that ends without an error has found: the record, or a position past it and nothing that tells whose it is. */
export type Found = "applied" | "unknown"

/** What ends every wait: what ended the reader, or the closing of its table. */
export type WaitEnd = ReaderError | TableClosed

/** What ends a wait for a record, `DataLoss` of that record among it. */
export type RecordWaitEnd = WaitEnd | WriteSuperseded

export interface AckWait {
  readonly ack: PlacedAck
  /** Rises from wait to wait: a question that left before a wait was registered says nothing of it. */
  readonly number: number
  /** When the first description was asked for that names another topic, by the monotonic clock; undefined before it. */
  deniedSince: number | undefined
  /** When it was registered, by the monotonic clock. */
  readonly since: number
  readonly end: (outcome: Effect.Effect<Found, RecordWaitEnd>) => void
  /** Whether the record that was read at the offset is the acknowledged one; undefined while none was read there. */
  isThere: boolean | undefined
}

export class AckWaits {
  /** Acknowledgements come nearly in order, so this is pushed to and shifted from. */
  readonly #sorted: Array<AckWait> = []

  get isEmpty(): boolean {
    return this.#sorted.length === 0
  }

  [Symbol.iterator](): Iterator<AckWait> {
    return this.#sorted[Symbol.iterator]()
  }

  /** The first place whose offset is at least this one. */
  #placeOf(offset: number): number {
    let low = 0
    let high = this.#sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#sorted[middle]!.ack.offset < offset) low = middle + 1
      else high = middle
    }
    return low
  }

  add(wait: AckWait): void {
    const { offset } = wait.ack
    const last = this.#sorted.at(-1)
    if (last === undefined || last.ack.offset <= offset) this.#sorted.push(wait)
    else this.#sorted.splice(this.#placeOf(offset), 0, wait)
  }

  remove(wait: AckWait): void {
    const { offset } = wait.ack
    for (let at = this.#placeOf(offset); at < this.#sorted.length; at++) {
      const other = this.#sorted[at]!
      if (other === wait) this.#sorted.splice(at, 1)
      if (other === wait || other.ack.offset > offset) return
    }
  }

  /** Calls `each` with the waits for offsets from `first` to `last`. */
  forEach(first: number, last: number, each: (wait: AckWait) => void): void {
    const sorted = this.#sorted
    // Most batches are past or before everything that is waited for.
    if (sorted.length === 0 || sorted[0]!.ack.offset > last || sorted.at(-1)!.ack.offset < first) return
    for (let at = this.#placeOf(first); at < sorted.length && sorted[at]!.ack.offset <= last; at++) each(sorted[at]!)
  }

  /** Takes out the waits for offsets from `first` to before `end` that fit. */
  take(first: number, end: number, fits: (wait: AckWait) => boolean): ReadonlyArray<AckWait> {
    const sorted = this.#sorted
    if (sorted.length === 0 || sorted[0]!.ack.offset >= end || sorted.at(-1)!.ack.offset < first) return nothing
    const from = this.#placeOf(first)
    const to = this.#placeOf(end)
    const taken: Array<AckWait> = []
    const left: Array<AckWait> = []
    for (const wait of sorted.slice(from, to)) (fits(wait) ? taken : left).push(wait)
    if (taken.length > 0) sorted.splice(from, to - from, ...left)
    return taken
  }
}

const nothing: ReadonlyArray<never> = []
