import { Cause } from "effect"
import { type KeysMoved, ReaderDied, type ReaderError } from "../../TableError.ts"

/** What ends the reading of a log as it was: for good, or so that it is read again from scratch. */
export type LogError = ReaderError | KeysMoved

/** The error of a cause, or else what its defect is to those who read. */
export const errorOf = <E extends LogError>(topic: string, cause: Cause.Cause<E>): E | ReaderDied => {
  const error = Cause.squash(cause)
  return Cause.hasFails(cause) ? (error as E) : new ReaderDied({ topic, cause: error })
}
