/**
 * The contents of a table that a log fills: with each entry the place of its record in the log, and where absent keys were
 * deleted, so that a stale record does not bring one back.
 */
import type { Header, TableEntry } from "../../TableEntry.ts"
import { isGrouped, type TableTopic } from "../../TableTopic.ts"
import { grown } from "../bySlot.ts"
import { noHeaders } from "../records/recordHeaders.ts"
import { Contents, type SlotIndex } from "../table/contents.ts"
import { GroupIndex } from "../table/groupIndex.ts"
import { Graves } from "./graves.ts"
import type { Extent } from "../records/survivors.ts"

/** Where an entry's record lies. */
export interface Place {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
}

/** Deletions that a small table remembers. */
const LEAST_GRAVES = 1024

/** What is kept of each record beside its key, its value and its place. */
export interface Keeps {
  /** How many bytes it takes, to know how many all take. */
  readonly sizes: boolean
  readonly headers: boolean
}

export class LogContents<K, V> extends Contents<K, V> {
  readonly keeps: Keeps
  #partitions = new Int32Array(64)
  #offsets = new Float64Array(64)
  #timestamps = new Float64Array(64)
  /** One look tells that there is nothing to do for most tables. */
  readonly #keepsMore: boolean
  /** Bytes of the entries' keys, values and kept headers, as they are in the log; undefined where nobody asks. */
  #lengths: Int32Array | undefined
  /** Undefined where nobody asks. */
  readonly #headers: Array<ReadonlyArray<Header>> | undefined
  #bytes = 0
  /**
   * Kept while records come out of order (during a load), and from the moment on that records were seen outside their keys'
   * partitions.
   */
  #graves: Graves<K> | undefined
  /** How many deletions are remembered, beside as many as a fourth of the entries. */
  #leastGraves = 0
  /** Whether a key may have been deleted without its grave being known. */
  hasForgotten = false
  readonly #oldest = new Map<number, number>()

  constructor(keeps: Keeps = { sizes: false, headers: false }, index?: SlotIndex<K>) {
    super(index)
    this.keeps = keeps
    this.#keepsMore = keeps.sizes || keeps.headers
    if (keeps.sizes) this.#lengths = new Int32Array(64)
    this.#headers = keeps.headers ? [] : undefined
  }

  /** Entries, and bytes where they are counted. */
  get extent(): Extent {
    return { entries: this.size, bytes: this.#bytes }
  }

  // ---------------------------------------------------------------------------------------------- records

  /**
   * Sets an entry from a record.
   *
   * @param length bytes of the record's key and value, and of its headers where these are kept.
   * @param headers where they are kept.
   */
  put(
    key: K,
    value: V,
    partition: number,
    offset: number,
    timestamp: number,
    length = 0,
    headers?: ReadonlyArray<Header>
  ): void {
    if (this.#graves !== undefined) this.#graves.delete(key)
    this.#place(this.set(key, value), partition, offset, timestamp, length, headers)
  }

  /** As `put`, of a key that is known to be absent. */
  putNew(
    key: K,
    value: V,
    partition: number,
    offset: number,
    timestamp: number,
    length = 0,
    headers?: ReadonlyArray<Header>
  ): void {
    this.#place(this.add(key, value), partition, offset, timestamp, length, headers)
  }

  remove(key: K): void {
    const slot = this.delete(key)
    if (slot >= 0 && this.#keepsMore) this.#keepMore(slot, 0, noHeaders)
  }

  #place(
    slot: number,
    partition: number,
    offset: number,
    timestamp: number,
    length: number,
    headers: ReadonlyArray<Header> | undefined
  ): void {
    if (slot >= this.#offsets.length) {
      this.#partitions = grown(this.#partitions, slot + 1)
      this.#offsets = grown(this.#offsets, slot + 1)
      this.#timestamps = grown(this.#timestamps, slot + 1)
      if (this.#lengths !== undefined) this.#lengths = grown(this.#lengths, slot + 1)
    }
    this.#partitions[slot] = partition
    this.#offsets[slot] = offset
    this.#timestamps[slot] = timestamp
    if (this.#keepsMore) this.#keepMore(slot, length, headers ?? noHeaders)
  }

  #keepMore(slot: number, length: number, headers: ReadonlyArray<Header>): void {
    if (this.#lengths !== undefined) {
      this.#bytes += length - this.#lengths[slot]!
      this.#lengths[slot] = length
    }
    if (this.#headers !== undefined) this.#headers[slot] = headers
  }

  // ---------------------------------------------------------------------------------------------- places

  place(key: K): Place | undefined {
    const slot = this.slotOf(key)
    return slot === undefined
      ? undefined
      : {
          partition: this.#partitions[slot]!,
          offset: this.#offsets[slot]!,
          timestamp: this.#timestamps[slot]!
        }
  }
  /** The entry of a key with all that is known of its record; undefined where there is none. */
  entry(key: K): TableEntry<K, V> | undefined {
    const slot = this.slotOf(key)
    return slot === undefined ? undefined : this.entryAt(slot, key)
  }
  /** Places come first: where two entries are compared field by field, most differ there. */
  entryAt(slot: number, key: K): TableEntry<K, V> {
    const offset = this.#offsets[slot]!
    const timestamp = this.#timestamps[slot]!
    const partition = this.#partitions[slot]!
    const value = this.valueAt(slot)
    return this.#headers === undefined
      ? { offset, timestamp, partition, key, value }
      : ({ offset, timestamp, partition, headers: this.#headers[slot]!, key, value } as TableEntry<K, V>)
  }
  /** The place of the last record that spoke of the key, as far as it is known. */
  previous(key: K): Place | undefined {
    return this.place(key) ?? this.#graves?.get(key)
  }
  partitionOf(slot: number): number {
    return this.#partitions[slot]!
  }
  offsetOf(slot: number): number {
    return this.#offsets[slot]!
  }
  /** An offset that no entry of the partition lies below, as far as it is known. */
  oldest(partition: number): number {
    return this.#oldest.get(partition) ?? 0
  }
  noteOldest(partition: number, offset: number): void {
    this.#oldest.set(partition, offset)
  }

  // ---------------------------------------------------------------------------------------------- deletions

  get hasGraves(): boolean {
    return this.#graves !== undefined
  }
  /** How many deletions are remembered, at most. */
  get graves(): number {
    return this.#graves?.size ?? 0
  }
  /** Remembers where a key was deleted that is absent, or about to be. */
  bury(key: K, partition: number, offset: number, timestamp: number): void {
    this.#graves?.set(key, { partition, offset, timestamp }, this.#leastGraves + (this.size >> 2))
  }
  keepGraves(): void {
    if (this.#graves === undefined) this.#startGraves(LEAST_GRAVES)
  }
  /** Remembers every deletion, so that records may come in any order. */
  keepAllGraves(): void {
    this.#startGraves(Number.POSITIVE_INFINITY)
  }
  get hasAllGraves(): boolean {
    return this.#graves !== undefined && this.#leastGraves === Number.POSITIVE_INFINITY
  }
  #startGraves(least: number): void {
    this.#graves = new Graves()
    this.#leastGraves = least
  }
  dropGraves(): void {
    this.#graves = undefined
  }
}

/** Contents for a topic: keys of two parts are found by these, whatever else their table is asked for. */
export const emptyContents = <K, V, RD, RE>(topic: TableTopic<K, V, RD, RE>, keeps: Keeps): LogContents<K, V> =>
  new LogContents<K, V>(keeps, isGrouped(topic) ? (new GroupIndex() as SlotIndex<unknown> as SlotIndex<K>) : undefined)
