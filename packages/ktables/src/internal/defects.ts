/** What others' code throws, or gives in an effect's place: whether it says something of its input, and how to print it. */
import * as Effect from "effect/Effect"

/** Characters of a message that is passed on. */
const MOST = 500

const bounded = (text: string): string =>
  text.length <= MOST ? text : `${text.slice(0, MOST)}… (${text.length} characters)`

/** A message of bounded length, of anything that was thrown. */
export const printed = (thrown: unknown): string => {
  try {
    const text: unknown = thrown instanceof Error ? thrown.message : String(thrown)
    return typeof text === "string" ? bounded(text) : "something that cannot be printed"
  } catch {
    return "something that cannot be printed"
  }
}

/** Whether memory was not to be had: another input would have met the same. A stack that overflows is its input's fault. */
export const isOutOfMemory = (thrown: unknown): boolean =>
  thrown instanceof RangeError && /allocation failed|out of memory/i.test(thrown.message)

/**
 * Whether it is a promise, which stands nowhere for an effect or a value. What it may be rejected with is then nobody's to
 * handle, and would end the process.
 */
export const isStrayPromise = (given: unknown): boolean => {
  if (!(given instanceof Promise)) return false
  given.catch(() => {})
  return true
}

/** Why what a function gave is no effect; undefined where it is one. */
export const noEffect = (given: unknown): string | undefined =>
  Effect.isEffect(given)
    ? undefined
    : isStrayPromise(given)
      ? "gave a Promise and not an Effect: Effect.promise makes one of the other"
      : "gave no Effect"
