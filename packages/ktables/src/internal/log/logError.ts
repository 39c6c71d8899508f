import type { KeysMoved, ReaderError } from "../../TableError.ts"

/** What ends the reading of a log as it was: for good, or so that it is read again from scratch. */
export type LogError = ReaderError | KeysMoved
