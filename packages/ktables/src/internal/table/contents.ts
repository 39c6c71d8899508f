/**
 * The contents of a table: a native index for point reads, with the place of each entry's record in the log, and the
 * immutable map that snapshots hand out.
 *
 * The map is made when somebody first asks for it and kept in step from then on: a table that is only read by key pays
 * neither its memory nor its time.
 */
import { Effect, HashMap, Option } from "effect"
import type { TableChange } from "../../TableChange.ts"
import { Graves } from "./graves.ts"
import { KeyIndex } from "./keyIndex.ts"
import type { Extent } from "./limits.ts"
import { SLICE } from "../slice.ts"

const doubled = <A extends Float64Array | Int32Array>(array: A): A => {
  const next = new (array.constructor as new (length: number) => A)(array.length * 2)
  next.set(array)
  return next
}

/** Where an entry's record lies. */
export interface Place {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the epoch. */
  readonly timestamp: number
}

export type Change<K, V> = TableChange.Set<K, V> | TableChange.Deleted<K, V>

const nothing: ReadonlyArray<never> = []

/** Entries put into the map between two looks at the clock: among keys chosen to have one hash, each takes its time. */
const MAP_STRIDE = 8

/** Deletions that a small table remembers. */
const LEAST_GRAVES = 1024

export class Contents<K, V> {
  /** Rises by one with every slice that changed something. */
  version = 0
  readonly #index = new KeyIndex<K, number>()
  #values: Array<V | undefined> = []
  #partitions = new Int32Array(64)
  #offsets = new Float64Array(64)
  #timestamps = new Float64Array(64)
  /** Bytes of the entries' keys and values, as they are in the log; undefined where nobody asks. */
  #lengths: Int32Array | undefined
  #bytes = 0
  readonly #free: Array<number> = []
  #size = 0
  /**
   * Where absent keys were deleted, so that a stale record does not bring one back. Kept while records come out of order
   * (during a load), and from the moment on that records were seen outside their keys' partitions.
   */
  #graves: Graves<K> | undefined
  /** How many deletions are remembered, beside as many as a fourth of the entries. */
  #leastGraves = 0
  /** Whether a key may have been deleted without its grave being known. */
  hasForgotten = false

  /** Complete when `#making` is undefined. */
  #map: HashMap.HashMap<K, V> | undefined
  /** What is left to be put into the map. */
  #making: Iterator<readonly [K, number]> | undefined
  /** The map that a running `mutate` writes to. */
  #draft: HashMap.HashMap<K, V> | undefined
  /** The changes of the running `mutate`, when somebody listens. */
  #changes: Array<Change<K, V>> | undefined
  #touched = false
  readonly #oldest = new Map<number, number>()

  /** @param isMeasured whether bytes are to be counted, which takes four of them per entry. */
  constructor(isMeasured = false) {
    if (isMeasured) this.#lengths = new Int32Array(64)
  }

