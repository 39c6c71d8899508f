/** Keys that say themselves what they equal, and throw while they are broken. */
import { Equal, Hash } from "effect"

export class Brittle {
  static isBroken = false
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  /** All have one, so that each is compared with all. */
  [Hash.symbol](): number {
    return 1
  }
  [Equal.symbol](that: Equal.Equal): boolean {
    if (Brittle.isBroken) throw new Error("cannot be compared")
    return that instanceof Brittle && this.text === that.text
  }
}
