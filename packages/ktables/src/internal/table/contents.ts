/**
 * The contents of a table: a native index for point reads, and the immutable map that snapshots hand out.
 *
 * The map is made when somebody first asks for it and kept in step from then on: a table that is only read by key pays
 * neither its memory nor its time.
 *
 * An entry lies in a slot, a small whole number, for as long as it is there. Whoever fills a table may keep more about its
 * entries in arrays of its own, by their slots.
 */
import * as Effect from "effect/Effect"
import * as HashMap from "effect/HashMap"
import * as Option from "effect/Option"
import type { TableChange } from "../../TableChange.ts"
import { SLICE } from "../slice.ts"
import { KeyIndex } from "./keyIndex.ts"

export type Change<K, V> = TableChange.Set<K, V> | TableChange.Deleted<K, V>

/** What a mutation changed, where somebody wants to know. */
export interface Written<K, V> {
  readonly changes: ReadonlyArray<Change<K, V>>
  /** For each change the slot of its entry; one that was deleted had it, and an entry after it may have it again. */
  readonly slots: ReadonlyArray<number>
}

const nothing: Written<never, never> = { changes: [], slots: [] }

/** Entries put into the map between two looks at the clock: among keys chosen to have one hash, each takes its time. */
const MAP_STRIDE = 8

/** Finds the slot of a key. Keys are compared as `Equal` does. */
export interface SlotIndex<K> {
  get(key: K): number | undefined
  /** A key as it stands in the index, or one that is compared with others as that is. */
  keyOf(key: K): K
  set(key: K, slot: number): void
  delete(key: K): void
  /** Tolerates changes while it is walked: what is deleted before its turn is not visited, what is added may be. */
  [Symbol.iterator](): Iterator<readonly [K, number]>
}

export class Contents<K, V> {
  /** Rises by one with every mutation that changed something. */
  version = 0
  readonly index: SlotIndex<K>
  readonly #values: Array<V | undefined> = []
  readonly #free: Array<number> = []
  #size = 0

  /** Complete when `#making` is undefined. */
  #map: HashMap.HashMap<K, V> | undefined
  /** What is left to be put into the map. */
  #making: Iterator<readonly [K, number]> | undefined
  /** The map that a running `mutate` writes to. */
  #draft: HashMap.HashMap<K, V> | undefined
  /** The changes of the running `mutate`, when somebody listens, and their slots. */
  #changes: Array<Change<K, V>> | undefined
  #slots: Array<number> = []
  #touched = false

  constructor(index: SlotIndex<K> = new KeyIndex<K, number>()) {
    this.index = index
  }

  // ---------------------------------------------------------------------------------------------- reads

  get size(): number {
    return this.#size
  }
  has(key: K): boolean {
    return this.index.get(key) !== undefined
  }
  get(key: K): V | undefined {
    const slot = this.index.get(key)
    return slot === undefined ? undefined : this.valueAt(slot)
  }
  find(key: K): Option.Option<V> {
    const slot = this.index.get(key)
    return slot === undefined ? Option.none() : Option.some(this.valueAt(slot))
  }
  keys(): Array<K> {
    return Array.from(this.index, ([key]) => key)
  }
  values(): Array<V> {
    return Array.from(this.index, ([, slot]) => this.valueAt(slot))
  }
  entries(): Array<readonly [K, V]> {
    return Array.from(this.index, ([key, slot]) => [key, this.valueAt(slot)] as const)
  }
  /** Tolerates changes while it is walked: what is deleted before its turn is not visited, what is added may be. */
  *[Symbol.iterator](): Generator<[K, V], undefined> {
    for (const [key, slot] of this.index) yield [key, this.valueAt(slot)]
    return undefined
  }

  // ---------------------------------------------------------------------------------------------- slots

  /** Where the entry of a key lies; undefined where there is none. */
  slotOf(key: K): number | undefined {
    return this.index.get(key)
  }
  /** The value of the entry that lies there. Where values are made on demand, this makes it. */
  valueAt(slot: number): V {
    return this.#values[slot] as V
  }
  /** Keys and the slots of their entries. */
  slots(): Iterator<readonly [K, number]> {
    return this.index[Symbol.iterator]()
  }

  /** Makes what reads would have to make, in slices: nothing, where values are simply there. */
  get prepareValues(): Effect.Effect<void> {
    return Effect.void
  }

  // ---------------------------------------------------------------------------------------------- the immutable map

  /** Whether somebody has asked for it. */
  get hasMap(): boolean {
    return this.#map !== undefined
  }
  /** Whether it is made. */
  get isMapped(): boolean {
    return this.#map !== undefined && this.#making === undefined
  }

