/**
 * The five requests the benchmark makes itself. Every version here is the last one before the request became flexible
 * (KIP-482), which all of Kafka 2.4 to 4.x still answer (KIP-896): https://kafka.apache.org/protocol.html.
 */
import { Reader, Writer } from "./bytes.ts"
import type { WireConnection } from "./WireConnection.ts"

const check = (code: number, request: string, what: string): void => {
  if (code !== 0) throw new Error(`${request} for ${what}: the broker answered with error code ${code}`)
}

export interface TopicLeaders {
  readonly brokers: ReadonlyMap<number, { readonly host: string; readonly port: number }>
  /** 3 (UNKNOWN_TOPIC_OR_PARTITION) when there is no such topic. */
  readonly errorCode: number
  /** The leader's id by partition; -1 where there is none yet. */
  readonly leaders: ReadonlyMap<number, number>
  readonly controller: number
}

/** Metadata v8. */
export const metadata = async (connection: WireConnection, topic: string): Promise<TopicLeaders> => {
  const body = new Writer().i32(1).string(topic).i8(0).i8(0).i8(0).done()
  const r = new Reader(await connection.send(3, 8, body))
  r.i32()
  const brokers = r.array(() => {
    const broker = { id: r.i32(), host: r.string() ?? "", port: r.i32() }
    r.string()
    return broker
  })
  r.string()
  const controller = r.i32()
  r.i32()
  const errorCode = r.i16()
  r.string()
  r.i8()
  const partitions = r.array(() => {
    r.i16()
    const partition = { partition: r.i32(), leader: r.i32() }
    r.i32()
    for (let i = 0; i < 3; i++) r.array(() => r.i32())
    return partition
  })
  return {
    brokers: new Map(brokers.map(({ id, host, port }) => [id, { host, port }])),
    errorCode,
    leaders: new Map(partitions.map(({ partition, leader }) => [partition, leader])),
    controller
  }
}

export interface NewTopic {
  readonly topic: string
  readonly partitions: number
  readonly config: Readonly<Record<string, string>>
}

/** CreateTopics v4, to the controller, with the broker's default replication. */
export const createTopic = async (
  connection: WireConnection,
  { topic, partitions, config }: NewTopic
): Promise<void> => {
  const body = new Writer().i32(1).string(topic).i32(partitions).i16(-1).i32(0)
  body
    .array(Object.entries(config), ([name, value]) => body.string(name).string(value))
    .i32(30_000)
    .i8(0)
  const r = new Reader(await connection.send(19, 4, body.done()))
  r.i32()
  r.array(() => {
    r.string()
    check(r.i16(), "CreateTopics", `${topic}: ${r.string() ?? ""}`)
  })
}

/** DeleteTopics v3, to the controller. */
export const deleteTopic = async (connection: WireConnection, topic: string): Promise<void> => {
  const r = new Reader(await connection.send(20, 3, new Writer().i32(1).string(topic).i32(30_000).done()))
  r.i32()
  r.array(() => {
    r.string()
    check(r.i16(), "DeleteTopics", topic)
  })
}

/** ListOffsets v5, to the partitions' leader: the high watermarks, or the log starts. */
export const listOffsets = async (
  connection: WireConnection,
  topic: string,
  partitions: ReadonlyArray<number>,
  at: "earliest" | "latest"
): Promise<ReadonlyMap<number, number>> => {
  const body = new Writer().i32(-1).i8(0).i32(1).string(topic)
  body.array(partitions, (partition) =>
    body
      .i32(partition)
      .i32(-1)
      .i64(at === "latest" ? -1 : -2)
  )
  const r = new Reader(await connection.send(2, 5, body.done()))
  r.i32()
  const offsets = new Map<number, number>()
  r.array(() => {
    r.string()
    r.array(() => {
      const partition = r.i32()
      check(r.i16(), "ListOffsets", `${topic}[${partition}]`)
      r.i64()
      offsets.set(partition, r.i64())
      r.i32()
    })
  })
  return offsets
}

/** Produce v8 of one batch to one partition, acks all; the batch's base offset. */
export const produce = async (
  connection: WireConnection,
  topic: string,
  partition: number,
  batch: Buffer
): Promise<number> => {
  const body = new Writer().string(null).i16(-1).i32(30_000).i32(1).string(topic).i32(1).i32(partition).bytes(batch)
  const r = new Reader(await connection.send(0, 8, body.done()))
  r.i32()
  r.string()
  r.i32()
  r.i32()
  check(r.i16(), "Produce", `${topic}[${partition}]`)
  return r.i64()
}

export interface FetchedRecords {
  readonly partition: number
  readonly records: Buffer
}

/** Fetch v11 without a session, read_uncommitted. */
export const fetch = async (
  connection: WireConnection,
  topic: string,
  positions: ReadonlyMap<number, number>,
  partitionBytes: number
): Promise<ReadonlyArray<FetchedRecords>> => {
  const body = new Writer().i32(-1).i32(500).i32(1).i32(0x7fffffff).i8(0).i32(0).i32(-1).i32(1).string(topic)
  body
    .array([...positions], ([partition, offset]) => body.i32(partition).i32(-1).i64(offset).i64(-1).i32(partitionBytes))
    .i32(0)
    .string("")
  const r = new Reader(await connection.send(1, 11, body.done()))
  r.i32()
  check(r.i16(), "Fetch", topic)
  r.i32()
  return r
    .array(() => {
      r.string()
      return r.array(() => {
        const partition = r.i32()
        check(r.i16(), "Fetch", `${topic}[${partition}]`)
        r.skip(24)
        r.array(() => r.skip(16))
        r.i32()
        return { partition, records: r.skip(Math.max(0, r.i32())) }
      })
    })
    .flat()
}

/** The offset behind the last whole batch, read from the batch headers alone; undefined when there is no whole batch. */
export const nextOffset = (records: Buffer): number | undefined => {
  let next: number | undefined
  for (let at = 0; at + 61 <= records.length;) {
    const end = at + 12 + records.readInt32BE(at + 8)
    if (end > records.length) break
    next = Number(records.readBigInt64BE(at)) + records.readInt32BE(at + 23) + 1
    at = end
  }
  return next
}
