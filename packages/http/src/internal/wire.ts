/**
 * The forms in which tables travel: entries and positions as JSON, and the tokens that name a position in a URL. It is what
 * server and replica have in common, and runs in browsers.
 */
import type { TablePosition, TopicPosition } from "effect-ktables/TablePosition"
import type { WriteAck } from "effect-ktables/WriteAck"

const encoder = new TextEncoder()
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

export const encodeText = (text: string): Uint8Array => encoder.encode(text)

/** The text of bytes; undefined when they are not UTF-8. */
export const textOf = (bytes: Uint8Array): string | undefined => {
  try {
    return strict.decode(bytes)
  } catch {
    return undefined
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// values
// ---------------------------------------------------------------------------------------------------------------------

/** Whether parsing and printing again gives the very text. */
const isExactJson = (text: string): boolean => {
  try {
    return JSON.stringify(JSON.parse(text)) === text
  } catch {
    return false
  }
}

/** Whether a text is JSON. */
export const isJson = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** A value as it travels: its own JSON, or else its text or its bytes in base64, and the name of that form. */
export type WireValue = readonly [json: unknown] | readonly [text: string, form: "text" | "base64"]

/** The JSON of a value's bytes, without the brackets, so that it can stand after its key. */
export const printValue = (bytes: Uint8Array): string => {
  const text = textOf(bytes)
  if (text === undefined) return `"${toBase64(bytes)}","base64"`
  return isExactJson(text) ? text : `${JSON.stringify(text)},"text"`
}

/** The bytes that `printValue` printed. */
export const bytesOf = ([value, form]: WireValue): Uint8Array =>
  form === undefined
    ? encodeText(JSON.stringify(value))
    : form === "text"
      ? encodeText(value as string)
      : fromBase64(value as string)

/** A key, and what it has: a value, or nothing, where it was deleted. */
export type WireEntry = readonly [key: string] | readonly [key: string, ...value: WireValue]

export const toBase64 = (bytes: Uint8Array): string => {
  let binary = ""
  for (let i = 0; i < bytes.length; i += 4096) binary += String.fromCharCode(...bytes.subarray(i, i + 4096))
  return btoa(binary)
}

export const fromBase64 = (text: string): Uint8Array => Uint8Array.from(atob(text), (char) => char.charCodeAt(0))

// ---------------------------------------------------------------------------------------------------------------------
// positions
// ---------------------------------------------------------------------------------------------------------------------

/** A position as it travels. */
export type WirePosition = ReadonlyArray<
  readonly [
    topic: string,
    topicId: string | null,
    partitions: ReadonlyArray<readonly [partition: number, offset: number, epoch: number, epochAt: number]>
  ]
>

export const toWire = (position: TablePosition): WirePosition =>
  position.map(({ partitions, topic, topicId }) => [
    topic,
    topicId ?? null,
    partitions.map(({ epoch, epochAt, offset, partition }) => [partition, offset, epoch, epochAt] as const)
  ])

export const fromWire = (wire: WirePosition): TablePosition =>
  wire.map(([topic, topicId, partitions]) => ({
    topic,
    topicId: topicId ?? undefined,
    partitions: partitions.map(([partition, offset, epoch, epochAt]) => ({ partition, offset, epoch, epochAt }))
  }))

export const isSamePosition = (a: TablePosition, b: TablePosition): boolean =>
  a.length === b.length && a.every((topic, i) => isSameTopic(topic, b[i]!))

const isSameTopic = (a: TopicPosition, b: TopicPosition): boolean =>
  a.topic === b.topic &&
  a.topicId === b.topicId &&
  a.partitions.length === b.partitions.length &&
  a.partitions.every((one, i) => {
    const other = b.partitions[i]!
    return (
      one.partition === other.partition &&
      one.offset === other.offset &&
      one.epoch === other.epoch &&
      one.epochAt === other.epochAt
    )
  })

/** What of a position is not as it was before; all of a topic that is another one. */
export const movedSince = (before: TablePosition, now: TablePosition): TablePosition =>
  now.flatMap((topic) => {
    const old = before.find((one) => one.topic === topic.topic)
    if (old === undefined || old.topicId !== topic.topicId) return [topic]
    const was = new Map(old.partitions.map((one) => [one.partition, one]))
    const partitions = topic.partitions.filter((one) => {
      const other = was.get(one.partition)
      return other?.offset !== one.offset || other.epoch !== one.epoch || other.epochAt !== one.epochAt
    })
    return partitions.length === 0 ? [] : [{ ...topic, partitions }]
  })

/** The position that has moved so from the one before. */
export const movedBy = (before: TablePosition, moved: TablePosition): TablePosition => {
  if (moved.length === 0) return before
  const byTopic = new Map<string, TopicPosition>(before.map((one) => [one.topic, one]))
  for (const topic of moved) {
    const old = byTopic.get(topic.topic)
    if (old === undefined || old.topicId !== topic.topicId) byTopic.set(topic.topic, topic)
    else {
      const partitions = new Map(old.partitions.map((one) => [one.partition, one]))
      for (const one of topic.partitions) partitions.set(one.partition, one)
      byTopic.set(topic.topic, {
        ...topic,
        partitions: [...partitions.values()].sort((a, b) => a.partition - b.partition)
      })
    }
  }
  return [...byTopic.values()]
}

// ---------------------------------------------------------------------------------------------------------------------
// tokens
// ---------------------------------------------------------------------------------------------------------------------

/** What one may wait for: a position, or a write. */
export type Awaited =
  | { readonly _tag: "Position"; readonly position: TablePosition }
  | { readonly _tag: "Write"; readonly ack: WriteAck }

const printToken = (json: unknown): string =>
  toBase64(encodeText(JSON.stringify(json)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "")

export const positionToken = (position: TablePosition): string => printToken(toWire(position))

/** JSON leaves out what is undefined, and reading it gives undefined again. */
export const writeToken = (ack: WriteAck): string => printToken(ack)

const isText = (value: unknown): value is string => typeof value === "string"
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= -1

const isWirePosition = (value: unknown): value is WirePosition =>
  Array.isArray(value) &&
  value.every(
    (topic: unknown) =>
      Array.isArray(topic) &&
      isText(topic[0]) &&
      (topic[1] === null || isText(topic[1])) &&
      Array.isArray(topic[2]) &&
      topic[2].every((one: unknown) => Array.isArray(one) && one.length === 4 && one.every(isCount))
  )

const isAck = (value: unknown): value is WriteAck => {
  if (typeof value !== "object" || value === null) return false
  const { offset, partition, producerId, topic, topicId } = value as Partial<Record<keyof WriteAck, unknown>>
  return (
    isText(topic) &&
    (topicId === undefined || isText(topicId)) &&
    isCount(partition) &&
    isCount(offset) &&
    (producerId === undefined || isText(producerId))
  )
}

/** What a token names; undefined when it is none. */
export const parseToken = (token: string): Awaited | undefined => {
  let json: unknown
  try {
    const text = textOf(fromBase64(token.replaceAll("-", "+").replaceAll("_", "/")))
    json = text === undefined ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
  if (isWirePosition(json)) return { _tag: "Position", position: fromWire(json) }
  return isAck(json) ? { _tag: "Write", ack: json } : undefined
}

/** Where a write stands, as a position that has it. */
export const positionOfAck = ({ offset, partition, topic, topicId }: WriteAck): TablePosition => [
  { topic, topicId, partitions: [{ partition, offset: (offset ?? -1) + 1, epoch: -1, epochAt: 0 }] }
]

// ---------------------------------------------------------------------------------------------------------------------
// events
// ---------------------------------------------------------------------------------------------------------------------

/** What a snapshot begins with. */
export interface SnapshotBegin {
  /** How many entries the table has; with a prefix some of them come. */
  readonly size: number
  /** Positions may be lower than before: of another log, or of one that was cut. */
  readonly reset: boolean
  /** Milliseconds within which something is sent, at least. */
  readonly keepAlive: number
}

/** What a snapshot ends with, and nothing was missed since. */
export interface CaughtUp {
  readonly at: WirePosition
  readonly status: WireStatus
}

/** What a client is given that goes on where it was. */
export interface Resumed {
  readonly keepAlive: number
  readonly status: WireStatus
}

/** What a commit ends with, after the entries that did not fit. */
export interface Changes {
  readonly at: WirePosition
  readonly reset?: true
  readonly changes: ReadonlyArray<WireEntry>
}

/** The state of the table that is served. */
export interface WireStatus {
  readonly _tag: "Loading" | "CaughtUp" | "Degraded" | "Rebuilding" | "Failed" | "Closed"
  readonly replayed?: number
  readonly target?: number
  /** Why it is rebuilt, or has failed. */
  readonly reason?: string
}

/** A table in the list of those that are served. */
export interface WireTable {
  readonly name: string
  readonly status: WireStatus
  readonly size: number
  /** Records that are still to be read; null where the table is of no topic. */
  readonly lag: number | null
  /** How far it has come, as a token. */
  readonly at: string
  readonly writable: boolean
  /** Whether the server reads the past of keys from a log. */
  readonly history: boolean
}

// ---------------------------------------------------------------------------------------------------------------------
// history
// ---------------------------------------------------------------------------------------------------------------------

/** The name of a header and its value: text, or base64, or none. */
export type WireHeader =
  | readonly [name: string, value: string | null]
  | readonly [name: string, base64: string, "base64"]

/** A record of a key. */
export interface WireVersion {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the epoch; -1 where nobody stamped it. */
  readonly timestamp: number
  readonly headers: ReadonlyArray<WireHeader>
  /** What the key was set to; absent where it was deleted. */
  readonly value?: WireValue
  /** Why the value is none of the table. */
  readonly error?: string
}

/** The newest records of a key that are in the log, oldest first. */
export interface WireHistory {
  readonly table: string
  readonly topic: string
  readonly key: string
  /** How many older records are in the log, and not in this answer. */
  readonly older: number
  /** What was read: up to `offset`, and without a gap from `completeFrom` on. */
  readonly partitions: ReadonlyArray<{
    readonly partition: number
    readonly logStart: number
    readonly offset: number
    readonly completeFrom: number
  }>
  readonly versions: ReadonlyArray<WireVersion>
}

export const printEvent = (event: string, data: string, id?: string): Uint8Array =>
  encodeText(`event: ${event}\n${id === undefined ? "" : `id: ${id}\n`}data: ${data}\n\n`)
