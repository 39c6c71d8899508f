/** Contents that are kept in the order of their keys, too. */
import { type Change, Contents, type Written } from "../table/contents.ts"
import { KeyIndex } from "../table/keyIndex.ts"
import { isSame } from "./isSame.ts"
import { type Addition, type Compare, type Entry, OrderedEntries } from "./orderedEntries.ts"
import { Places } from "./places.ts"

/** Which entries: all, where nothing is said. */
export interface Range<K> {
  readonly from?: K | undefined
  readonly to?: K | undefined
  readonly prefix?: string | undefined
  readonly limit?: number | undefined
  readonly reverse?: boolean | undefined
}

/** What a commit comes to: found by comparing keys, which may throw, and carried out without it. */
export interface Plan<K, V> {
  /** Slots of the source whose entries were deleted. */
  readonly vacated: ReadonlyArray<number>
  readonly rewritten: ReadonlyArray<{
    readonly from: number
    readonly slot: number
    readonly key: K
    readonly value: V
  }>
  readonly removed: ReadonlyArray<Entry<K>>
  /** Where they lie, in order. */
  readonly removals: ReadonlyArray<number>
  /** In order. */
  readonly additions: ReadonlyArray<Addition<K> & { readonly from: number; readonly value: V }>
}

const hasPrefix = (key: unknown, prefix: string): boolean => typeof key === "string" && key.startsWith(prefix)

export class SortedContents<K, V> extends Contents<K, V> {
  readonly #compare: Compare<K>
  readonly #ordered: OrderedEntries<K>
  readonly #bySlot: Array<Entry<K> | undefined> = []
  readonly #places = new Places()
  #sequence = 0

  constructor(compare: Compare<K>) {
    super()
    this.#compare = compare
    this.#ordered = new OrderedEntries(compare)
  }

  // ---------------------------------------------------------------------------------------------- reads

