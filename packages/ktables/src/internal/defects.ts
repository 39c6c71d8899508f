/** What others' code throws: whether it says something of its input, and how to print it. */

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
