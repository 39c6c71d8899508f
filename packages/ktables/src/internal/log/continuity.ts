/**
 * Where the part of a partition's log that was read has gaps. An offset without its record means that compaction has removed
 * it, or the marker of a transaction; no gap means that nothing was removed. It never tells of what was not removed yet.
 */
import type { Passage } from "../records/batchReader.ts"

export class Continuity implements Passage {
  readonly end: number
  #unbroken: number
  #reached: number
  #lastOffset: number

  /**
   * @param start where reading begins
   * @param end where it ends: what lies there or later says nothing
   */
  constructor(start: number, end: number) {
    this.end = end
    this.#unbroken = this.#reached = start
    this.#lastOffset = start - 1
  }

  /** The lowest offset from which on each one up to the end has its record: the end itself where a gap lies before it. */
  get unbrokenFrom(): number {
    return this.#reached < this.end ? this.end : this.#unbroken
  }
  /** One past the last offset below the end that has its record; a gap lies between it and the end, or nothing does. */
  get reached(): number {
    return this.#reached
  }
  passed(firstOffset: number, lastOffset: number, isWhole: boolean, lastRead: number): void {
    if (firstOffset >= this.end) return
    if (firstOffset > this.#lastOffset + 1) this.#unbroken = firstOffset
    this.#lastOffset = lastOffset
    if (isWhole) {
      this.#reached = Math.min(lastOffset + 1, this.end)
      return
    }
    // Which of its records are gone is not looked at.
    this.#reached = Math.max(this.#reached, lastRead + 1)
    this.#unbroken = Math.min(lastOffset + 1, this.end)
  }
}
