/**
 * Which record of a key counts where there are several. Within a partition the later offset wins. Across partitions
 * (partitions were added, or somebody uses another partitioner) the key's owner wins over the others, and among the others
 * the one seen last.
 */
import { partitionOf } from "../records/partitioner.ts"
import type { LogContents } from "./logContents.ts"
import type { ReaderMetrics } from "../log/metrics.ts"
import { Outdone } from "../log/outdone.ts"
import type { Header } from "../../TableEntry.ts"
import type { Source } from "./source.ts"

/**
 * What is known of a record beside the others of its key: that there is no other, that none of those applied is newer, or
 * nothing, so that their places have to be compared.
 */
export type Rank = "only" | "newest" | "any"

/**
 * How far keys lie outside their partitions: not at all; where partitions are added, another record may count then; or
 * some in two partitions, so that a record that goes may uncover an older one elsewhere.
 */
export type Spread = "none" | "foreign" | "shared"

export class Ownership {
  /** How many there are; one more and keys belong elsewhere. */
  partitions = 1
  /**
   * While it is set, a record that its key's owner outdoes is not passed over but doubted: partitions may have been added
   * that whoever wrote it knew of, and then it is the owner's.
   */
  isWary = false
  isDoubtful = false
  /** Set by a record outside its key's partition, where nobody remembers whether the key was deleted in its own. */
  isIgnorant = false
  /** The records that did not count. */
  readonly outdone: Outdone = new Outdone()
  /**
   * Whether the topic's producers hash otherwise, as the last load found. Then a record outside its key's partition says
   * nothing of another one there, and only deletions of keys that were seen in two partitions are remembered.
   */
  isForeign = false
  /** Whether the record that was last admitted found its key in another partition. */
  #isShared = false
  /** As of the last build, and what was read since. */
  spread: Spread = "none"
  readonly #counts: ReaderMetrics["counts"]

  constructor(counts: ReaderMetrics["counts"]) {
    this.#counts = counts
  }

  /** Before records are applied in one go. */
  begin(isWary: boolean): void {
    this.isWary = isWary
    this.isDoubtful = false
    this.isIgnorant = false
  }

  ownerOf(source: Source): number {
    return partitionOf(source.keyBuffer, source.keyStart, source.keyStart + source.keyLength, this.partitions)
  }

  /** @param headers where they are kept. */
  put<K, V>(
    target: LogContents<K, V>,
    source: Source,
    key: K,
    value: V,
    rank: Rank,
    headers?: ReadonlyArray<Header>
  ): void {
    let length = source.keyLength + source.valueLength
    if (headers !== undefined) length += source.headersEnd - source.headersStart
    if (rank === "only") target.putNew(key, value, source.partition, source.offset, source.timestamp, length, headers)
    else if (rank === "newest" || this.#admits(target, source, key)) {
      // Of a load, where every partition has one record of a key.
      if (this.partitions > 1 && rank === "newest" && this.spread !== "shared" && target.has(key))
        this.spread = "shared"
      target.put(key, value, source.partition, source.offset, source.timestamp, length, headers)
    }
  }

  remove<K, V>(target: LogContents<K, V>, source: Source, key: K, rank: Rank): void {
    if (rank === "any" && !this.#admits(target, source, key)) return
    if (!target.hasGraves) target.hasForgotten = true
    else if (target.hasAllGraves || (rank === "any" && this.#isRemembered(source))) {
      target.bury(key, source.partition, source.offset, source.timestamp)
    }
    target.remove(key)
  }

  /** Whether a deletion may have to be held against a record in another partition: only the owner's is. */
  #isRemembered(source: Source): boolean {
    return (this.#isShared || !this.isForeign) && this.ownerOf(source) === source.partition
  }

  /** Whether a record may replace what is known of its key. */
  #admits<K, V>(target: LogContents<K, V>, source: Source, key: K): boolean {
    const previous = target.previous(key)
    this.#isShared = previous !== undefined && previous.partition !== source.partition
    if (!this.#isShared) {
      if (!this.isForeign && this.partitions > 1 && this.ownerOf(source) !== source.partition) {
        if (previous === undefined && target.hasForgotten && source.valueLength >= 0) {
          this.isIgnorant = true
          return false
        }
        target.keepGraves()
      }
      return previous === undefined || previous.offset <= source.offset
    }
    const isDisowned = previous!.partition === this.ownerOf(source)
    if (isDisowned && this.isWary) {
      this.isDoubtful = true
      return false
    }
    this.#counts.foreign++
    this.spread = "shared"
    target.keepGraves()
    if (isDisowned) this.outdone.add(source.partition, source.offset, previous!.partition)
    return !isDisowned
  }
}
