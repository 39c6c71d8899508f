/**
 * Picks the answer about the one thing asked for by name, and refuses an answer about anything else.
 */
import { ProtocolViolation } from "./primitives.ts"

export interface Named {
  /** Undefined where an answer may leave the name out. */
  readonly name: string | undefined
}

export const exactlyOne = <Name extends string | undefined, A extends Named>(
  asked: Name,
  answers: ReadonlyArray<A>
): Name extends string ? A : undefined => {
  const names = answers.map(({ name }) => name ?? asked)
  if (names.length !== (asked === undefined ? 0 : 1) || names[0] !== asked) {
    throw new ProtocolViolation(`it is about [${names.join(", ")}], not about ${asked}`)
  }
  return answers[0] as Name extends string ? A : undefined
}