  /** The whole of it as of now; the first call makes it, in time proportional to the size. */
  map(): HashMap.HashMap<K, V> {
    if (!this.isMapped) this.#make(Number.POSITIVE_INFINITY)
    return this.#map!
  }

  /** Makes the map in slices, so that `map` finds it made. */
  readonly prepareMap: Effect.Effect<void> = Effect.suspend(() =>
    this.isMapped ? Effect.void : Effect.andThen(this.prepareValues, this.#prepareMap)
  )

  readonly #prepareMap: Effect.Effect<void> = Effect.suspend(() =>
    this.isMapped || this.#make(performance.now() + SLICE)
      ? Effect.void
      : Effect.andThen(Effect.yieldNow, this.#prepareMap)
  )

  #make(deadline: number): boolean {
    const making = (this.#making ??= this.index[Symbol.iterator]())
    let done = false
    this.#map = HashMap.mutate(this.#map ?? HashMap.empty<K, V>(), (draft) => {
      for (let n = 1; ; n++) {
        const next = making.next()
        if (next.done === true) {
          done = true
          return
        }
        HashMap.set(draft, next.value[0], this.valueAt(next.value[1]))
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
  mutate(write: () => void, collect: boolean): Written<K, V> {
    const written = collect ? { changes: [] as Array<Change<K, V>>, slots: [] as Array<number> } : undefined
    this.#changes = written?.changes
    this.#slots = written?.slots ?? this.#slots
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
    return written ?? nothing
  }

  /** Hands back the slot of the entry. */
  set(key: K, value: V): number {
    const slot = this.index.get(key)
    if (slot === undefined) return this.add(key, value)
    this.#rewrite(slot, key, value)
    return slot
  }

  /** As `set`, unless the key has the same value. */
  update(key: K, value: V, same: (a: V, b: V) => boolean): void {
    const slot = this.index.get(key)
    if (slot === undefined) this.add(key, value)
    else this.updateAt(slot, key, value, same)
  }

  /** As `update`, of an entry whose slot is known. */
  updateAt(slot: number, key: K, value: V, same: (a: V, b: V) => boolean): void {
    // To compare costs more than to write, and nobody would be spared anything.
    const isFollowed = this.#changes !== undefined || this.#draft !== undefined
    if (!isFollowed || !same(this.#values[slot] as V, value)) this.#rewrite(slot, key, value)
  }

  /** As `set`, of a key that is known to be absent. */
  add(key: K, value: V): number {
    const slot = this.#free.pop() ?? this.#values.length
    this.index.set(key, slot)
    this.#size++
    if (this.#changes !== undefined) this.#note(slot, { _tag: "Set", key, value, previous: Option.none() })
    this.#write(slot, key, value)
    return slot
  }

  #rewrite(slot: number, given: K, value: V): void {
    const key = this.index.keyOf(given)
    if (this.#changes !== undefined) {
      this.#note(slot, { _tag: "Set", key, value, previous: Option.some(this.#values[slot] as V) })
    }
    this.#write(slot, key, value)
  }

  #note(slot: number, change: Change<K, V>): void {
    this.#changes!.push(change)
    this.#slots.push(slot)
  }

  #write(slot: number, key: K, value: V): void {
    this.#values[slot] = value
    if (this.#draft !== undefined) HashMap.set(this.#draft, key, value)
    this.#touched = true
  }

  /** The entry has this value from here on, which is not kept here: `valueAt` makes it. */
  protected show(key: K, value: V): void {
    if (this.#draft !== undefined) HashMap.set(this.#draft, key, value)
    this.#touched = true
  }

  /** The running `mutate` changes something that is not written here. */
  protected touch(): void {
    this.#touched = true
  }

  /** Hands back the slot that the entry had; -1 where there was none. */
  delete(key: K): number {
    const slot = this.index.get(key)
    if (slot === undefined) return -1
    this.deleteAt(slot, key)
    return slot
  }

  /** As `delete`, of an entry whose slot is known. */
  deleteAt(slot: number, given: K): void {
    const key = this.index.keyOf(given)
    if (this.#changes !== undefined) {
      this.#note(slot, { _tag: "Deleted", key, previous: this.#values[slot] as V })
    }
    this.index.delete(key)
    this.#values[slot] = undefined
    this.#free.push(slot)
    this.#size--
    if (this.#draft !== undefined) HashMap.remove(this.#draft, key)
    this.#touched = true
  }
}
