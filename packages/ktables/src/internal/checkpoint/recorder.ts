/** What is to be written: answers since the last marks, by partition, and frames that wait for the store. */
import { answersFrame, type Answer, type Marks, marksFrame } from "./format.ts"

export interface Outgoing {
  readonly frame: Buffer
  /** Where it is a frame of marks: these. */
  readonly marks: Marks | undefined
}

export class Recorder {
  readonly #answers = new Map<number, Array<Answer>>()
  #frames: Array<Outgoing> = []
  #bytes = 0

  /** Of all that is held. */
  get bytes(): number {
    return this.#bytes
  }

  /** Copies: the memory of an answer is filled again. */
  add(partition: number, { aborted, fromOffset, records }: Answer): void {
    const answer = { fromOffset, records: Buffer.from(records), aborted }
    const known = this.#answers.get(partition)
    if (known === undefined) this.#answers.set(partition, [answer])
    else known.push(answer)
    this.#bytes += records.length
  }

  /** What was added until now is of these marks. */
  mark(marks: Marks): void {
    this.#frameAnswers()
    this.#frames.push({ frame: marksFrame(marks), marks })
  }

  #frameAnswers(): void {
    for (const [partition, answers] of this.#answers) {
      this.#frames.push({ frame: answersFrame(partition, answers), marks: undefined })
    }
    this.#answers.clear()
  }

  /** Hands over all that is held, to be written now. */
  take(): ReadonlyArray<Outgoing> {
    this.#frameAnswers()
    const frames = this.#frames
    this.#frames = []
    this.#bytes = 0
    return frames
  }

  /** What could not be written comes first the next time. */
  giveBack(frames: ReadonlyArray<Outgoing>): void {
    this.#frames = [...frames, ...this.#frames]
    for (const { frame } of frames) this.#bytes += frame.length
  }
}
