/**
 * What the reader knows of one partition: where it reads, how far it has read, who leads it, and how that goes.
 */

/** The producers of the newest batches, so that an acknowledged record can be told from another at its offset. */
class RecentBatches {
  static readonly kept = 1024
  readonly #first: Float64Array = new Float64Array(RecentBatches.kept)
  readonly #last: Float64Array = new Float64Array(RecentBatches.kept)
  readonly #producerId: Float64Array = new Float64Array(RecentBatches.kept)
  readonly #producerEpoch: Int32Array = new Int32Array(RecentBatches.kept)
  readonly #sequence: Int32Array = new Int32Array(RecentBatches.kept)
  /** The earliest and the latest time of each batch without a producer id; made for the first of them. */
  #times: Float64Array | undefined
  #count = 0

  add(
    first: number,
    last: number,
    producerId: number,
    producerEpoch: number,
    sequence: number,
    earliest: number,
    latest: number
  ): void {
    const at = this.#count++ % RecentBatches.kept
    this.#first[at] = first
    this.#last[at] = last
    this.#producerId[at] = producerId
    this.#producerEpoch[at] = producerEpoch
    this.#sequence[at] = sequence
    if (producerId >= 0) return
    this.#times ??= new Float64Array(2 * RecentBatches.kept)
    this.#times[2 * at] = earliest
    this.#times[2 * at + 1] = latest
  }

  /**
   * False only when a known batch holds another record at that offset: of another producer, of another place in the
   * producer's numbering, or without numbering of another time.
   */
  agrees(offset: number, producerId: number, producerEpoch: number, sequence: number, timestamp: number): boolean {
    const known = Math.min(this.#count, RecentBatches.kept)
    for (let i = 1; i <= known; i++) {
      const at = (this.#count - i) % RecentBatches.kept
      if (this.#first[at]! > offset || this.#last[at]! < offset) continue
      if (this.#producerId[at] !== producerId || this.#producerEpoch[at] !== producerEpoch) return false
      if (producerId < 0) return this.#times![2 * at]! <= timestamp && timestamp <= this.#times![2 * at + 1]!
      // Sequences wrap to 0 behind 2^31-1.
      return (this.#sequence[at]! + (offset - this.#first[at]!)) % 2147483648 === sequence
    }
    return true
  }
}

export class Partition {
  readonly partition: number
  leader = -1
  leaderEpoch = -1
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
  /** Milliseconds since the epoch since when no answer comes; undefined while connected. */
  disconnectedSince: number | undefined

  readonly recent: RecentBatches = new RecentBatches()

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
    this.question++
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
  get caughtUp(): boolean {
    return this.readTo >= this.target
  }
}
