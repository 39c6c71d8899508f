/**
 * What the reader knows of one partition: where it reads, how far it has read, who leads it, and how that goes. Others read
 * its fields; only its methods write them.
 */
import type { Mutable } from "effect/Types"
import type * as KafkaClient from "../../KafkaClient.ts"
import type { PartitionPosition } from "../../TablePosition.ts"
import type { Mark } from "../checkpoint/format.ts"
import { elapsed, type Moment } from "../moment.ts"
import type { RecordCursor, RecordSetSummary } from "../records/batchReader.ts"
import type { SeenPartition } from "../topic/topicView.ts"
import { RecentBatches } from "./recentBatches.ts"
import { TombstoneWatch } from "./tombstoneWatch.ts"

/** Failures of a partition in a row after which a leader that does not know the epoch that was read is believed. */
export const STALE_METADATA = 8

/** The most bytes a request can ask for. */
const MAX_BYTES = 2147483647

const own = (partition: Partition): Mutable<Partition> => partition

export class Partition {
  readonly partition: number
  readonly leader: number = -1
  readonly leaderEpoch: number = -1
  /** When the newest description was asked for that says so. */
  readonly describedAt: Moment | undefined = undefined
  /** The leader epoch whose leader is known to hold all that was committed before it. */
  readonly confirmedEpoch: number = -1
  /** The follower that the leader names to be read from (KIP-392); -1 for the leader itself. */
  readonly replica: number = -1

  /** Where reading began, and where the log did then. */
  readonly start: number = 0
  readonly firstLogStart: number = 0
  /** The end of the catch-up: fixed when reading begins, and lowered where a log lost what was beyond. */
  readonly target: number = 0
  /** One past the last offset applied. */
  readonly position: number = 0
  /** One past the last offset asked for and answered: ahead of `position` while an answer is being applied. */
  readonly fetchPosition: number = 0
  /** The leader epoch of the last batch applied and of the last one answered; -1 for none. */
  readonly epoch: number = -1
  readonly fetchEpoch: number = -1
  /** The position that `epoch` goes with: inside an answer `position` is ahead of it. */
  readonly epochAt: number = 0
  /** The broker whose answer is being applied; -1 for none. Nobody else may ask for the partition until it is done. */
  readonly readFrom: number = -1
  /** The log is known to hold nothing visible between `position` and here. */
  readonly readTo: number = 0
  /** Rises when `fetchPosition` is set back: an answer to an older question is dropped. */
  readonly question: number = 0

  readonly highWatermark: number = -1
  readonly lastStableOffset: number = -1
  readonly logStart: number = -1
  readonly maxBytes: number

  /** Not asked for until the topic has been described again. */
  readonly parked: boolean = false
  /** Failures in a row, for the back-off. */
  readonly failures: number = 0
  /** The position at which the last answer could not be read on; -1 for none. */
  readonly unreadableAt: number = -1
  /** Milliseconds since the epoch of the last good answer; -1 before the first. */
  readonly answeredAt: number = -1
  /** Until when its broker asked to be left alone, in milliseconds since the epoch; -1 where the last answer did not. */
  readonly throttledUntil: number = -1
  /** Milliseconds since the epoch since when no answer comes; undefined while connected. */
  readonly disconnectedSince: number | undefined = undefined
  /** Why no answer comes, as the last attempt failed; undefined while connected. */
  readonly disconnectedBecause: string | undefined = undefined
  /** Until when the leader is read from, since a follower that it sent to failed: milliseconds of the monotonic clock. */
  readonly leaderUntil: number = -1

  /** Whether reading went on from where an earlier reader had come to. */
  readonly isResumed: boolean = false

  readonly recent: RecentBatches = new RecentBatches()
  readonly tombstones: TombstoneWatch = new TombstoneWatch()

  constructor(partition: number, maxBytes: number) {
    this.partition = partition
    this.maxBytes = maxBytes
  }

