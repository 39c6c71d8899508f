/**
 * Waits on positions: what `awaitOffset`, `barrier` and the catch-up hang on.
 */
import { Deferred, Effect } from "effect"
import type { WriteAck } from "../../WriteAck.ts"
import { DataLoss, type TableError } from "../../TableError.ts"
import type { Partition } from "./partition.ts"

interface PositionsWait {
  /** What each partition must have been read to; met ones are removed. */
  readonly targets: Map<number, number>
  readonly done: Deferred.Deferred<"reached" | "again", TableError>
}

interface AckWait {
  readonly ack: WriteAck & { readonly offset: number }
  readonly done: Deferred.Deferred<void, TableError>
}

const lost = (ack: WriteAck & { readonly offset: number }, resetTo: number, detail: string): DataLoss =>
  new DataLoss({ topic: ack.topic, partition: ack.partition, consumedTo: ack.offset + 1, resetTo, detail })

export class Gate {
  readonly #positions = new Set<PositionsWait>()
  readonly #acks = new Set<AckWait>()
  #closed: TableError | undefined
  /** The topic that positions count in; undefined while unknown, or where brokers have no ids. */
  topicId: string | undefined

  /** While contents are being built, positions are ahead of what can be read: nothing is met until `release`. */
  #held = true

  /** Partitions that somebody waits for an acknowledged write in. */
  get awaitedPartitions(): ReadonlySet<number> {
    return new Set([...this.#acks].map((wait) => wait.ack.partition))
  }

  /** Whether somebody waits for a write to another topic than the one that is read. */
  get awaitsAnother(): boolean {
    for (const wait of this.#acks) if (!this.#speaksOf(wait.ack)) return true
    return false
  }

  hold(): void {
    this.#held = true
  }
  release(partitions: ReadonlyMap<number, Partition>): void {
    this.#held = false
    for (const partition of partitions.values()) this.advance(partition)
  }

  /**
   * Succeeds with `reached` once every partition has been read to its target, with `again` when the log was found to be
   * another, so that targets have to be taken anew.
   */
  awaitPositions(
    targets: ReadonlyMap<number, number>,
    partitions: ReadonlyMap<number, Partition>
  ): Effect.Effect<"reached" | "again", TableError> {
    return Effect.suspend(() => {
      if (this.#closed !== undefined) return Effect.fail(this.#closed)
      const left = new Map<number, number>()
      for (const [partition, target] of targets) {
        if (this.#held || (partitions.get(partition)?.readTo ?? 0) < target) left.set(partition, target)
      }
      if (left.size === 0) return Effect.succeed("reached")
      const wait: PositionsWait = { targets: left, done: Deferred.makeUnsafe() }
      this.#positions.add(wait)
      return Effect.ensuring(
        Deferred.await(wait.done),
        Effect.sync(() => this.#positions.delete(wait))
      )
    })
  }

  /** Succeeds once the acknowledged record, and not another at its offset, has been applied. */
  awaitAck(
    ack: WriteAck & { readonly offset: number },
    partitions: ReadonlyMap<number, Partition>
  ): Effect.Effect<void, TableError> {
    return Effect.suspend(() => {
      if (this.#closed !== undefined) return Effect.fail(this.#closed)
      const partition = partitions.get(ack.partition)
      if (!this.#held && partition !== undefined && this.#speaksOf(ack) && partition.position > ack.offset) {
        return verify(ack, partition)
      }
      const wait: AckWait = { ack, done: Deferred.makeUnsafe() }
      this.#acks.add(wait)
      return Effect.ensuring(
        Deferred.await(wait.done),
        Effect.sync(() => this.#acks.delete(wait))
      )
    })
  }

  /** To be called after a partition's position or `readTo` rose. */
  advance(partition: Partition): void {
    if (this.#held) return
    if (this.#positions.size > 0) {
      for (const wait of this.#positions) {
        const target = wait.targets.get(partition.partition)
        if (target === undefined || partition.readTo < target) continue
        wait.targets.delete(partition.partition)
        if (wait.targets.size === 0) Deferred.doneUnsafe(wait.done, Effect.succeed("reached"))
      }
    }
    if (this.#acks.size > 0) {
      for (const wait of this.#acks) {
        if (wait.ack.partition !== partition.partition || partition.position <= wait.ack.offset) continue
        if (!this.#speaksOf(wait.ack)) continue
        Deferred.doneUnsafe(wait.done, verify(wait.ack, partition))
      }
    }
  }

  /** The leader's log ends at `end`: acknowledged records at or behind it are gone. */
  logEndsAt(partition: number, end: number): void {
    for (const wait of this.#acks) {
      if (wait.ack.partition === partition && wait.ack.offset >= end) {
        const detail = "an election dropped a record that had been acknowledged; write with acks all"
        Deferred.doneUnsafe(wait.done, Effect.fail(lost(wait.ack, end, detail)))
      }
    }
  }

  /** The cluster says that this is the topic now: acknowledgements of another can no longer be met. */
  confirmTopic(topicId: string | undefined): void {
    this.topicId = topicId
    for (const wait of this.#acks) {
      if (this.#speaksOf(wait.ack)) continue
      Deferred.doneUnsafe(wait.done, Effect.fail(lost(wait.ack, 0, "the topic was recreated after the write")))
    }
  }

  #speaksOf(ack: WriteAck): boolean {
    return ack.topicId === undefined || this.topicId === undefined || ack.topicId === this.topicId
  }

  /** Positions count anew: targets have to be taken anew, too. */
  again(): void {
    // Who is told may wait anew at once, and is not to be told twice.
    for (const wait of Array.from(this.#positions)) Deferred.doneUnsafe(wait.done, Effect.succeed("again"))
  }

  /** Fails everything that waits, and with `closed` everything that ever will. */
  fail(error: TableError, closed: boolean): void {
    if (closed) this.#closed = error
    for (const wait of this.#positions) Deferred.doneUnsafe(wait.done, Effect.fail(error))
    for (const wait of this.#acks) Deferred.doneUnsafe(wait.done, Effect.fail(error))
  }

  reopen(): void {
    this.#closed = undefined
  }
}

const verify = (ack: WriteAck & { readonly offset: number }, partition: Partition): Effect.Effect<void, DataLoss> =>
  partition.recent.agrees(ack.offset, ack.producerId, ack.producerEpoch, ack.sequence, ack.timestamp)
    ? Effect.void
    : Effect.fail(lost(ack, ack.offset, "another record stands at the acknowledged offset; write with acks all"))
