/** How large a table may become, so that a wrong topic ends in an error and not in a process without memory. */
import { Effect } from "effect"
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

/** Fails whenever there is more than there may be; nothing is looked at where there is no limit. */
export type Bounded = (extent: () => Extent, isComplete: () => boolean) => Effect.Effect<void, TableTooLarge>

export const boundedBy = (topic: string, { maxBytes, maxEntries }: Limits): Bounded => {
  if (maxBytes === undefined && maxEntries === undefined) return () => Effect.void
  return (extent, isComplete) =>
    Effect.suspend(() => {
      const { bytes, entries } = extent()
      const times = isComplete() ? 1 : WHILE_INCOMPLETE
      if (maxEntries !== undefined && entries > times * maxEntries) {
        return Effect.fail(new TableTooLarge({ topic, limit: "maxEntries", allowed: maxEntries, counted: entries }))
      }
      if (maxBytes !== undefined && bytes > times * maxBytes) {
        return Effect.fail(new TableTooLarge({ topic, limit: "maxBytes", allowed: maxBytes, counted: bytes }))
      }
      return Effect.void
    })
}
