/**
 * Picks the answers about what was asked for by name, and refuses an answer about anything else.
 */
import { ProtocolViolation } from "./primitives.ts"

export interface Named {
  /** Undefined where an answer may leave the name out. */
  readonly name: string | undefined
}

/** The answer about each of some different names, in their order. */
export const exactlyThese = <A extends Named>(
  asked: ReadonlyArray<string>,
  answers: ReadonlyArray<A>
): ReadonlyArray<A> => {
  const [only] = asked
  const byName = new Map(answers.map((answer) => [answer.name ?? (asked.length === 1 ? only : undefined), answer]))
  const these = asked.flatMap((name) => byName.get(name) ?? [])
  if (these.length === asked.length && answers.length === asked.length) return these
  const names = answers.map(({ name }) => name ?? only)
  throw new ProtocolViolation(`it is about [${names.join(", ")}], not about ${asked.join(", ") || undefined}`)
}

export const exactlyOne = <A extends Named>(asked: string, answers: ReadonlyArray<A>): A =>
  exactlyThese([asked], answers)[0]!
