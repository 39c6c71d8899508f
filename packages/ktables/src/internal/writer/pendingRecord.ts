/** A record on its way, and whom to tell what became of it. */
import type { Exit } from "effect"
import type { Header } from "../../TableEntry.ts"
import type { WriteError } from "../../TableError.ts"
import type { WriteAck } from "../../WriteAck.ts"
import type { Moment } from "../moment.ts"
import type { BatchRecord } from "../records/batchWriter.ts"

export type Settle = (exit: Exit.Exit<WriteAck, WriteError>) => void

/** What a writer says of a record beside key and value. */
export interface Metadata {
  readonly headers?: ReadonlyArray<Header> | undefined
  /** Milliseconds since the epoch. */
  readonly timestamp?: number | undefined
}

/**
 * `waiting` for room in the buffer, `queued` for its partition's next batch, `taken` into a batch, `done`: told, or
 * withdrawn by an interruption.
 */
export type State = "waiting" | "queued" | "taken" | "done"

export class PendingRecord implements BatchRecord {
  offsetDelta = 0
  state: State = "waiting"
  partition: number
  /** Milliseconds since the epoch: what its writer says, or when it was handed in. */
  readonly timestamp: number
  /** When it was handed in, by the monotonic clock, from which its delivery time counts. */
  readonly offeredAt: number
  readonly key: Uint8Array
  readonly value: Uint8Array | null
  readonly headers: ReadonlyArray<Header> | undefined
  /** The most bytes it takes in a batch. */
  readonly size: number
  readonly settle: Settle
  constructor(
    partition: number,
    { monotonic, wall }: Moment,
    key: Uint8Array,
    value: Uint8Array | null,
    size: number,
    settle: Settle,
    metadata: Metadata | undefined
  ) {
    this.partition = partition
    this.timestamp = metadata?.timestamp ?? wall
    this.offeredAt = monotonic
    this.key = key
    this.value = value
    this.headers = metadata?.headers
    this.size = size
    this.settle = settle
  }
}
