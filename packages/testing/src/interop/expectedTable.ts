/**
 * What a log says, worked out from what was written alone: the oracle that readers of the broker are compared with.
 */
import type { JavaLog } from "./JavaPeer.ts"

/** The last stable offset of each partition that an open transaction pins. */
export const pinnedOffsets = (log: JavaLog): ReadonlyMap<number, number> => {
  const pinned = new Map<number, number>()
  for (const { partition, offset, transaction } of log.records) {
    if (log.transactions[transaction] !== "open") continue
    pinned.set(partition, Math.min(offset, pinned.get(partition) ?? offset))
  }
  return pinned
}

/** Values by key, both in base 64, as a reader of committed records sees them at the last stable offsets. */
export const expectedTable = (log: JavaLog): ReadonlyMap<string, string> => {
  const pinned = pinnedOffsets(log)
  const table = new Map<string, string>()
  for (const { key, offset, partition, transaction, value } of log.records) {
    const isVisible = transaction < 0 || log.transactions[transaction] === "committed"
    if (!isVisible || offset >= (pinned.get(partition) ?? Number.POSITIVE_INFINITY)) continue
    if (value === null) table.delete(key)
    else table.set(key, value)
  }
  return table
}
