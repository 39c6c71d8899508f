/** Which part of a topic's log is read: of which partitions, from where, and to where. */

/** A place in the logs of a topic's partitions: offsets, or a time, which stands for the first record stamped then or later. */
export type LogPoint =
  | { readonly _tag: "Offsets"; readonly of: ReadonlyMap<number, number> }
  /** Milliseconds since the epoch. */
  | { readonly _tag: "Time"; readonly at: number }

export interface Range {
  /** Undefined for all that there are. */
  readonly partitions: ReadonlySet<number> | undefined
  /** Undefined for the log's start, as for partitions that no offset is given of. */
  readonly from: LogPoint | undefined
  /** Undefined for the log's end when reading begins, as for partitions that no offset is given of. */
  readonly to: LogPoint | undefined
}

export const wholeLog: Range = { partitions: undefined, from: undefined, to: undefined }

export const isRead = ({ partitions }: Range, partition: number): boolean => partitions?.has(partition) !== false

/**
 * Where a point lies in a log, and `otherwise` where it says nothing of the partition.
 *
 * @param listed the offset that is listed for the point's time, -1 where nothing is stamped so late; undefined for offsets
 */
export const placeIn = (
  log: { readonly partition: number; readonly start: number; readonly end: number },
  point: LogPoint | undefined,
  listed: number | undefined,
  otherwise: number
): number => {
  if (point?._tag === "Time") return listed === undefined || listed < 0 ? log.end : Math.max(log.start, listed)
  const offset = point?.of.get(log.partition)
  return offset === undefined ? otherwise : Math.min(Math.max(log.start, offset), log.end)
}