  override keys(): Array<K> {
    return this.#all(({ key }) => key)
  }
  override values(): Array<V> {
    return this.#all(({ slot }) => this.valueAt(slot))
  }
  override entries(): Array<readonly [K, V]> {
    return this.#all(({ key, slot }) => [key, this.valueAt(slot)] as const)
  }
  /** As the iterator of any contents, in order; it compares keys where there were changes. */
  *inOrder(): Generator<[K, V], undefined> {
    for (const { key, slot } of this.#ordered) yield [key, this.valueAt(slot)]
    return undefined
  }

  #all<A>(f: (entry: Entry<K>) => A): Array<A> {
    const all: Array<A> = []
    this.#ordered.forEach(0, this.#ordered.end, (entry) => {
      all.push(f(entry))
      return true
    })
    return all
  }

  range({ from, limit = Number.POSITIVE_INFINITY, prefix, reverse = false, to }: Range<K>): Array<readonly [K, V]> {
    const ordered = this.#ordered
    const firstNotBelow = (bound: K): number => ordered.firstNot(({ key }) => this.#compare(key, bound) < 0)
    let start = from === undefined ? 0 : firstNotBelow(from)
    let end = to === undefined ? ordered.end : firstNotBelow(to)
    if (prefix !== undefined) {
      const first = prefix as K
      start = Math.max(start, firstNotBelow(first))
      end = Math.min(
        end,
        ordered.firstNot(({ key }) => this.#compare(key, first) < 0 || hasPrefix(key, prefix))
      )
    }
    const found: Array<readonly [K, V]> = []
    if (!(limit >= 1)) return found
    const visit = ({ key, slot }: Entry<K>): boolean => {
      found.push([key, this.valueAt(slot)])
      return found.length + 1 <= limit
    }
    if (reverse) ordered.forEachReversed(start, end, visit)
    else ordered.forEach(start, end, visit)
    return found
  }

  /** Whether a key lies within the bounds of a range; its limit does not count. It does not throw. */
  isWithin({ from, prefix, to }: Range<K>, key: K): boolean {
    try {
      return (
        (from === undefined || this.#compare(key, from) >= 0) &&
        (to === undefined || this.#compare(key, to) < 0) &&
        (prefix === undefined || hasPrefix(key, prefix))
      )
    } catch {
      return true
    }
  }

  // ---------------------------------------------------------------------------------------------- changes

  /** What changes come to, the last one of each key; undefined where no key comes or goes. It throws where an order does. */
  plan(received: ReadonlyArray<Written<K, V>>, refuse: (key: K, cause: unknown) => never): Plan<K, V> | undefined {
    return received.some(({ changes, slots }) =>
      changes.some(({ _tag }, i) => (_tag === "Set") === this.#places.of(slots[i]!) < 0)
    )
      ? this.#plan(received, refuse)
      : undefined
  }

  #plan(received: ReadonlyArray<Written<K, V>>, refuse: (key: K, cause: unknown) => never): Plan<K, V> {
    const last = new KeyIndex<K, { readonly change: Change<K, V>; readonly from: number }>()
    const vacated: Array<number> = []
    for (const { changes, slots } of received) {
      changes.forEach((change, i) => {
        const from = slots[i]!
        if (change._tag === "Deleted") vacated.push(from)
        last.set(change.key, { change, from })
      })
    }
    const rewritten: Array<Plan<K, V>["rewritten"][number]> = []
    const removed: Array<Entry<K>> = []
    const removals: Array<number> = []
    const additions: Array<Plan<K, V>["additions"][number]> = []
    const ordered = this.#ordered
    let compared: K | undefined
    try {
      for (const [key, { change, from }] of last) {
        compared = key
        const slot = this.slotOf(key)
        if (change._tag === "Set") {
          const { value } = change
          if (slot !== undefined) rewritten.push({ from, slot, key, value })
          else {
            const entry: Entry<K> = { key, sequence: this.#sequence++, slot: -1 }
            additions.push({ place: ordered.placeFor(entry), entry, from, value })
          }
        } else if (slot !== undefined) {
          const entry = this.#bySlot[slot]!
          removed.push(entry)
          removals.push(ordered.placeOf(entry))
        }
      }
      removals.sort((a, b) => a - b)
      additions.sort((a, b) => {
        if (a.place !== b.place) return a.place - b.place
        compared = a.entry.key
        return ordered.compare(a.entry, b.entry)
      })
    } catch (cause) {
      return refuse(compared as K, cause)
    }
    return { vacated, rewritten, removed, removals, additions }
  }

  /** Within a mutation. Nothing was changed since the plan was made. */
  carryOut({ additions, removals, removed, rewritten, vacated }: Plan<K, V>): void {
    for (const from of vacated) this.#places.delete(from)
    for (const { key, slot } of removed) {
      this.deleteAt(slot, key)
      this.#bySlot[slot] = undefined
    }
    for (const { from, key, slot, value } of rewritten) {
      this.updateAt(slot, key, value, isSame)
      this.#places.set(from, slot)
    }
    for (const { entry, from, value } of additions) this.#enter(entry, from, value)
    this.#ordered.change(removals, additions)
  }

  /**
   * Within a mutation: adds an entry, or gives it its value. It throws where the order does, before it has written.
   *
   * @param from its slot in the source.
   */
  put(from: number, key: K, value: V, refuse: (key: K, cause: unknown) => never): void {
    const slot = this.#places.of(from)
    if (slot >= 0) return this.updateAt(slot, key, value, isSame)
    const entry: Entry<K> = { key, sequence: this.#sequence++, slot: -1 }
    let place: number
    try {
      place = this.#ordered.placeFor(entry)
    } catch (cause) {
      return refuse(key, cause)
    }
    this.#enter(entry, from, value)
    this.#ordered.change([], [{ place, entry }])
  }

  #enter(entry: Entry<K>, from: number, value: V): void {
    entry.slot = this.add(entry.key, value)
    this.#bySlot[entry.slot] = entry
    this.#places.set(from, entry.slot)
  }
}
