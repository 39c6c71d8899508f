/**
 * How much of which logs the contents of a table have: what is compared where a table is served by several processes, or
 * waited for in another one.
 *
 * @since 0.1.0
 */

/**
 * How much of a partition's log a table has.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartitionPosition {
  readonly partition: number
  /** Everything below this offset is in the table. */
  readonly offset: number
  /** The leader epoch of the last batch below `epochAt`, which is at most `offset`; -1 where none is known. */
  readonly epoch: number
  readonly epochAt: number
}

/**
 * How much of a topic's log a table has.
 *
 * @category models
 * @since 0.1.0
 */
export interface TopicPosition {
  readonly topic: string
  /** 32 lower-case hex digits; undefined on brokers without topic ids (before Kafka 2.8), and before the first answer. */
  readonly topicId: string | undefined
  /** Ordered by partition. One that is not there was not read. */
  readonly partitions: ReadonlyArray<PartitionPosition>
}

/**
 * How much of the logs of all its topics a table has: of one for the table of a topic, and of those of all its sources for a
 * derived table. It is JSON.
 *
 * @category models
 * @since 0.1.0
 */
export type TablePosition = ReadonlyArray<TopicPosition>

/**
 * What a position says of another one: it has all that the other has, it lacks some of it, or they are of different logs, also
 * where one of them was cut by an election.
 *
 * @category models
 * @since 0.1.0
 */
export type Relation = "has" | "lacks" | "differs"

/** Of two logs without a cut the one that is read further never has the lower epoch. */
const isCut = (a: PartitionPosition, b: PartitionPosition): boolean => {
  if (a.epoch < 0 || b.epoch < 0) return false
  return a.epochAt === b.epochAt ? a.epoch !== b.epoch : a.epochAt < b.epochAt ? a.epoch > b.epoch : a.epoch < b.epoch
}

/**
 * Whether a position has all that another one has.
 *
 * **Gotchas**
 *
 * A log that was cut, and has no batch of a later leader yet, cannot be told from one that is only behind.
 *
 * **Example** (Of two processes with the same table)
 *
 * ```ts
 * import { Table, TablePosition } from "effect-ktables"
 *
 * export const isAsNew = (mine: Table.Any, theirs: TablePosition.TablePosition) =>
 *   TablePosition.relation(Table.position(mine), theirs) === "has"
 * ```
 *
 * @category comparisons
 * @since 0.1.0
 */
export const relation = (self: TablePosition, that: TablePosition): Relation => {
  let lacks = false
  for (const { partitions, topic, topicId } of that) {
    if (partitions.length === 0) continue
    const own = self.find((one) => one.topic === topic)
    if (own === undefined) return "differs"
    // Nothing was read of it yet.
    if (own.partitions.length === 0) {
      lacks = true
      continue
    }
    if (own.topicId !== undefined && topicId !== undefined && own.topicId !== topicId) return "differs"
    const byNumber = new Map(own.partitions.map((one) => [one.partition, one]))
    for (const wanted of partitions) {
      const one = byNumber.get(wanted.partition)
      if (one === undefined) lacks ||= wanted.offset > 0
      else if (isCut(one, wanted)) return "differs"
      else lacks ||= one.offset < wanted.offset
    }
  }
  return lacks ? "lacks" : "has"
}

/**
 * The position of a table that stands on several: of a topic that is in more than one of them, what all of them have.
 *
 * @category combinators
 * @since 0.1.0
 */
export const all = (positions: ReadonlyArray<TablePosition>): TablePosition => {
  if (positions.length === 1) return positions[0]!
  const byTopic = new Map<string, TopicPosition>()
  for (const one of positions.flat()) {
    const other = byTopic.get(one.topic)
    byTopic.set(one.topic, other === undefined || other === one ? one : both(other, one))
  }
  return [...byTopic.values()]
}

const both = (a: TopicPosition, b: TopicPosition): TopicPosition => {
  // Of two topics of one name, and of one of which nothing was read yet, there is nothing in common.
  if (a.topicId !== b.topicId) return { ...a, partitions: [] }
  const others = new Map(b.partitions.map((one) => [one.partition, one]))
  return {
    ...a,
    partitions: a.partitions.flatMap((one) => {
      const other = others.get(one.partition)
      return other === undefined ? [] : [one.offset <= other.offset ? one : other]
    })
  }
}
