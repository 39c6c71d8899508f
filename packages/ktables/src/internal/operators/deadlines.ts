/**
 * Slots in the order of their deadlines: a binary heap that knows where each slot lies in it. Most deadlines are only ever put
 * off, by heartbeats, so that a slot lies where an earlier one of its deadlines belongs until that comes first.
 */
export class Deadlines {
  readonly #heap: Array<number> = []
  /** Where a slot lies in the heap; -1 where it does not. */
  readonly #places: Array<number> = []
  /** What a slot lies in the heap by: its deadline, or an earlier one. */
  readonly #sorted: Array<number> = []
  readonly #deadlines: Array<number> = []

  /** Infinity where there is none. */
  get earliest(): number {
    for (;;) {
      if (this.#heap.length === 0) return Number.POSITIVE_INFINITY
      const slot = this.#heap[0]!
      const deadline = this.#deadlines[slot]!
      if (this.#sorted[slot] === deadline) return deadline
      this.#sorted[slot] = deadline
      this.#sink(slot, 0)
    }
  }

  /** The slot whose deadline `earliest` was. */
  get first(): number {
    return this.#heap[0]!
  }

  /** Of a slot that has one. */
  of(slot: number): number {
    return this.#deadlines[slot]!
  }

  set(slot: number, deadline: number): void {
    const place = this.#places[slot] ?? -1
    this.#deadlines[slot] = deadline
    if (place >= 0 && deadline >= this.#sorted[slot]!) return
    this.#sorted[slot] = deadline
    this.#rise(slot, place < 0 ? this.#heap.length : place)
  }

  /** Of a slot that has one. */
  delete(slot: number): void {
    const place = this.#places[slot]!
    const last = this.#heap.pop()!
    this.#places[slot] = -1
    if (last === slot) return
    this.#rise(last, place)
    this.#sink(last, this.#places[last]!)
  }

  #rise(slot: number, from: number): void {
    const deadline = this.#sorted[slot]!
    let place = from
    while (place > 0) {
      const above = (place - 1) >> 1
      const other = this.#heap[above]!
      if (this.#sorted[other]! <= deadline) break
      this.#put(other, place)
      place = above
    }
    this.#put(slot, place)
  }

  #sink(slot: number, from: number): void {
    const deadline = this.#sorted[slot]!
    const { length } = this.#heap
    let place = from
    for (let below = 2 * place + 1; below < length; below = 2 * place + 1) {
      if (below + 1 < length && this.#sorted[this.#heap[below + 1]!]! < this.#sorted[this.#heap[below]!]!) below++
      const other = this.#heap[below]!
      if (this.#sorted[other]! >= deadline) break
      this.#put(other, place)
      place = below
    }
    this.#put(slot, place)
  }

  #put(slot: number, place: number): void {
    this.#heap[place] = slot
    this.#places[slot] = place
  }
}