  get size(): number {
    return this.#size
  }
  /** Entries, and bytes where they are counted. */
  get extent(): Extent {
    return { entries: this.#size, bytes: this.#bytes }
  }
  has(key: K): boolean {
    return this.#index.get(key) !== undefined
  }
  get(key: K): Option.Option<V> {
    const slot = this.#index.get(key)
    return slot === undefined ? Option.none() : Option.some(this.#values[slot] as V)
  }
  getUnsafe(key: K): V | undefined {
    const slot = this.#index.get(key)
    return slot === undefined ? undefined : this.#values[slot]
  }
  place(key: K): Place | undefined {
    const slot = this.#index.get(key)
    return slot === undefined
      ? undefined
      : {
          partition: this.#partitions[slot]!,
          offset: this.#offsets[slot]!,
          timestamp: this.#timestamps[slot]!
        }
  }
  /** The place of the last record that spoke of the key, as far as it is known. */
  previous(key: K): Place | undefined {
    return this.place(key) ?? this.#graves?.get(key)
  }

  keys(): Array<K> {
    return Array.from(this.#index, ([key]) => key)
  }
  values(): Array<V> {
    return Array.from(this.#index, ([, slot]) => this.#values[slot] as V)
  }
  entries(): Array<readonly [K, V]> {
    return Array.from(this.#index, ([key, slot]) => [key, this.#values[slot] as V] as const)
  }
  *[Symbol.iterator](): Iterator<readonly [K, V]> {
    for (const [key, slot] of this.#index) yield [key, this.#values[slot] as V]
  }

  // ---------------------------------------------------------------------------------------------- the immutable map

  get hasMap(): boolean {
    return this.#map !== undefined
  }

  /** The whole of it as of now; the first call makes it, in time proportional to the size. */
  map(): HashMap.HashMap<K, V> {
    if (this.#map === undefined || this.#making !== undefined) this.#make(Number.POSITIVE_INFINITY)
    return this.#map!
  }

  /** Makes the map in slices, so that `map` finds it made. */
  readonly prepareMap: Effect.Effect<void> = Effect.suspend(() =>
    (this.#map !== undefined && this.#making === undefined) || this.#make(performance.now() + SLICE)
      ? Effect.void
      : Effect.andThen(Effect.yieldNow, this.prepareMap)
  )

  #make(deadline: number): boolean {
    const making = (this.#making ??= this.#index[Symbol.iterator]())
    let done = false
    this.#map = HashMap.mutate(this.#map ?? HashMap.empty<K, V>(), (draft) => {
      for (let n = 1; ; n++) {
        const next = making.next()
        if (next.done === true) {
          done = true
          return
        }
        HashMap.set(draft, next.value[0], this.#values[next.value[1]] as V)
        if (n % MAP_STRIDE === 0 && performance.now() > deadline) return
      }
    })
    if (done) this.#making = undefined
    return done
  }

  // ---------------------------------------------------------------------------------------------- changes

  /**
   * Runs `write`, whose `set` and `delete` calls become visible together when it returns. With `collect` the changes are
   * handed back.
   */
  mutate(write: () => void, collect: boolean): ReadonlyArray<Change<K, V>> {
    const changes: Array<Change<K, V>> | undefined = collect ? [] : undefined
    this.#changes = changes
    this.#touched = false
    try {
      if (this.#map === undefined) write()
      else {
        const next = HashMap.mutate(this.#map, (draft) => {
          this.#draft = draft
          write()
        })
        if (this.#touched) this.#map = next
      }
    } finally {
      this.#draft = undefined
      this.#changes = undefined
    }
    if (this.#touched) this.version++
    return changes ?? nothing
  }

  /** @param length bytes of the record's key and value. */
  set(key: K, value: V, partition: number, offset: number, timestamp: number, length = 0): void {
    if (this.#graves !== undefined) this.#graves.delete(key)
    const slot = this.#index.get(key)
    if (slot === undefined) return this.insert(key, value, partition, offset, timestamp, length)
    if (this.#changes !== undefined) {
      this.#changes.push({ _tag: "Set", key, value, previous: Option.some(this.#values[slot] as V) })
    }
    this.#write(slot, key, value, partition, offset, timestamp, length)
  }

  /** As `set`, of a key that is known to be absent. */
  insert(key: K, value: V, partition: number, offset: number, timestamp: number, length = 0): void {
    const slot = this.#free.pop() ?? this.#values.length
    if (slot >= this.#offsets.length) {
      this.#partitions = doubled(this.#partitions)
      this.#offsets = doubled(this.#offsets)
      this.#timestamps = doubled(this.#timestamps)
      if (this.#lengths !== undefined) this.#lengths = doubled(this.#lengths)
    }
    this.#index.set(key, slot)
    this.#size++
    if (this.#changes !== undefined) this.#changes.push({ _tag: "Set", key, value, previous: Option.none() })
    this.#write(slot, key, value, partition, offset, timestamp, length)
  }

  #write(slot: number, key: K, value: V, partition: number, offset: number, timestamp: number, length: number): void {
    this.#values[slot] = value
    this.#partitions[slot] = partition
    this.#offsets[slot] = offset
    this.#timestamps[slot] = timestamp
    if (this.#lengths !== undefined) this.#measure(this.#lengths, slot, length)
    if (this.#draft !== undefined) HashMap.set(this.#draft, key, value)
    this.#touched = true
  }

  #measure(lengths: Int32Array, slot: number, length: number): void {
    this.#bytes += length - lengths[slot]!
    lengths[slot] = length
  }

  delete(key: K): void {
    const slot = this.#index.get(key)
    if (slot === undefined) return
    if (this.#changes !== undefined) {
      this.#changes.push({ _tag: "Deleted", key, previous: this.#values[slot] as V })
    }
    this.#index.delete(key)
    this.#values[slot] = undefined
    if (this.#lengths !== undefined) this.#measure(this.#lengths, slot, 0)
    this.#free.push(slot)
    this.#size--
    if (this.#draft !== undefined) HashMap.remove(this.#draft, key)
    this.#touched = true
  }

  // ---------------------------------------------------------------------------------------------- places in the log

  /** Keys and the slots of their entries, for `partitionOf` and `offsetOf`. */
  slots(): Iterator<readonly [K, number]> {
    return this.#index[Symbol.iterator]()
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
    this.#graves?.set(key, { partition, offset, timestamp }, this.#leastGraves + (this.#size >> 2))
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
