import type { BatchProblem } from "./batchReader.ts"

/**
 * A walk over records, of which each shows its parts in place, without an object of its own: what survivors are taken from.
 */
export interface RecordWalk {
  /** Moves to the next record; false at the end, and at a problem. */
  readonly next: () => boolean
  readonly problem: BatchProblem | undefined
  /** Holds the current record's bytes. */
  readonly buffer: Buffer
  readonly offset: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
  readonly keyStart: number
  /** Bytes; -1 for a null key. */
  readonly keyLength: number
  readonly valueStart: number
  /** Bytes; -1 for a null value (a tombstone). */
  readonly valueLength: number
  /** Where the current record ends in `buffer`. Its headers lie between its value and this. */
  readonly recordEnd: number
}
