/**
 * What no broker would take as a topic, by the rules of Kafka's `org.apache.kafka.common.internals.Topic` and of
 * CreateTopics.
 */
import { InvalidTopic } from "../../TableError.ts"
import { isCodec } from "../../Codec.ts"
import * as Check from "../options.ts"

export interface Definition {
  readonly name: string
  readonly partitions: number
  readonly replicationFactor: number
}

const MAX_NAME_LENGTH = 249

/** The protocol counts replicas in 16 bits. */
export const MAX_REPLICAS = 2 ** 15 - 1

/** What stands where a definition is wanted. */
export const checkTopic: Check.Check = Check.satisfies("a topic, as TableTopic.make defines it", (value) => {
  if (typeof value !== "object" || value === null) return false
  const { key, name, value: codec } = value as Record<string, unknown>
  return typeof name === "string" && isCodec(key) && isCodec(codec)
})

const isWithin = (value: number, max: number): boolean => Number.isInteger(value) && value >= 1 && value <= max

const problemOf = (definition: Definition): string | undefined => {
  const { name, partitions, replicationFactor } = definition
  if (name.length === 0) return "the name is empty"
  if (name === "." || name === "..") return `the name may not be "." or ".."`
  if (name.length > MAX_NAME_LENGTH) return `the name has ${name.length} characters, ${MAX_NAME_LENGTH} are allowed`
  if (!/^[a-zA-Z0-9._-]+$/.test(name)) return `the name may hold only letters, digits, ".", "_" and "-"`
  if (!isWithin(partitions, Check.MAX_INT32))
    return `partitions is ${partitions}, a whole number of at least 1 is needed`
  if (replicationFactor !== -1 && !isWithin(replicationFactor, MAX_REPLICAS)) {
    return `replicationFactor is ${replicationFactor}, from 1 to ${MAX_REPLICAS} is needed, or -1 for the broker's default`
  }
  return undefined
}

/** Undefined when a broker may take the definition. */
export const invalidTopic = (definition: Definition): InvalidTopic | undefined => {
  const detail = problemOf(definition)
  return detail === undefined ? undefined : new InvalidTopic({ topic: definition.name, detail })
}
