import type { AbortedTransaction } from "effect-ktables/KafkaClient"
import { RecordCursor } from "../../src/internal/records/batchReader.ts"

/** A record as a cursor shows it, with its bytes as text. */
export interface Seen {
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
}

export const cursorOf = (
  records: Buffer,
  fromOffset = 0,
  abortedTransactions: ReadonlyArray<AbortedTransaction> | "uncommitted" = []
): RecordCursor =>
  new RecordCursor({
    records,
    fromOffset,
    abortedTransactions: abortedTransactions === "uncommitted" ? undefined : abortedTransactions
  })

export const current = (cursor: RecordCursor): Seen => ({
  offset: cursor.offset,
  timestamp: cursor.timestamp,
  key:
    cursor.keyLength < 0 ? null : cursor.buffer.toString("latin1", cursor.keyStart, cursor.keyStart + cursor.keyLength),
  value:
    cursor.valueLength < 0
      ? null
      : cursor.buffer.toString("latin1", cursor.valueStart, cursor.valueStart + cursor.valueLength)
})

/** Every record up to the cursor's end. */
export const walk = (cursor: RecordCursor): ReadonlyArray<Seen> => {
  const seen: Array<Seen> = []
  while (cursor.next()) seen.push(current(cursor))
  return seen
}

export const offsets = (cursor: RecordCursor): ReadonlyArray<number> => walk(cursor).map((record) => record.offset)
