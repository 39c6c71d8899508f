/** Slots in the order of their deadlines: a binary heap that knows where each slot lies in it. */
export class Deadlines {
  readonly #heap: Array<number> = []
  /** Where a slot lies in the heap; -1 where it does not. */
  readonly #places: Array<number> = []
  readonly #deadlines: Array<number> = []

  /** Infinity where there is none. */
  get earliest(): number {
    return this.#heap.length === 0 ? Number.POSITIVE_INFINITY : this.#deadlines[this.#heap[0]!]!
  }

  /** The slot whose deadline that is. */
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
    if (place < 0) this.#rise(slot, this.#heap.length)
    else this.#settle(slot, place)
  }

  /** Of a slot that has one. */
  delete(slot: number): void {
    const place = this.#places[slot]!
    const last = this.#heap.pop()!
    this.#places[slot] = -1
    if (last !== slot) this.#settle(last, place)
  }

  /** Puts a slot in a place, or in the one that its deadline asks for. */
  #settle(slot: number, place: number): void {
    if (place > 0 && this.#deadlines[this.#heap[(place - 1) >> 1]!]! > this.#deadlines[slot]!) this.#rise(slot, place)
    else this.#sink(slot, place)
  }

  #rise(slot: number, from: number): void {
    const deadline = this.#deadlines[slot]!
    let place = from
    while (place > 0) {
      const above = (place - 1) >> 1
      const other = this.#heap[above]!
      if (this.#deadlines[other]! <= deadline) break
      this.#put(other, place)
      place = above
    }
    this.#put(slot, place)
  }

  #sink(slot: number, from: number): void {
    const deadline = this.#deadlines[slot]!
    const { length } = this.#heap
    let place = from
    for (let below = 2 * place + 1; below < length; below = 2 * place + 1) {
      if (below + 1 < length && this.#deadlines[this.#heap[below + 1]!]! < this.#deadlines[this.#heap[below]!]!) below++
      const other = this.#heap[below]!
      if (this.#deadlines[other]! >= deadline) break
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