  /** Whom it is read from. */
  get source(): number {
    return this.replica >= 0 ? this.replica : this.leader
  }
  /** Offsets between what was read and the high watermark, as the leader last said. */
  get lag(): number {
    return Math.max(0, this.highWatermark - this.readTo)
  }
  /** How much of its log was read. */
  get reached(): PartitionPosition {
    const { epoch, epochAt, partition, readTo } = this
    return { partition, offset: readTo, epoch, epochAt }
  }
  /** Whether an open transaction keeps records from being read that are there. */
  get isHeldBack(): boolean {
    const { highWatermark, lastStableOffset } = this
    return lastStableOffset >= 0 && lastStableOffset <= this.readTo && highWatermark > lastStableOffset
  }
  get caughtUp(): boolean {
    return this.readTo >= this.target
  }
  /** Whether what was read is known to be in its leader's log. Where leaders have no epochs, nobody can tell. */
  get isConfirmed(): boolean {
    return this.leaderEpoch < 0 || this.confirmedEpoch === this.leaderEpoch
  }

  // ---------------------------------------------------------------------------------------------- what is asked for

  /**
   * Begins at `offset`, as for a new log.
   *
   * @param leaderEpoch whose leader said where the log begins and ends; it holds all that was committed before it
   * @param logStart where the log begins: at `offset`, or below it
   */
  begin(offset: number, target: number, leaderEpoch = -1, logStart = offset): void {
    const it = own(this)
    it.start = it.position = it.fetchPosition = it.readTo = it.epochAt = offset
    it.logStart = it.firstLogStart = logStart
    it.target = target
    it.epoch = it.fetchEpoch = -1
    it.confirmedEpoch = leaderEpoch
    it.failures = 0
    it.question++
    it.isResumed = false
    this.recent.clear()
    this.tombstones.begin()
  }

  /** What is before the mark has been read; nothing was missed before `seen`. To be called after `begin`. */
  resume({ epoch, position }: Mark, seen: Moment, retention: number): void {
    const it = own(this)
    it.position = it.fetchPosition = it.readTo = it.epochAt = position
    it.epoch = it.fetchEpoch = epoch
    it.isResumed = true
    this.tombstones.resume(seen, retention)
  }

  /** How far it has been read, for a later reader; undefined inside an answer, and where nothing proves that it is all. */
  mark(now: Moment): Mark | undefined {
    const { proof } = this.tombstones
    if (proof === undefined || this.epochAt !== this.position) return undefined
    return {
      partition: this.partition,
      position: this.position,
      epoch: this.epoch,
      // By the wall clock, as of which the later reader will reckon, and no later than by the other.
      seen: now.wall - elapsed(proof.seen, now),
      retention: proof.retention
    }
  }

  /** What was read, and what is still to be answered, is void. */
  restart(): void {
    this.begin(this.start, this.target, -1, this.firstLogStart)
  }

  /** Asks again for what was answered but not applied. */
  rewind(): void {
    const it = own(this)
    it.fetchPosition = this.position
    it.fetchEpoch = this.epoch
    it.question++
  }

  /** It cannot be read for now. */
  park(): void {
    const it = own(this)
    it.parked = true
    it.replica = -1
    it.failures++
    this.rewind()
  }

  /** True where not even the first batch fits: as much as it needs is asked for from now on. */
  needsMore({ firstBatchNeeds }: RecordSetSummary): boolean {
    if (firstBatchNeeds <= this.maxBytes) return false
    own(this).maxBytes = Math.min(firstBatchNeeds, MAX_BYTES)
    return true
  }

  /** Its log has lost what lies beyond: the catch-up ends earlier. True where it does. */
  lowerTarget(end: number): boolean {
    if (this.caughtUp || end >= this.target) return false
    own(this).target = Math.max(end, this.start)
    return true
  }

  // ---------------------------------------------------------------------------------------------- who leads it

