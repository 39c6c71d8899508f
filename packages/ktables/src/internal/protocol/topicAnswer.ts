/**
 * The part of an answer that concerns one topic, and the check that it is what was asked for: an answer about another
 * topic or partition, or one that leaves a partition out, must never be taken for silence.
 */
import { ProtocolViolation, type Reader } from "./primitives.ts"

export interface TopicAnswer<Partition> {
  /** Undefined in versions that name topics by id. */
  readonly name: string | undefined
  /** Undefined in versions that name topics by name. */
  readonly topicId: string | undefined
  readonly partitions: ReadonlyArray<Partition>
}

export interface Asked {
  readonly topic: string
  readonly topicId?: string | undefined
  readonly partitions: ReadonlyArray<{ readonly partition: number }>
}

/** The answered partitions. Throws `ProtocolViolation` when they are not the partitions asked for, each once. */
export const partitionsOf = <Partition extends { readonly partition: number }>(
  asked: Asked,
  topics: ReadonlyArray<TopicAnswer<Partition>>
): ReadonlyArray<Partition> => {
  const open = new Set(asked.partitions.map(({ partition }) => partition))
  const partitions: Array<Partition> = []
  for (const topic of topics) {
    if ((topic.name ?? asked.topic) !== asked.topic || (topic.topicId ?? asked.topicId) !== asked.topicId) {
      throw new ProtocolViolation(`it is about ${topic.name ?? topic.topicId}, not about ${asked.topic}`)
    }
    for (const partition of topic.partitions) {
      if (!open.delete(partition.partition)) {
        throw new ProtocolViolation(`partition ${partition.partition} was not asked for, or answers twice`)
      }
      partitions.push(partition)
    }
  }
  if (open.size > 0) throw new ProtocolViolation(`nothing about partition ${[...open].join(", ")}`)
  return partitions
}

/** Reads a whole answer that is a throttle time, in milliseconds, and topics by name. */
export const readByName = <Partition extends { readonly partition: number }>(
  reader: Reader,
  asked: Asked,
  readPartition: (reader: Reader) => Partition
): { readonly throttle: number; readonly partitions: ReadonlyArray<Partition> } => {
  const throttle = reader.int32()
  const topics = reader.array((topic) => {
    const name = topic.string()
    const partitions = topic.array(readPartition)
    topic.taggedFields()
    return { name, topicId: undefined, partitions }
  })
  reader.taggedFields()
  return { throttle, partitions: partitionsOf(asked, topics) }
}
