/**
 * Waits on positions: what `awaitOffset`, `barrier` and the catch-up hang on.
 *
 * A wait for an acknowledged record is judged by the batch that is read at its offset, at the moment that batch is entered.
 * One that comes later is judged by the batches that are remembered, and where those do not reach back, by a look into the
 * log, which is not this module's (`unknown`).
 */
import { type Clock, Effect, Latch } from "effect"
import { DataLoss, WriteSuperseded } from "../../TableError.ts"
import type { BatchListener } from "../records/batchReader.ts"
import { type AckWait, AckWaits, type Found, type RecordWaitEnd, type WaitEnd } from "./ackWaits.ts"
import type { Outdone } from "./outdone.ts"
import type { Partition } from "./partition.ts"
import type { PlacedAck } from "./recentBatches.ts"
import { monotonicMillis } from "../moment.ts"

interface PositionsWait {
  /** What each partition must have been read to; met ones are removed. */
  readonly targets: Map<number, number>
  /** When it was registered, by the monotonic clock. */
  readonly since: number
  readonly end: (outcome: Effect.Effect<"reached" | "again", WaitEnd>) => void
}

/**
 * Milliseconds for which descriptions must name another topic than an acknowledgement does, or no such partition, before
 * that one counts as recreated: a broker may be late to learn of what was written to.
 */
const ANOTHER_FOR = 3000

const lost = (ack: PlacedAck, resetTo: number, detail: string): DataLoss =>
  new DataLoss({ topic: ack.topic, partition: ack.partition, consumedTo: ack.offset + 1, resetTo, detail })

/** Another record was found where the acknowledged one should be. */
export const replaced = (ack: PlacedAck): DataLoss =>
  lost(ack, ack.offset, "another record stands at the acknowledged offset; write with acks all")

/** The log begins after the acknowledged record. */
export const deleted = (ack: PlacedAck, logStart: number): DataLoss =>
  lost(ack, logStart, "records up to there were deleted from the log, the acknowledged one among them")

const recreated = (ack: PlacedAck): DataLoss => lost(ack, 0, "the topic was recreated after the write")

const nowhere = (ack: PlacedAck, partitions: number): DataLoss =>
  lost(
    ack,
    0,
    `the topic has ${partitions === 1 ? "one partition" : `${partitions} partitions`}, and none of that number`
  )

export class OffsetWaiters {
  readonly #outdone: Outdone
  readonly #clock: Clock.Clock
  /** Open while somebody may wait. */
  readonly #awaited = Latch.makeUnsafe(false)
  readonly #positions = new Set<PositionsWait>()
  /** Waits for acknowledged records, by partition. */
  readonly #acks = new Map<number, AckWaits>()
  #registered = 0
  #round = 0
  #closed: WaitEnd | undefined
  /** The topic that positions count in; undefined while unknown, or where brokers have no ids. */
  #topicId: string | undefined
  /** How many partitions the topic has; undefined while unknown. */
  #partitions: number | undefined
  /** Topics of the same name that were followed before. */
  readonly #former = new Set<string>()

  /** While contents are being built, positions are ahead of what can be read: nothing is met until `release`. */
  #held = true

  constructor(outdone: Outdone, clock: Clock.Clock) {
    this.#outdone = outdone
    this.#clock = clock
  }

