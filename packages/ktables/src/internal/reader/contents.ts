/**
 * The contents of a table: the immutable map that snapshots hand out, and beside it, kept in step, a native index for
 * point reads with the place of each entry's record in the log.
 */
import { HashMap, MutableHashMap, Option } from "effect"
import type { TableChange } from "../../TableChange.ts"

/** Keys by identity where the language can, by structure where it must. */
class KeyIndex<K> {
  readonly #primitive = new Map<K, number>()
  #structural: MutableHashMap.MutableHashMap<K, number> | undefined

  get(key: K): number | undefined {
    if (typeof key === "string" || typeof key !== "object" || key === null) return this.#primitive.get(key)
    if (this.#structural === undefined) return undefined
    return Option.getOrUndefined(MutableHashMap.get(this.#structural, key))
  }
  set(key: K, slot: number): void {
    if (typeof key !== "object" || key === null) this.#primitive.set(key, slot)
    else MutableHashMap.set((this.#structural ??= MutableHashMap.empty<K, number>()), key, slot)
  }
  delete(key: K): void {
    if (typeof key !== "object" || key === null) this.#primitive.delete(key)
    else if (this.#structural !== undefined) MutableHashMap.remove(this.#structural, key)
  }
}

const doubled = (array: Float64Array): Float64Array => {
  const next = new Float64Array(array.length * 2)
  next.set(array)
  return next
}

/** Where an entry's record lies. */
export interface Place {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
}

export class Contents<K, V> {
  map: HashMap.HashMap<K, V> = HashMap.empty()
  /** Rises by one with every slice that changed something. */
  version = 0
  readonly #index = new KeyIndex<K>()
  #values: Array<V | undefined> = []
  #partitions: Array<number> = []
  #offsets: Float64Array = new Float64Array(64)
  #timestamps: Float64Array = new Float64Array(64)
  readonly #free: Array<number> = []
  /**
   * Where absent keys were deleted. Kept while records come out of order (during a load), and from the moment on that one
   * key was seen in two partitions: a stale record must not bring a deleted key back.
   */
  #graves: Map<K, Place> | undefined
  #size = 0

  /** The map that a running `mutate` writes to. */
  #draft: HashMap.HashMap<K, V> | undefined
  /** The changes of the running `mutate`, when somebody listens. */
  #changes: Array<TableChange.Set<K, V> | TableChange.Deleted<K, V>> | undefined
  #touched = false

  get size(): number {
    return this.#size
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

  /**
   * Runs `write`, whose `set` and `delete` calls become visible together when it returns; a throw leaves the map as it was.
   * With `collect` the changes are handed back.
   */
  mutate(write: () => void, collect: boolean): ReadonlyArray<TableChange.Set<K, V> | TableChange.Deleted<K, V>> {
    this.#changes = collect ? [] : undefined
    this.#touched = false
    const next = HashMap.mutate(this.map, (draft) => {
      this.#draft = draft
      write()
    })
    this.#draft = undefined
    const changes = this.#changes ?? []
    this.#changes = undefined
    if (this.#touched) {
      this.map = next
      this.version++
    }
    return changes
  }

  set(key: K, value: V, partition: number, offset: number, timestamp: number): void {
    if (this.#graves !== undefined) this.#graves.delete(key)
    let slot = this.#index.get(key)
    if (slot === undefined) {
      slot = this.#free.pop() ?? this.#values.length
      if (slot >= this.#offsets.length) {
        this.#offsets = doubled(this.#offsets)
        this.#timestamps = doubled(this.#timestamps)
      }
      this.#index.set(key, slot)
      this.#size++
      if (this.#changes !== undefined) this.#changes.push({ _tag: "Set", key, value, previous: Option.none() })
    } else if (this.#changes !== undefined) {
      this.#changes.push({ _tag: "Set", key, value, previous: Option.some(this.#values[slot] as V) })
    }
    this.#values[slot] = value
    this.#partitions[slot] = partition
    this.#offsets[slot] = offset
    this.#timestamps[slot] = timestamp
    HashMap.set(this.#draft!, key, value)
    this.#touched = true
  }

  delete(key: K, partition: number, offset: number, timestamp: number): void {
    if (this.#graves !== undefined) this.#graves.set(key, { partition, offset, timestamp })
    const slot = this.#index.get(key)
    if (slot === undefined) return
    if (this.#changes !== undefined) {
      this.#changes.push({ _tag: "Deleted", key, previous: this.#values[slot] as V })
    }
    this.#index.delete(key)
    this.#values[slot] = undefined
    this.#free.push(slot)
    this.#size--
    HashMap.remove(this.#draft!, key)
    this.#touched = true
  }

  keepGraves(): void {
    this.#graves ??= new Map()
  }
  dropGraves(): void {
    this.#graves = undefined
  }
  /** The place of the last record that spoke of the key, as far as it is known. */
  previous(key: K): Place | undefined {
    return this.place(key) ?? this.#graves?.get(key)
  }
}
