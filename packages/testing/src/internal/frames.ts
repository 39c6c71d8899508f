/**
 * Follows the frames of one direction of a Kafka connection without holding them: each is a length of four bytes and a
 * body, whose first bytes say what it is.
 */

/**
 * Tells where each frame starts. `onFrame` gets the first `headLength` bytes behind the length, and says whether the
 * frame may pass; the bytes in front of a frame that may not are the last ones returned.
 */
export const makeFrames = (headLength: number, onFrame: (head: Buffer) => boolean) => {
  let head: Buffer = Buffer.alloc(0)
  let left = 0
  let stopped = false

  /** The bytes that may pass now. Those of an unfinished frame head wait for the rest of it. */
  return (chunk: Buffer): Buffer => {
    const passing: Array<Buffer> = []
    let rest = head.length > 0 ? Buffer.concat([head, chunk]) : chunk
    head = Buffer.alloc(0)
    while (rest.length > 0 && !stopped) {
      if (left > 0) {
        const taken = rest.subarray(0, left)
        passing.push(taken)
        left -= taken.length
        rest = rest.subarray(taken.length)
      } else if (rest.length < 4 + headLength) {
        head = rest
        break
      } else if (onFrame(rest.subarray(4, 4 + headLength))) {
        left = 4 + rest.readInt32BE(0)
      } else {
        stopped = true
      }
    }
    return passing.length === 1 ? passing[0]! : Buffer.concat(passing)
  }
}
