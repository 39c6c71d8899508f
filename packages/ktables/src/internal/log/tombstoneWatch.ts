/**
 * Whether a tombstone of one partition may have expired before it was read.
 *
 * A broker keeps a tombstone for `delete.retention.ms` (R) after it was first cleaned (KIP-534, Kafka 3.1), and so at
 * least for that long after it was appended. What is to be proven is that everything which could replace what was read
 * has been read while it was still in the log:
 *
 * - *Settled*: at a moment `seen` the log ended at or before where the partition has been read to. All that is not read
 *   yet was appended, or became cleanable, after `seen`, on whichever replica: it is there until `seen` + R.
 * - *Reading*: the log's end as of the first question has not been reached. What is not read yet may be of any age, but
 *   on the replica that is read from, a tombstone outlives what it deletes by R, and what it deletes was there after the
 *   first question, which is `seen`. Replicas clean on their own: another one may have neither a record that was read
 *   here nor its tombstone. So all answers have to come from one broker in one leader epoch.
 *
 * In either state nothing may be read once R − R/10 has passed since `seen`. The tenth is for cleanings that take their
 * time, and for new leaders whose high watermark is a little late.
 */
import { earlier, elapsed, type Moment } from "../moment.ts"

interface Source {
  readonly broker: number
  readonly leaderEpoch: number
}

/** The end that the log had at a moment. */
interface Mark {
  readonly at: Moment
  readonly end: number
}

/** What was read is all that there was at `seen`, and the lowest retention that was observed since is this. */
export interface Proof {
  readonly seen: Moment
  /** Milliseconds; infinite where none was observed. */
  readonly retention: number
}

/** Milliseconds for which what is not read yet can be trusted to be there, for a retention. */
export const trustedFor = (retention: number): number => retention * 0.9

export class TombstoneWatch {
  /** Undefined before the first answer. */
  #seen: Moment | undefined
  /** The end that, once reached, moves `seen`. */
  #mark: Mark | undefined
  /** Where the records come from while reading; undefined before the first, and once settled. */
  #source: Source | undefined
  #isSettled = false
  /** The lowest retention that was observed since `seen`, in milliseconds; infinite where none was. */
  #retention = Number.POSITIVE_INFINITY
  /** The retention that was observed last. */
  #observed = Number.POSITIVE_INFINITY
  /** The longest time between a `seen` and an answer since the retention was observed last. */
  #longest = 0
  /** An answer came too late for a retention that was observed after it. */
  #isLate = false

  /** Nothing has been read. */
  begin(): void {
    this.#seen = undefined
    this.#mark = undefined
    this.#source = undefined
    this.#isSettled = false
    this.#retention = this.#observed
    this.#longest = 0
    this.#isLate = false
  }

  /** The partition is settled since a moment in the past, of which others know. To be called after `begin`. */
  resume(seen: Moment, retention: number): void {
    this.#seen = seen
    this.#isSettled = true
    this.#retention = Math.min(retention, this.#observed)
  }

  /** What it rests on that the partition is settled; undefined where it is not, or not any more. */
  get proof(): Proof | undefined {
    return this.#seen === undefined || !this.#isSettled || this.#isLate
      ? undefined
      : { seen: this.#seen, retention: this.#retention }
  }

  /** Whether the partition may be read from a broker: it is settled, nothing was read, or what was read came from there. */
  allows(broker: number, leaderEpoch: number): boolean {
    return this.#source === undefined || (this.#source.broker === broker && this.#source.leaderEpoch === leaderEpoch)
  }

  /** Whether it has to go on with the broker that what was read came from. */
  get isBound(): boolean {
    return this.#source !== undefined
  }

  /**
   * Milliseconds since `seen` where tombstones may have expired since; undefined where none can have.
   *
   * @param assumed the retention where none was observed
   */
  expired(now: Moment, assumed: number): number | undefined {
    if (this.#seen === undefined) return undefined
    const since = elapsed(this.#seen, now)
    return this.#isLate || since >= trustedFor(this.#retention === Number.POSITIVE_INFINITY ? assumed : this.#retention)
      ? since
      : undefined
  }

  /** Milliseconds since `seen`; none before the first answer. */
  since(now: Moment): number | undefined {
    return this.#seen === undefined ? undefined : elapsed(this.#seen, now)
  }

  /** The longest time in milliseconds for which something was not known to be all, since the retention was observed last. */
  longest(now: Moment): number {
    return Math.max(this.#longest, this.since(now) ?? 0)
  }

  /** A broker has answered to a question that was sent at a moment, and the answer is to be applied. */
  answered(source: Source, sent: Moment, now: Moment): void {
    if (this.#seen === undefined) {
      this.#seen = sent
      this.#retention = this.#observed
    }
    if (!this.#isSettled) this.#source ??= source
    this.#longest = Math.max(this.#longest, elapsed(this.#seen, now))
  }

  /** The leader answers to a question that was sent at a moment that the log ends at `end`. */
  ends(sent: Moment, end: number, readTo: number): void {
    // Below what was read or is known to be there, a new leader's watermark has not caught up yet.
    if (end < (this.#mark?.end ?? readTo)) return
    if (this.#mark === undefined || end <= readTo) this.#mark = { at: sent, end }
    this.reached(readTo)
  }

  /** The partition has been read up to here. */
  reached(readTo: number): void {
    if (this.#mark === undefined || this.#seen === undefined || readTo < this.#mark.end) return
    this.#seen = this.#mark.at
    this.#retention = this.#observed
    this.#mark = undefined
    this.#source = undefined
    this.#isSettled = true
  }

  /**
   * The leader is another, since some moment after `before`. Until it knew, the one before may have answered as the leader
   * that it was no more, and not have known of what the new one took.
   */
  elected(before: Moment): void {
    if (this.#seen !== undefined) this.#seen = earlier(this.#seen, before)
    this.#mark = undefined
  }

  /**
   * The topic keeps tombstones for `retention` milliseconds. Nobody knows since when it is so: an answer since the last
   * observation that came too late for it has expired now.
   */
  observe(retention: number): void {
    this.#observed = retention
    this.#retention = Math.min(this.#retention, retention)
    if (this.#longest >= trustedFor(retention)) this.#isLate = true
    this.#longest = 0
  }
}
