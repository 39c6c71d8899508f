/** Where a table's topic lives: on a cluster behind one of the transports, or in an embedded Kafka of the cell's own. */
import { KafkaClient } from "effect-ktables/KafkaClient"
import * as MemoryKafka from "effect-ktables/MemoryKafka"
import { Context, Effect, Layer } from "effect"
import { partitionOf } from "../wire/murmur2.ts"
import { keyIds, type LogShape } from "./logs.ts"
import { keyOf, serviceOf } from "./values.ts"

export type ClusterClient = "kafkajs" | "platformatic"

export type Source =
  | {
      readonly client: ClusterClient
      readonly brokers: ReadonlyArray<string>
      readonly topic: string
    }
  | {
      readonly client: "memory"
      readonly partitions: number
      /** Undefined for an empty topic. */
      readonly log: LogShape | undefined
    }

/** How reports call a table over this source. */
export const clientName = ({ client }: Source): string => `effect-ktables ${client}`

/** The transport is loaded when it is asked for: a cell's process holds only the one it measures. */
const clusterLayer = async (
  client: ClusterClient,
  brokers: ReadonlyArray<string>
): Promise<Layer.Layer<KafkaClient>> => {
  switch (client) {
    case "kafkajs":
      return (await import("@effect-ktables/kafkajs")).KafkaJsClient.layer({ brokers })
    case "platformatic":
      return (await import("@effect-ktables/platformatic")).PlatformaticClient.layer({ brokers })
  }
}

/** Loads the source's transport, so that opening it is not timed with the loading of modules. */
export const preload = (source: Source): Effect.Effect<void> =>
  source.client === "memory"
    ? Effect.void
    : Effect.asVoid(Effect.promise(() => clusterLayer(source.client, source.brokers)))

/** Records per appended batch, about as large as the batches of the other topics. */
const batchRecords = 64

const fillMemory = Effect.fnUntraced(function* (
  kafka: MemoryKafka.Service,
  topic: string,
  partitions: number,
  log: LogShape
) {
  const versions = new Map<number, number>()
  const batches = Array.from({ length: partitions }, (): Array<MemoryKafka.MemoryRecord> => [])
  for (const id of keyIds(log)) {
    const version = (versions.get(id) ?? 0) + 1
    versions.set(id, version)
    const key = Buffer.from(keyOf(id))
    const partition = partitionOf(key, partitions)
    const batch = batches[partition]!
    batch.push({ key, value: JSON.stringify(serviceOf(id, version)) })
    if (batch.length === batchRecords) yield* kafka.append(topic, batch.splice(0), { partition })
  }
  for (let partition = 0; partition < partitions; partition++) {
    if (batches[partition]!.length > 0) yield* kafka.append(topic, batches[partition]!, { partition })
  }
})

/** The source's client, which connects when it is first used, and the topic's name. */
export const openSource = Effect.fnUntraced(function* (source: Source) {
  if (source.client === "memory") {
    const services = yield* Layer.build(MemoryKafka.layer)
    const kafka = Context.get(services, MemoryKafka.MemoryKafka)
    const topic = "table"
    yield* kafka.createTopic(topic, { partitions: source.partitions })
    if (source.log !== undefined) yield* fillMemory(kafka, topic, source.partitions, source.log)
    return { client: Context.pick(KafkaClient)(services), topic }
  }
  const { brokers, client, topic } = source
  const layer = yield* Effect.promise(() => clusterLayer(client, brokers))
  return { client: yield* Layer.build(layer), topic }
})
