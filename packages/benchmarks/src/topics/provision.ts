/** Puts topics on a cluster: empty ones to write to, and filled logs to replay, which are kept and reused. */
import { Effect } from "effect"
import { createTopic, deleteTopic, listOffsets, metadata, produce, type TopicLeaders } from "../wire/requests.ts"
import { partitionOf } from "../wire/murmur2.ts"
import { BatchWriter } from "../wire/recordBatch.ts"
import { WireConnection } from "../wire/WireConnection.ts"
import { distinct, keyIds, type LogShape, nameOf } from "./logs.ts"
import { keyOf, serviceOf } from "./values.ts"

/** As Java's producer: its default `batch.size`. */
const batchBytes = 16_384
/** Requests outstanding per leader. A connection keeps their order; an error ends the filling. */
const inFlight = 16

export interface FilledTopic {
  readonly topic: string
  readonly records: number
  readonly keys: number
}

const parseAddress = (address: string): { readonly host: string; readonly port: number } => {
  const colon = address.lastIndexOf(":")
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) }
}

/** Connections to the leaders of a topic. */
export class TopicConnections {
  private readonly byBroker = new Map<number, WireConnection>()
  readonly topic: string
  readonly partitions: ReadonlyArray<number>
  readonly described: TopicLeaders

  private constructor(topic: string, described: TopicLeaders) {
    this.topic = topic
    this.described = described
    this.partitions = [...described.leaders.keys()].sort((a, b) => a - b)
  }

  static async open(brokers: ReadonlyArray<string>, topic: string): Promise<TopicConnections> {
    const described = await withBootstrap(brokers, (connection) => metadata(connection, topic))
    if (described.errorCode !== 0) throw new Error(`no topic ${topic}: error code ${described.errorCode}`)
    const addresses = [...new Set(described.leaders.values())].map((leader) => {
      const address = described.brokers.get(leader)
      if (address === undefined) throw new Error(`${topic} has a partition without a leader`)
      return { leader, address }
    })
    const connections = new TopicConnections(topic, described)
    try {
      for (const { address, leader } of addresses) {
        connections.byBroker.set(leader, await WireConnection.connect(address))
      }
      return connections
    } catch (error) {
      connections.close()
      throw error
    }
  }

  leaderOf(partition: number): WireConnection {
    return this.byBroker.get(this.described.leaders.get(partition)!)!
  }

  /** The leaders, each with the partitions it leads. */
  byLeader(): ReadonlyArray<{ readonly connection: WireConnection; readonly partitions: ReadonlyArray<number> }> {
    return [...this.byBroker].map(([id, connection]) => ({
      connection,
      partitions: this.partitions.filter((partition) => this.described.leaders.get(partition) === id)
    }))
  }

  async offsets(at: "earliest" | "latest"): Promise<ReadonlyMap<number, number>> {
    const all = await Promise.all(
      this.byLeader().map(({ connection, partitions }) => listOffsets(connection, this.topic, partitions, at))
    )
    return new Map(all.flatMap((some) => [...some]))
  }

  close(): void {
    for (const connection of this.byBroker.values()) connection.close()
  }
}

const withBootstrap = async <A>(
  brokers: ReadonlyArray<string>,
  use: (connection: WireConnection) => Promise<A>
): Promise<A> => {
  const connection = await WireConnection.connect(parseAddress(brokers[0]!))
  try {
    return await use(connection)
  } finally {
    connection.close()
  }
}

const withController = async <A>(
  brokers: ReadonlyArray<string>,
  topic: string,
  use: (connection: WireConnection) => Promise<A>
): Promise<A> => {
  const { brokers: known, controller } = await withBootstrap(brokers, (connection) => metadata(connection, topic))
  const address = known.get(controller)
  if (address === undefined) return withBootstrap(brokers, use)
  const connection = await WireConnection.connect(address)
  try {
    return await use(connection)
  } finally {
    connection.close()
  }
}

/** Creates a compacted topic and waits until every partition's leader acts as one: metadata tells of it a little earlier. */
export const createCompacted = async (
  brokers: ReadonlyArray<string>,
  topic: string,
  partitions: number
): Promise<void> => {
  await withController(brokers, topic, (connection) =>
    createTopic(connection, { topic, partitions, config: { "cleanup.policy": "compact" } })
  )
  const until = performance.now() + 30_000
  let last: unknown
  while (performance.now() < until) {
    try {
      const { length } = await readable(brokers, topic)
      if (length === partitions) return
    } catch (error) {
      last = error
    }
  }
  throw new Error(`${topic} was created, but not all of its partitions can be read`, { cause: last })
}