  /**
   * A description names its leader; true where that has to say whether it holds what was read.
   *
   * @param isRetry has it tried again where the leader is the same as before, too
   */
  led({ leader, leaderEpoch, saidAt }: SeenPartition, isRetry: boolean): boolean {
    const it = own(this)
    const isOther = leader !== this.leader || leaderEpoch !== this.leaderEpoch
    const wasKnown = this.leaderEpoch >= 0
    if (isOther) {
      if (wasKnown) this.tombstones.elected(this.describedAt ?? saidAt)
      it.leader = leader
      it.leaderEpoch = leaderEpoch
      it.replica = -1
      // What the old leader is still to answer is asked of the new one.
      this.rewind()
    }
    it.describedAt = saidAt
    if (isOther || isRetry) it.parked = false
    return isOther ? wasKnown : isRetry && this.confirmedEpoch !== leaderEpoch
  }

  /** A description names no leader. */
  leaderless(): void {
    const it = own(this)
    it.leader = it.replica = -1
  }

  /** The leader of an epoch holds all that was committed before it. */
  confirmed(leaderEpoch: number): void {
    own(this).confirmedEpoch = leaderEpoch
  }

  /** The leader sends to a follower. */
  follow(replica: number): void {
    own(this).replica = replica
  }

  /** @param until as `leaderUntil` */
  stayWithLeader(until: number): void {
    own(this).leaderUntil = until
  }

  // ---------------------------------------------------------------------------------------------- whether it answers

  connected(): void {
    const it = own(this)
    it.disconnectedSince = it.disconnectedBecause = undefined
  }

  /** @param at milliseconds since the epoch */
  disconnected(at: number, because: string): void {
    const it = own(this)
    it.disconnectedSince ??= at
    it.disconnectedBecause = because
  }

  /** @param until as `throttledUntil` */
  throttled(until: number): void {
    own(this).throttledUntil = until
  }

  // ---------------------------------------------------------------------------------------------- what is answered

  /** True where the log begins later than it did. */
  startsAt(logStart: number): boolean {
    if (logStart <= this.logStart) return false
    own(this).logStart = logStart
    return true
  }

  /** A good answer says where the log ends. */
  answered({ highWatermark, lastStableOffset }: KafkaClient.FetchedPartition, at: Moment): void {
    const it = own(this)
    it.answeredAt = at.wall
    it.highWatermark = highWatermark
    it.lastStableOffset = lastStableOffset
  }

  /** An end that the leader was asked for beside the fetches. */
  endsAt(end: number, isStable: boolean): void {
    const it = own(this)
    if (isStable) it.lastStableOffset = Math.max(end, this.lastStableOffset)
    else it.highWatermark = Math.max(end, this.highWatermark)
  }

  /** An answer without records, and nothing wrong with it. */
  nothingNew(): void {
    own(this).failures = 0
  }

  /** There is nothing visible up to here. True where that was not known. */
  emptyTo(end: number): boolean {
    if (end <= this.readTo || this.position !== this.fetchPosition) return false
    own(this).readTo = end
    return true
  }

  /** A broker's records are about to be applied; false where there are none from the position on, and nothing else is wrong. */
  take({ lastEpoch, nextOffset, wholeBytes }: RecordSetSummary, broker: number): boolean {
    const it = own(this)
    // Where headers show no batch, reading names what is wrong.
    if (wholeBytes > 0) {
      if (nextOffset <= this.fetchPosition) return false
      it.failures = 0
      it.fetchPosition = nextOffset
      it.fetchEpoch = lastEpoch
    }
    it.readFrom = broker
    return true
  }

  /** Everything before an offset has been applied. */
  applied(position: number): void {
    const it = own(this)
    it.position = Math.max(this.position, position)
    it.readTo = Math.max(this.readTo, this.position)
  }

  /** An answer was read to where the cursor ended. */
  read({ nextOffset, passedEpoch }: RecordCursor): void {
    this.applied(nextOffset)
    const it = own(this)
    it.readFrom = -1
    it.epoch = Math.max(this.epoch, passedEpoch)
    it.epochAt = this.position
  }

  /** Nothing was wrong with what was read. */
  readable(): void {
    own(this).unreadableAt = -1
  }

  /** What was answered cannot be read on; true where it could not before, from the same position. */
  unreadable(): boolean {
    if (this.unreadableAt === this.position) return true
    own(this).unreadableAt = this.position
    return false
  }
}
