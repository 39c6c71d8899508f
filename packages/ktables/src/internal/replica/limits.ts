/** How large a table may become, so that a wrong topic ends in an error and not in a process without memory. */
import { TableTooLarge } from "../../TableError.ts"
import type { Extent } from "../records/survivors.ts"

export interface Limits {
  readonly maxEntries: number | undefined
  readonly maxBytes: number | undefined
}

/**
 * How many times as much there may be while a table is incomplete. What was read so far may have more entries than the
 * whole has: some are deleted further on in the log, some lie in a second partition since the topic has grown, and before
 * they are decoded nobody knows which can be shown. Twice as much is no mistake about the topic, and still an end.
 */
const WHILE_INCOMPLETE = 2

/** All of these together. */
export const sumOf = (extents: Iterable<Extent>): Extent => {
  let entries = 0
  let bytes = 0
  for (const extent of extents) {
    entries += extent.entries
    bytes += extent.bytes
  }
  return { entries, bytes }
}

/** What refuses a table of this extent; undefined where it may be so large. */
export const excess = (
  topic: string,
  { maxBytes, maxEntries }: Limits,
  { bytes, entries }: Extent,
  isComplete: boolean
): TableTooLarge | undefined => {
  const times = isComplete ? 1 : WHILE_INCOMPLETE
  if (maxEntries !== undefined && entries > times * maxEntries) {
    return new TableTooLarge({ topic, limit: "maxEntries", allowed: maxEntries, counted: entries })
  }
  if (maxBytes !== undefined && bytes > times * maxBytes) {
    return new TableTooLarge({ topic, limit: "maxBytes", allowed: maxBytes, counted: bytes })
  }
  return undefined
}