/** The partitions whose offsets their leaders tell. */
const readable = async (brokers: ReadonlyArray<string>, topic: string): Promise<ReadonlyArray<number>> => {
  const connections = await TopicConnections.open(brokers, topic)
  try {
    return [...(await connections.offsets("latest")).keys()]
  } finally {
    connections.close()
  }
}

export const remove = (brokers: ReadonlyArray<string>, topic: string): Promise<void> =>
  withController(brokers, topic, (connection) => deleteTopic(connection, topic))

export const topicName = (shape: LogShape, partitions: number): string =>
  `ktables-bench-${nameOf(shape)}-p${partitions}`

/** A topic that holds the log, filled if it is not there yet. */
export const filledTopic = async (
  brokers: ReadonlyArray<string>,
  shape: LogShape,
  partitions: number
): Promise<FilledTopic> => {
  const topic = topicName(shape, partitions)
  const ids = keyIds(shape)
  const filled = { topic, records: shape.records, keys: distinct(ids) }
  const { errorCode } = await withBootstrap(brokers, (connection) => metadata(connection, topic))
  if (errorCode === 0) {
    if ((await recordsIn(brokers, topic)) === shape.records) return filled
    await remove(brokers, topic)
  }
  await createCompacted(brokers, topic, partitions)
  await append(brokers, topic, ids)
  return filled
}

/** Appends records of these keys, again and again, with a new value each time. Ends its connections with the scope. */
export const openAppender = (brokers: ReadonlyArray<string>, topic: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(() => TopicConnections.open(brokers, topic)),
      (connections) => Effect.sync(() => connections.close())
    ),
    (connections) => {
      const versions = new Map<number, number>()
      return (ids: Int32Array): Effect.Effect<void> => Effect.promise(() => fill(connections, ids, versions))
    }
  )

/** Appends a record of each of these keys. */
export const append = async (brokers: ReadonlyArray<string>, topic: string, ids: Int32Array): Promise<void> => {
  const connections = await TopicConnections.open(brokers, topic)
  try {
    await fill(connections, ids)
  } finally {
    connections.close()
  }
}

/** The distance between the log's start and its end. */
export const recordsIn = async (brokers: ReadonlyArray<string>, topic: string): Promise<number> => {
  const connections = await TopicConnections.open(brokers, topic)
  try {
    const [start, end] = await Promise.all([connections.offsets("earliest"), connections.offsets("latest")])
    return connections.partitions.reduce((sum, partition) => sum + end.get(partition)! - start.get(partition)!, 0)
  } finally {
    connections.close()
  }
}

/** @param versions how many values of each key there are. */
const fill = async (
  connections: TopicConnections,
  ids: Int32Array,
  versions = new Map<number, number>()
): Promise<void> => {
  const { topic, partitions } = connections
  const batches = partitions.map(() => new BatchWriter(2 * batchBytes))
  const outstanding = new Set<Promise<void>>()
  let failure: unknown
  const send = async (partition: number): Promise<void> => {
    const sent = produce(
      connections.leaderOf(partition),
      topic,
      partition,
      batches[partition]!.finish(Date.now())
    ).then(
      () => {
        outstanding.delete(sent)
      },
      (error: unknown) => {
        failure = error
        outstanding.delete(sent)
      }
    )
    outstanding.add(sent)
    if (outstanding.size >= inFlight) await Promise.race(outstanding)
    if (failure !== undefined) throw failure
  }
  for (const id of ids) {
    const version = (versions.get(id) ?? 0) + 1
    versions.set(id, version)
    const key = Buffer.from(keyOf(id))
    const partition = partitionOf(key, partitions.length)
    const batch = batches[partition]!
    batch.append(key, Buffer.from(JSON.stringify(serviceOf(id, version))))
    if (batch.size >= batchBytes) await send(partition)
  }
  for (const partition of partitions) if (batches[partition]!.count > 0) await send(partition)
  await Promise.all(outstanding)
  if (failure !== undefined) throw failure
}
