/**
 * What the reader knows of one partition: where it reads, how far it has read, who leads it, and how that goes.
 */
import type { Moment } from "../moment.ts"
import { RecentBatches } from "./recentBatches.ts"
import { TombstoneWatch } from "./tombstoneWatch.ts"

export class Partition {
  readonly partition: number
  leader = -1
  leaderEpoch = -1
  /** When the newest description was asked for that says so. */
  describedAt: Moment | undefined
  /** The leader epoch whose leader is known to hold all that was committed before it. */
  confirmedEpoch = -1
  /** The follower the leader told us to read from (KIP-392); -1 for the leader itself. */
  replica = -1

  /** Where reading began. */
  start = 0
  /** The end of the catch-up: fixed when reading begins. */
  target = 0
  /** One past the last offset applied. */
  position = 0
  /** One past the last offset asked for and answered: ahead of `position` while an answer is being applied. */
  fetchPosition = 0
  /** The leader epoch of the last batch applied and of the last one answered; -1 for none. */
  epoch = -1
  fetchEpoch = -1
  /** The position that `epoch` goes with: inside an answer `position` is ahead of it. */
  epochAt = 0
  /** The broker whose answer is being applied; -1 for none. Nobody else may ask for the partition until it is done. */
  readFrom = -1
  /** The log is known to hold nothing visible between `position` and here. */
  readTo = 0
  /** Rises when `fetchPosition` is set back: an answer to an older question is dropped. */
  question = 0

  highWatermark = -1
  lastStableOffset = -1
  logStart = -1
  maxBytes: number

  /** Not asked for until the topic has been described again. */
  parked = false
  /** Failures in a row, for the back-off. */
  failures = 0
  /** The position at which the last answer could not be read on; -1 for none. */
  unreadableAt = -1
  /** Milliseconds since the epoch of the last good answer; -1 before the first. */
  answeredAt = -1
  /** Until when its broker asked to be left alone, in milliseconds since the epoch; -1 where the last answer did not. */
  throttledUntil = -1
  /** Milliseconds since the epoch since when no answer comes; undefined while connected. */
  disconnectedSince: number | undefined
  /** Why no answer comes, as the last attempt failed; undefined while connected. */
  disconnectedBecause: string | undefined
  /** Until when the leader is read from, since a follower that it sent to failed: milliseconds of the monotonic clock. */
  leaderUntil = -1

  readonly recent: RecentBatches = new RecentBatches()
  readonly tombstones: TombstoneWatch = new TombstoneWatch()

  constructor(partition: number, maxBytes: number) {
    this.partition = partition
    this.maxBytes = maxBytes
  }

  /** Begins at `offset`, as for a new log. */
  begin(offset: number, target: number): void {
    this.start = offset
    this.target = target
    this.position = offset
    this.fetchPosition = offset
    this.readTo = offset
    this.epoch = -1
    this.fetchEpoch = -1
    this.epochAt = offset
    this.recent.clear()
    this.question++
    this.tombstones.begin()
  }

  /** Asks again for what was answered but not applied. */
  rewind(): void {
    this.fetchPosition = this.position
    this.fetchEpoch = this.epoch
    this.question++
  }

  get source(): number {
    return this.replica >= 0 ? this.replica : this.leader
  }
  /** Offsets between what was read and the high watermark. */
  get lag(): number {
    return Math.max(0, this.highWatermark - this.readTo)
  }
  get caughtUp(): boolean {
    return this.readTo >= this.target
  }
}
