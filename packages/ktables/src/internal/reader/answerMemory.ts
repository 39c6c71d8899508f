/**
 * Memory for the answers of a replay, filled again once nothing in it is needed: new memory for every answer would be
 * faulted in by the kernel and freed by the garbage collector at the pace of the log.
 *
 * An answer that nobody gives back, since its connection broke or its reader failed, is the garbage collector's.
 */

/** Smaller answers are not worth keeping memory for. */
const SMALL = 1 << 17

export class AnswerMemory {
  readonly #size: number
  #free: Array<Buffer> | undefined = []
  /** How many users each of the memories has that were given out here. */
  readonly #uses = new WeakMap<ArrayBufferLike, number>()
  /** How many record sets lie in an answer, where it is not one. */
  readonly #sets = new WeakMap<ArrayBufferLike, number>()

  /** @param size bytes of the largest usual answer. */
  constructor(size: number) {
    this.#size = size
  }

  /** Memory for an answer of so many bytes, with one user. */
  readonly allocate = (bytes: number): Buffer => {
    if (bytes < SMALL || bytes > this.#size) return Buffer.allocUnsafeSlow(bytes)
    const memory = this.#free?.pop() ?? Buffer.allocUnsafeSlow(this.#size)
    this.#uses.set(memory.buffer, 1)
    return memory.subarray(0, bytes)
  }

  /** An answer has come, in whose memory these record sets lie and nothing else. */
  receive(sets: ReadonlyArray<Buffer>): void {
    if (sets.length > 0) this.#sets.set(sets[0]!.buffer, sets.length)
  }

  /**
   * One more user of the memory that these bytes lie in. Returns how many bytes it keeps from being filled again or freed:
   * its part of the memory, however few bytes it needs itself.
   */
  retain(bytes: Buffer): number {
    const uses = this.#uses.get(bytes.buffer)
    if (uses !== undefined) this.#uses.set(bytes.buffer, uses + 1)
    return bytes.buffer.byteLength / (this.#sets.get(bytes.buffer) ?? 1)
  }

  /** One user less; behind the last one the memory is filled anew. */
  release(bytes: Buffer): void {
    const uses = this.#uses.get(bytes.buffer)
    if (uses === undefined) return
    this.#uses.set(bytes.buffer, uses - 1)
    if (uses === 1) this.#free?.push(Buffer.from(bytes.buffer))
  }

  /** The replay is over: nothing is kept from here on. */
  close(): void {
    this.#free = undefined
  }
}
