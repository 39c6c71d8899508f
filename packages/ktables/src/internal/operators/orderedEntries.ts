/**
 * Entries in the order of their keys: a B+tree of two levels, leaves under one array. A look-up compares about as often as a
 * binary search, a change moves at most a leaf, and a range is a walk over leaves.
 *
 * A place is a number: of two places the later one is the larger. It is good until the next change.
 */

/** Compares keys, as Effect's `Order` does. */
export type Compare<K> = (a: K, b: K) => number

export interface Entry<K> {
  readonly key: K
  /** In which entries came: those whose keys the order calls equal stay in it, and are told apart by it. */
  readonly sequence: number
  /** Where its value lies. */
  slot: number
}

/** An entry that comes, and the place of the one that it comes before. */
export interface Addition<K> {
  readonly place: number
  readonly entry: Entry<K>
}

/** Entries of a leaf. */
const MOST = 256
const LEAST = MOST / 4
/** Entries of leaves that many are split into: room is left for others. */
const USUAL = (MOST * 3) / 4

/** More than a leaf has places. */
const WIDTH = 1024

const leafOf = (place: number): number => Math.floor(place / WIDTH)

export class OrderedEntries<K> {
  readonly #compare: Compare<K>
  /** Never none; only where there is a single one, it may be empty. */
  readonly #leaves: Array<Array<Entry<K>>> = [[]]
  /** Rises with every change. */
  #version = 0

  constructor(compare: Compare<K>) {
    this.#compare = compare
  }

  // ---------------------------------------------------------------------------------------------- places

  /** The place of the first entry that is not before; those that are come first. */
  firstNot(isBefore: (entry: Entry<K>) => boolean): number {
    const leaves = this.#leaves
    let low = 0
    let high = leaves.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (isBefore(leaves[middle]!.at(-1)!)) low = middle + 1
      else high = middle
    }
    const leaf = leaves[low]!
    let first = 0
    let end = leaf.length
    while (first < end) {
      const middle = (first + end) >> 1
      if (isBefore(leaf[middle]!)) first = middle + 1
      else end = middle
    }
    return low * WIDTH + first
  }

  get end(): number {
    const last = this.#leaves.length - 1
    return last * WIDTH + this.#leaves[last]!.length
  }

  /** Where an entry that is to come belongs. */
  placeFor(entry: Entry<K>): number {
    return this.firstNot((other) => this.compare(other, entry) < 0)
  }

  /** Where an entry lies that is there. */
  placeOf(entry: Entry<K>): number {
    const place = this.placeFor(entry)
    if (this.#leaves[leafOf(place)]![place % WIDTH] === entry) return place
    // The order contradicts itself, or the key was changed: it is still there.
    for (const [i, leaf] of this.#leaves.entries()) {
      const at = leaf.indexOf(entry)
      if (at >= 0) return i * WIDTH + at
    }
    throw new Error("an entry that is not there was looked for")
  }

  compare(a: Entry<K>, b: Entry<K>): number {
    return this.#compare(a.key, b.key) || a.sequence - b.sequence
  }

  // ---------------------------------------------------------------------------------------------- walks

  /** Runs `visit` for the entries from one place to before another, until it is false. No change may be made meanwhile. */
  forEach(from: number, to: number, visit: (entry: Entry<K>) => boolean): void {
    const last = leafOf(to)
    for (let i = leafOf(from); i <= last; i++) {
      const leaf = this.#leaves[i]!
      const end = i === last ? to % WIDTH : leaf.length
      for (let at = i * WIDTH < from ? from % WIDTH : 0; at < end; at++) if (!visit(leaf[at]!)) return
    }
  }

  /** As `forEach`, from the last to the first. */
  forEachReversed(from: number, to: number, visit: (entry: Entry<K>) => boolean): void {
    const first = leafOf(from)
    for (let i = leafOf(to); i >= first; i--) {
      const leaf = this.#leaves[i]!
      const start = i === first ? from % WIDTH : 0
      for (let at = (i * WIDTH + leaf.length > to ? to % WIDTH : leaf.length) - 1; at >= start; at--) {
        if (!visit(leaf[at]!)) return
      }
    }
  }

  /** Tolerates changes while it is walked: what is deleted before its turn is not visited, what is added behind it is. */
  *[Symbol.iterator](): Generator<Entry<K>, undefined> {
    let version = this.#version
    let leaf = 0
    let at = 0
    for (;;) {
      const entry = this.#leaves[leaf]?.[at]
      if (entry !== undefined) {
        yield entry
        at++
        if (version === this.#version) continue
        version = this.#version
        const place = this.firstNot((other) => this.compare(other, entry) <= 0)
        leaf = leafOf(place)
        at = place % WIDTH
      } else if (leaf < this.#leaves.length - 1) {
        leaf++
        at = 0
      } else return undefined
    }
  }

  // ---------------------------------------------------------------------------------------------- changes

  /** Takes out what lies at places, and puts others in. Both go by their places, and additions to one place by their order. */
  change(removals: ReadonlyArray<number>, additions: ReadonlyArray<Addition<K>>): void {
    this.#version++
    let removed = removals.length
    let added = additions.length
    // From the end, so that the places that are left stay good.
    while (removed > 0 || added > 0) {
      const i = leafOf(Math.max(removals[removed - 1] ?? 0, additions[added - 1]?.place ?? 0))
      const start = i * WIDTH
      const [lastRemoved, lastAdded] = [removed, added]
      while (removed > 0 && removals[removed - 1]! >= start) removed--
      while (added > 0 && additions[added - 1]!.place >= start) added--
      const leaf = this.#leaves[i]!
      if (lastRemoved - removed + lastAdded - added === 1) {
        if (added < lastAdded) leaf.splice(additions[added]!.place - start, 0, additions[added]!.entry)
        else leaf.splice(removals[removed]! - start, 1)
        this.#fit(i, leaf)
      } else {
        const next: Array<Entry<K>> = []
        let [r, a] = [removed, added]
        for (let at = 0; at <= leaf.length; at++) {
          for (; a < lastAdded && additions[a]!.place === start + at; a++) next.push(additions[a]!.entry)
          if (r < lastRemoved && removals[r] === start + at) r++
          else if (at < leaf.length) next.push(leaf[at]!)
        }
        this.#fit(i, next)
      }
    }
  }

  /** Puts a leaf in its place: as several where it has become large, and with a neighbour where it has become small. */
  #fit(i: number, leaf: Array<Entry<K>>): void {
    const leaves = this.#leaves
    if (leaf.length > MOST) {
      // What comes in order at the end fills leaves.
      const most = i === leaves.length - 1 ? MOST : USUAL
      const parts: Array<Array<Entry<K>>> = []
      const size = leaf.length <= 2 * MOST && most === USUAL ? Math.ceil(leaf.length / 2) : most
      for (let at = 0; at < leaf.length; at += size) parts.push(leaf.slice(at, at + size))
      leaves.splice(i, 1, ...parts)
      return
    }
    leaves[i] = leaf
    // The one after it: the places in those before it are yet needed.
    const after = leaves[i + 1]
    if (leaf.length === 0 && leaves.length > 1) leaves.splice(i, 1)
    else if (leaf.length < LEAST && after !== undefined && leaf.length + after.length <= USUAL) {
      leaves.splice(i, 2, [...leaf, ...after])
    }
  }
}
