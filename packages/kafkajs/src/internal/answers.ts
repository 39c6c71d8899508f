/**
 * Cuts what a broker sends into answers. Each is a length of four bytes, the correlation id and the rest
 * (https://kafka.apache.org/protocol.html#protocol_common).
 *
 * A large answer is read by the kernel straight into the buffer that its receiver gets: nothing is joined or copied
 * behind its first bytes.
 */

/** Where a socket puts the bytes it reads, and whom it tells: Node's `onread` option. */
export interface Onread {
  readonly buffer: () => Uint8Array
  readonly callback: (bytesRead: number, buffer: Uint8Array) => boolean
}

export interface AnswersOptions {
  /**
   * Asks about the answer that begins, of so many bytes behind its correlation id: memory to put them, `skip` to have
   * its bytes thrown away, `refuse` when nobody asked for it. Behind a refusal nothing is read any more.
   */
  readonly begin: (correlationId: number, length: number) => Buffer | "skip" | "refuse"
  /** Gets the answer behind its correlation id. The buffer is the receiver's to keep. */
  readonly complete: (correlationId: number, answer: Buffer) => void
  /** Called for each read, before anything else. */
  readonly progress: () => void
}

const headLength = 8
const stagingLength = 1 << 16

export const makeAnswers = (options: AnswersOptions): Onread => {
  const staging = Buffer.allocUnsafeSlow(stagingLength)
  const head = Buffer.allocUnsafeSlow(headLength)
  let headFilled = 0
  let correlationId = 0
  /** The answer under way, and how far it is filled. */
  let answer: Buffer | undefined
  let filled = 0
  /** Bytes left of an answer that nobody waits for any more. */
  let skipping = 0
  let refused = false

  const completeIfFull = (): void => {
    if (answer === undefined || filled < answer.length) return
    const full = answer
    answer = undefined
    options.complete(correlationId, full)
  }

  const beginAnswer = (): void => {
    headFilled = 0
    const size = head.readInt32BE(0)
    correlationId = head.readInt32BE(4)
    const length = size - 4
    const verdict = length < 0 ? "refuse" : options.begin(correlationId, length)
    if (verdict === "refuse") {
      refused = true
    } else if (verdict === "skip") {
      skipping = length
    } else {
      answer = verdict
      filled = 0
      completeIfFull()
    }
  }

  const scatter = (chunk: Buffer): void => {
    let at = 0
    while (at < chunk.length) {
      if (skipping > 0) {
        const taken = Math.min(skipping, chunk.length - at)
        skipping -= taken
        at += taken
      } else if (answer !== undefined) {
        const taken = chunk.copy(answer, filled, at)
        filled += taken
        at += taken
        completeIfFull()
      } else {
        const taken = chunk.copy(head, headFilled, at)
        headFilled += taken
        at += taken
        if (headFilled === headLength) beginAnswer()
        if (refused) return
      }
    }
  }

  return {
    buffer: () => (answer === undefined || answer.length - filled < stagingLength ? staging : answer.subarray(filled)),
    callback: (bytesRead, buffer) => {
      options.progress()
      if (refused) return false
      if (buffer === staging) {
        scatter(staging.subarray(0, bytesRead))
      } else {
        filled += bytesRead
        completeIfFull()
      }
      return !refused
    }
  }
}
