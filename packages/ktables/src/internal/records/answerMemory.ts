/**
 * Memory for a replay, filled again once nothing in it is needed: for fetch answers, and for survivors that are copied
 * together. New memory for each would be faulted in by the kernel and freed by the garbage collector at the pace of the log.
 *
 * What nobody gives back, since a connection broke or a reader failed, is the garbage collector's.
 */

/** Smaller answers are not worth keeping memory for. */
const SMALL = 1 << 17

/**
 * C libraries hand large blocks to the kernel as soon as they are freed, and keep smaller ones; glibc takes for large what
 * is larger than any block freed so far, up to 32 MiB. Memory for survivors is therefore asked for in blocks that are
 * larger than what a replay frees in passing; only what is used of them costs anything.
 */
const ALL_PACKED = 1 << 25
const LEAST_PACKED = 1 << 20
/** Places in a block are 32-bit numbers. */
const MOST_PACKED = 1 << 30

interface Block {
  users: number
  /** Where it waits for its next use. */
  readonly home: Array<Buffer>
}

export class AnswerMemory {
  readonly #answerSize: number
  readonly #packedSize: number
  readonly #answers: Array<Buffer> = []
  readonly #packed: Array<Buffer> = []
  /** The blocks that were given out here. */
  readonly #blocks = new WeakMap<ArrayBufferLike, Block>()
  /** How many record sets lie in an answer, where it is not one. */
  readonly #sets = new WeakMap<ArrayBufferLike, number>()
  /** Memory that was not answered, and has parts that are held one by one. */
  readonly #divided = new WeakSet<ArrayBufferLike>()
  #isClosed = false
  /** Bytes of survivors that are to be asked for at once, unless one alone is larger. */
  readonly mostPacked: number

  /** @param answerSize bytes of the largest usual answer. */
  constructor(answerSize: number, partitions: number, mostPacked = MOST_PACKED) {
    this.mostPacked = mostPacked
    this.#answerSize = answerSize
    this.#packedSize = Math.max(LEAST_PACKED, Math.ceil(ALL_PACKED / partitions))
  }

  /** Memory for an answer of so many bytes, with one user. */
  readonly allocate = (bytes: number): Buffer =>
    bytes < SMALL || bytes > this.#answerSize
      ? Buffer.allocUnsafeSlow(bytes)
      : this.#take(this.#answers, bytes, this.#answerSize)

  /** Memory for so many bytes of survivors, with one user. */
  allocatePacked(bytes: number): Buffer {
    return this.#take(this.#packed, bytes, Math.max(bytes, this.#packedSize))
  }

  #take(home: Array<Buffer>, bytes: number, size: number): Buffer {
    const at = home.findIndex((block) => block.length >= bytes)
    const block = at < 0 ? Buffer.allocUnsafeSlow(size) : home.splice(at, 1)[0]!
    this.#blocks.set(block.buffer, { users: 1, home })
    return block.subarray(0, bytes)
  }

  /** An answer has come, of these record sets, in whose memory nothing else lies. */
  receive(sets: ReadonlyArray<Buffer>): void {
    const first = sets[0]
    if (first === undefined) return
    // A client with memory of its own may have one for each.
    let beside = 0
    for (const { buffer } of sets) if (buffer === first.buffer) beside++
    this.#sets.set(first.buffer, beside)
  }

  /** The memory that these bytes lie in is one of many such parts: each counts for what it is, and all are freed with the last. */
  divide(bytes: Buffer): void {
    this.#divided.add(bytes.buffer)
  }

  /**
   * One more user of the memory that these bytes lie in. Returns how many bytes it keeps from being filled again or freed:
   * its part of the memory, however few bytes it needs itself.
   */
  retain(bytes: Buffer): number {
    const block = this.#blocks.get(bytes.buffer)
    if (block !== undefined) block.users++
    return this.#divided.has(bytes.buffer)
      ? bytes.length
      : bytes.buffer.byteLength / (this.#sets.get(bytes.buffer) ?? 1)
  }

  /** One user less; after the last one the memory is filled again. */
  release(bytes: Buffer): void {
    const block = this.#blocks.get(bytes.buffer)
    if (block === undefined || --block.users !== 0 || this.#isClosed) return
    // Survivors grow: larger blocks than usual would soon be too small, one after the other.
    if (block.home === this.#packed && bytes.buffer.byteLength > this.#packedSize) return
    block.home.push(Buffer.from(bytes.buffer))
  }

  /** The replay is over: nothing is kept from here on. */
  close(): void {
    this.#isClosed = true
    this.#answers.length = 0
    this.#packed.length = 0
  }
}
