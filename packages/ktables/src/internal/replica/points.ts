/** Places in a topic's log, and the partitions of it, as users name them. */
import { DateTime, Result } from "effect"
import type { LogPoint as Point } from "../log/range.ts"
import * as Check from "../options.ts"

/**
 * A place in the logs of a topic's partitions: a time, or offsets by partition.
 *
 * A time is where the first record lies that is still in the log and is stamped then or later. Timestamps are those of the
 * records, which producers set unless the topic has `message.timestamp.type=LogAppendTime`, and those of the markers that end
 * transactions, which brokers set. Where they go back, a record behind that place may be stamped earlier.
 *
 * Offsets are what `health` and entries show: the number of the next record. A number alone would be either.
 *
 * @category models
 * @since 0.1.0
 */
export type LogPoint = Date | DateTime.DateTime | ReadonlyMap<number, number>

const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0

/** The earliest and the latest time that a record can be stamped with and looked for. */
const isTime = (millis: number): boolean => Number.isSafeInteger(millis) && millis >= 0

const expected = "a Date or DateTime since 1970, or a Map of offsets by partition"

export const checkPoint: Check.Check = (value, option) => {
  const refused = () => Result.fail({ option, given: Check.shown(value), expected })
  if (value instanceof Map) {
    const copy = new Map<unknown, unknown>(value)
    for (const [partition, offset] of copy) if (!isCount(partition) || !isCount(offset)) return refused()
    return copy.size === 0 ? refused() : Result.succeed(copy)
  }
  if (value instanceof Date) return isTime(value.getTime()) ? Result.succeed(new Date(value)) : refused()
  return DateTime.isDateTime(value) && isTime(DateTime.toEpochMillis(value)) ? Result.succeed(value) : refused()
}

/** Numbers of partitions, at least one. */
export const checkPartitions: Check.Check = Check.every(
  Check.list(Check.integer({ min: 0, max: Check.MAX_INT32 })),
  Check.satisfies("the numbers of partitions, at least one", (value) => (value as ReadonlyArray<number>).length > 0)
)

export const pointOf = (given: LogPoint): Point =>
  given instanceof Date
    ? { _tag: "Time", at: given.getTime() }
    : DateTime.isDateTime(given)
      ? { _tag: "Time", at: Math.ceil(DateTime.toEpochMillis(given)) }
      : { _tag: "Offsets", of: given }