  /** Since when the oldest wait for a record goes on, by the monotonic clock; infinite where there is none. */
  get ackAwaitedSince(): number {
    let since = Number.POSITIVE_INFINITY
    for (const waits of this.#acks.values()) for (const wait of waits) since = Math.min(since, wait.since)
    return since
  }

  /** As `ackAwaitedSince`, of the waits for positions. */
  get positionsAwaitedSince(): number {
    let since = Number.POSITIVE_INFINITY
    for (const wait of this.#positions) since = Math.min(since, wait.since)
    return since
  }

  /** What the waits for positions wait for. */
  get awaitedPositions(): ReadonlyMap<number, number> {
    const highest = new Map<number, number>()
    for (const { targets } of this.#positions) {
      for (const [partition, target] of targets) highest.set(partition, Math.max(target, highest.get(partition) ?? 0))
    }
    return highest
  }

  /** Waits until there is a wait. */
  readonly someone: Effect.Effect<void> = Effect.suspend(() => {
    // One may have begun since the caller found none.
    if (Math.min(this.ackAwaitedSince, this.positionsAwaitedSince) < Number.POSITIVE_INFINITY) return Effect.void
    this.#awaited.closeUnsafe()
    return this.#awaited.await
  })

  /** Partitions that somebody waits for an acknowledged write in. */
  get awaitedPartitions(): ReadonlyArray<number> {
    return [...this.#acks].flatMap(([partition, waits]) => (waits.isEmpty ? [] : [partition]))
  }

  /** Whether somebody waits for a write to another topic than the one that is read, or to a partition that it has not. */
  get awaitsAnother(): boolean {
    for (const waits of this.#acks.values()) {
      for (const { ack } of waits) if (!this.#speaksOf(ack) || !this.#hasPartition(ack)) return true
    }
    return false
  }

  /** Whether positions are ahead of what can be read. */
  get isHeld(): boolean {
    return this.#held
  }

  hold(): void {
    this.#held = true
    // What was read before counts no more.
    for (const waits of this.#acks.values()) for (const wait of waits) wait.isThere = undefined
  }
  release(partitions: ReadonlyMap<number, Partition>): void {
    this.#held = false
    for (const partition of partitions.values()) this.advance(partition)
  }

  /** Rises whenever targets have to be taken again. */
  get round(): number {
    return this.#round
  }

  /**
   * Succeeds with `reached` once every partition has been read to its target, with `again` when the log was found to be
   * another, so that targets have to be taken again.
   *
   * @param round in which one began to take the targets
   */
  awaitPositions(
    targets: ReadonlyMap<number, number>,
    round: number,
    partitions: ReadonlyMap<number, Partition>
  ): Effect.Effect<"reached" | "again", WaitEnd> {
    return Effect.callback((end) => {
      // Looked at in the step that registers: the fiber may have had to yield before it.
      if (this.#closed !== undefined) return end(Effect.fail(this.#closed))
      if (round !== this.#round) return end(again)
      const left = new Map<number, number>()
      for (const [partition, target] of targets) {
        if (this.#held || (partitions.get(partition)?.readTo ?? 0) < target) left.set(partition, target)
      }
      if (left.size === 0) return end(reached)
      const wait: PositionsWait = { targets: left, since: this.#now(), end }
      this.#positions.add(wait)
      return Effect.sync(() => this.#positions.delete(wait))
    })
  }

  /** What is known of an acknowledged record now; undefined while it is not to be seen yet. */
  look(ack: PlacedAck, partitions: ReadonlyMap<number, Partition>): Effect.Effect<Found, RecordWaitEnd> | undefined {
    if (this.#closed !== undefined) return Effect.fail(this.#closed)
    if (ack.topicId !== undefined && this.#former.has(ack.topicId)) return Effect.fail(recreated(ack))
    const partition = partitions.get(ack.partition)
    return !this.#held && partition !== undefined && this.#speaksOf(ack) && partition.position > ack.offset
      ? this.#verdict(ack, partition.recent.holds(ack))
      : undefined
  }

  /**
   * Ends once a record was applied at the acknowledged offset: it is the acknowledged one, another one (`DataLoss`), or one
   * that is not remembered.
   */
  awaitAck(ack: PlacedAck, partitionsNow: () => ReadonlyMap<number, Partition>): Effect.Effect<Found, RecordWaitEnd> {
    return Effect.callback((end) => {
      // As in `awaitPositions`.
      const partitions = partitionsNow()
      const known = this.look(ack, partitions)
      if (known !== undefined) return end(known)
      let waits = this.#acks.get(ack.partition)
      if (waits === undefined) this.#acks.set(ack.partition, (waits = new AckWaits()))
      const wait: AckWait = {
        ack,
        number: this.#registered++,
        since: this.#now(),
        deniedSince: undefined,
        end,
        // Its batch may have been entered already.
        isThere: this.#speaksOf(ack) ? partitions.get(ack.partition)?.recent.holds(ack) : undefined
      }
      waits.add(wait)
      return Effect.sync(() => waits.remove(wait))
    })
  }

  /** Remembers the batches of a partition as they are entered, and judges those who wait for a record in one. */
  listenerOf(partition: Partition): BatchListener {
    const { recent } = partition
    return {
      add: (first, last, producerHigh, producerLow, producerEpoch, baseSequence, earliest, latest) => {
        recent.add(first, last, producerHigh, producerLow, producerEpoch, baseSequence, earliest, latest)
        this.#acks.get(partition.partition)?.forEach(first, last, (wait) => {
          if (this.#speaksOf(wait.ack)) wait.isThere = recent.holds(wait.ack)
        })
      }
    }
  }

  /** When a wait begins. */
  #now(): number {
    this.#awaited.openUnsafe()
    return monotonicMillis(this.#clock)
  }

  /** To be called after a partition's position or `readTo` rose. */
  advance(partition: Partition): void {
    if (this.#held) return
    if (this.#positions.size > 0) {
      for (const wait of this.#positions) {
        const target = wait.targets.get(partition.partition)
        if (target === undefined || partition.readTo < target) continue
        wait.targets.delete(partition.partition)
        if (wait.targets.size > 0) continue
        this.#positions.delete(wait)
        wait.end(reached)
      }
    }
    const passed = this.#acks
      .get(partition.partition)
      ?.take(Number.NEGATIVE_INFINITY, partition.position, ({ ack }) => this.#speaksOf(ack))
    if (passed !== undefined) for (const wait of passed) wait.end(this.#verdict(wait.ack, wait.isThere))
  }

  /** How many waits were registered so far: a question that leaves now can only speak of these. */
  question(): number {
    return this.#registered
  }

  /** Whether `logEndsAt` would end a wait. */
  awaitsBeyond(partition: number, logEnd: number, question: number): boolean {
    let found = false
    this.#acks.get(partition)?.forEach(logEnd, Number.POSITIVE_INFINITY, (wait) => {
      found ||= this.#isLost(wait, question)
    })
    return found
  }

  /** The leader's log ends at `logEnd`: records at or after it that were acknowledged before the question left are gone. */
  logEndsAt(partition: number, logEnd: number, question: number): void {
    const gone = this.#acks
      .get(partition)
      ?.take(logEnd, Number.POSITIVE_INFINITY, (wait) => this.#isLost(wait, question))
    if (gone === undefined) return
    const detail = "an election dropped a record that had been acknowledged; write with acks all"
    for (const wait of gone) wait.end(Effect.fail(lost(wait.ack, logEnd, detail)))
  }

  #isLost({ ack, number }: AckWait, question: number): boolean {
    return number < question && this.#speaksOf(ack)
  }

  /**
   * The cluster says that this is the topic: acknowledgements of one that was followed before can no longer be met, nor can
   * those of one, or of a partition, that nobody has learned of for long.
   *
   * @param askedAt when the cluster was asked, by the monotonic clock; undefined where that is long ago
   */
  confirmTopic(topicId: string | undefined, partitions: number, askedAt?: number): void {
    if (this.#topicId !== undefined && topicId !== undefined && topicId !== this.#topicId) {
      this.#former.add(this.#topicId)
    }
    this.#topicId = topicId
    this.#partitions = partitions
    if (topicId !== undefined) this.#former.delete(topicId)
    const isGone = (wait: AckWait): boolean =>
      this.#speaksOf(wait.ack)
        ? !this.#hasPartition(wait.ack) && isDenied(wait, askedAt)
        : this.#former.has(wait.ack.topicId!) || isDenied(wait, askedAt)
    for (const waits of this.#acks.values()) {
      for (const wait of waits.take(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, isGone)) {
        wait.end(Effect.fail(this.#speaksOf(wait.ack) ? nowhere(wait.ack, partitions) : recreated(wait.ack)))
      }
    }
  }

  #verdict(ack: PlacedAck, isThere: boolean | undefined): Effect.Effect<Found, RecordWaitEnd> {
    return isThere === undefined ? unknown : isThere ? this.applied(ack) : Effect.fail(replaced(ack))
  }

  /** What a record that was applied came to: it could be read, unless it was passed over. */
  applied({ offset, partition, topic }: PlacedAck): Effect.Effect<Found, WriteSuperseded> {
    const owner = this.#outdone.ownerOf(partition, offset)
    return owner === undefined ? applied : Effect.fail(new WriteSuperseded({ topic, partition, offset, owner }))
  }

  #speaksOf(ack: PlacedAck): boolean {
    return ack.topicId === undefined || this.#topicId === undefined || ack.topicId === this.#topicId
  }

  #hasPartition({ partition }: PlacedAck): boolean {
    return this.#partitions === undefined || partition < this.#partitions
  }

  /** Positions count from scratch: targets have to be taken again. */
  again(): void {
    this.#round++
    for (const wait of this.#takePositions()) wait.end(again)
  }

  /** Who is woken may wait again at once, and is not to be woken twice. */
  #takePositions(): ReadonlyArray<PositionsWait> {
    const all = [...this.#positions]
    this.#positions.clear()
    return all
  }

  /** Fails everything that waits, and with `closed` everything that ever will. */
  fail(error: WaitEnd, closed: boolean): void {
    if (closed) this.#closed = error
    for (const wait of this.#takePositions()) wait.end(Effect.fail(error))
    for (const waits of this.#acks.values()) {
      for (const wait of waits.take(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, () => true)) {
        wait.end(Effect.fail(error))
      }
    }
  }

  reopen(): void {
    this.#closed = undefined
  }
}

const reached: Effect.Effect<"reached"> = Effect.succeed("reached")
const again: Effect.Effect<"again"> = Effect.succeed("again")
const applied: Effect.Effect<Found> = Effect.succeed("applied")
const unknown: Effect.Effect<Found> = Effect.succeed("unknown")

/**
 * Whether descriptions have named another topic, or no such partition, for long enough.
 *
 * @param askedAt as in `confirmTopic`
 */
const isDenied = (wait: AckWait, askedAt: number | undefined): boolean => {
  if (askedAt === undefined) return false
  wait.deniedSince ??= askedAt
  return askedAt - wait.deniedSince >= ANOTHER_FOR
}
